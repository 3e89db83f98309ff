"""The part of the report on what the teacher of the fast.ai course says of rates."""

from collections.abc import Sequence
from typing import Any

from lrsuggest.evidence.response import TaskEvidence
from lrsuggest.evidence.studies.claims import claims, unjudged
from lrsuggest.report.text import records, several


def _standing(row: dict[str, Any]) -> str:
    """What the interval of a share allows to say."""
    if row["low"] > 0.5:
        return "mostly holds"
    return "mostly fails" if row["high"] < 0.5 else "open"


def teacher(tasks: Sequence[TaskEvidence]) -> dict[str, Any] | None:
    """Return the teacher's claims: each over all stages, then by stage, then those not judged."""
    real = [task for task in tasks if not task.synthetic]
    found = claims(real)
    if found.empty:
        return None
    told = [{**row, "standing": _standing(row)} for row in records(found)]
    whole = [row for row in told if row["stage"] == "all"]
    counts = {said: sum(row["standing"] == said for row in whole)
              for said in ("mostly holds", "mostly fails", "open")}  # fmt: skip
    return {
        "rows": whole,
        "stages": [row for row in told if row["stage"] != "all"],
        "unjudged": records(unjudged(real)),
        "caption": (
            f"Of {several(len(whole), 'claim')} that these tasks can judge, "
            f"{counts['mostly holds']} mostly hold, {counts['mostly fails']} mostly fail and "
            f"{counts['open']} stay open: the 95 % interval of the share has to lie on one side "
            "of one half. A rate is called fine if its regret is at most .05."
        ),
    }
