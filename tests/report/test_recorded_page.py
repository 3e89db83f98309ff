"""reports/recorded.html says what the recorded tables say, to the byte."""

import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest

from lrsuggest.bench.commands.evidence import gather
from lrsuggest.report.page import render

COMMAND = "python -m lrsuggest.bench report benchmarks/recorded"


def test_it_is_what_the_tables_give_now(recorded_page, monkeypatch):
    monkeypatch.chdir(recorded_page.parents[1])
    made = render(*gather(Path("benchmarks/recorded"), COMMAND))
    kept = recorded_page.read_text("utf-8")
    for place, (old, new) in enumerate(zip_longest(kept.splitlines(), made.splitlines()), 1):
        if old != new:
            pytest.fail(
                f"reports/recorded.html is not what the tables give from line {place} on; write it "
                f"anew with: {COMMAND}\n  kept: {(old or '')[:160]}\n  made: {(new or '')[:160]}"
            )


def test_sixty_tasks_and_their_lessons_fit(recorded_page):
    text = recorded_page.read_text("utf-8")
    assert text.count('<details class="task" id="task') > 60
    assert text.count('<details class="task lesson"') >= 8
    assert len(text.encode()) < 3_000_000


def test_a_report_needs_no_torch():
    code = "import sys, lrsuggest.bench.commands.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
