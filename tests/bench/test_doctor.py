"""The doctor: real processes, packages that really are broken, folders that cannot be written."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from lrsuggest.bench.commands import doctor, machine
from lrsuggest.bench.commands.doctor import imports, mismatches, print_doctor
from lrsuggest.bench.commands.machine import cores, quota, threads

CALM = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def told(data, out):
    console = Console(file=io.StringIO(), width=220)
    status = print_doctor(console, data, out)
    return status, console.file.getvalue()


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Three packages that a person may have: one raises, one ends its process, one wants more."""
    for name, text in (
        ("torch_lr_finder", "raise RuntimeError('no such operator:\\nnms')"),
        ("ignite", "import os\nprint('half a line', end='')\nos._exit(7)"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    info = tmp_path / "wants_other_torch-1.5.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\nName: wants-other-torch\nVersion: 1.5\n"
        "Requires-Dist: torch==1.13.1\nRequires-Dist: numpy\n"
        'Requires-Dist: scipy<0.1; extra == "old"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{before}")
    return tmp_path


def test_where_nothing_is_off_it_says_so(tmp_path):
    command = [sys.executable, "-m", "lrsuggest.bench", "doctor", "--out", "new/folder"]
    alone = {k: v for k, v in os.environ.items() if k != "LRSUGGEST_DATA"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=alone | CALM, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Nothing is off.\n")
    said = dict(re.findall(r"^ (\S+) +(\S.*?) *$", done.stdout, flags=re.M))
    assert said["torch"].startswith("1 within an operation")
    assert re.search(rf"^ torch +{torch.__version__.partition('+')[0]} *$", done.stdout, re.M)
    assert said["timm"] != "not installed"
    assert said["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "ms a step of a small convolution" in said["fp32"]
    assert re.search(r"times fp32's time, .*: (not )?worth running here", said["fp16"])
    assert "digits" in done.stdout.partition("at hand")[2].partition("missing")[0]
    assert "camvid11" in done.stdout.partition("missing")[2]
    assert Path(said["datasets.toml"]).is_file()
    assert "new/folder, writable" in said["output"]
    assert not list(tmp_path.iterdir())  # nothing was made


def test_what_is_broken_is_named_with_its_mend(broken, monkeypatch):
    monkeypatch.setattr(doctor, "NEEDED", {"torch": "torch", "numpy": "numpy", "no-such": "nosuch"})
    optional = {"torch-lr-finder": "torch_lr_finder", "pytorch-ignite": "ignite"}
    monkeypatch.setattr(doctor, "OPTIONAL", {**optional, "wants-other-torch": "json"})
    monkeypatch.setenv("OMP_WAIT_POLICY", "Active")
    status, said = told(str(broken / "nowhere"), broken / "torch_lr_finder" / "__init__.py" / "out")
    assert status == 1
    assert "Nothing is off" not in said
    assert "does not import (RuntimeError: no such operator:): mend the above" in said
    assert "does not import (the process ended with code 7): mend the above" in said
    assert "no-such is not installed, and nothing runs without it: pip install no-such" in said
    assert "wants-other-torch 1.5 wants torch==1.13.1, and here is" in said
    assert "): mend the above first, else pip install --force-reinstall pytorch-ignite" in said
    assert "OMP_WAIT_POLICY=Active lets waiting threads spin" in said
    assert "nowhere does not exist; give --data" in said
    assert "(Not a directory): give another --out" in said
    assert "Number formats" in said  # the rest is told all the same


def test_without_torch_the_rest_is_told(tmp_path, monkeypatch):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libtorch.so: not found')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(doctor, "NEEDED", {"torch": "torch"})
    monkeypatch.setattr(doctor, "OPTIONAL", {})
    status, said = told(None, tmp_path)
    assert status == 1
    assert "does not import (OSError: libtorch.so: not found): pip install --force" in said
    assert "not known without torch" in said
    assert "datasets.toml" in said


def test_imports_go_on_after_a_crash(broken):
    said = imports(["json", "ignite", "torch_lr_finder", "csv"])
    assert said == {
        "json": "ok",
        "ignite": "the process ended with code 7",
        "torch_lr_finder": "RuntimeError: no such operator:",
        "csv": "ok",
    }


def test_imports_that_print_no_text_or_never_end_are_told(broken, monkeypatch):
    (broken / "odd.py").write_text("import sys\nsys.stdout.buffer.write(b'\\xff\\n')")
    (broken / "late.py").write_text("import time\ntime.sleep(600)")
    monkeypatch.setattr(doctor, "_LONGEST_S", 2)
    assert imports(["odd", "late", "csv"]) == {
        "odd": "ok", "late": "no end after 2 s", "csv": "ok",
    }  # fmt: skip


def test_what_is_installed_here_fits_together():
    assert mismatches({"torch": "1.0", "torchvision": None}) == []
    here = {name: doctor._version(name) for name in doctor.NEEDED}
    assert mismatches(here) == []
    (wrong,) = mismatches({**here, "torch": "2.0.1"} | {"timm": None, "torchmetrics": None})
    assert re.match(r"torchvision \S+ wants torch\S+, and here is 2.0.1: pip install", wrong)
    assert wrong.endswith("--upgrade torchvision torch==2.0.1")
    old = mismatches({"lrsuggest": "0.1.0", "numpy": "1.0"})
    assert old[0].startswith("lrsuggest 0.1.0 wants numpy>=1.26, and here is 1.0: pip install 'nu")


def test_threads_beyond_the_cores_are_off(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    off = []
    rows = dict(threads({}, off))
    assert "torch uses 3 threads on 1 cores" in off[0]
    assert "export OMP_NUM_THREADS=1" in off[0]
    assert rows["OMP_WAIT_POLICY"] == "not set"
    assert "spin" in rows["while they wait"]


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_counts(tmp_path, files, granted):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert quota(tmp_path, tmp_path / "none") == granted
    assert 1 <= cores() <= os.cpu_count()


@pytest.mark.parametrize(
    ("mine", "files", "granted"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "250000 100000"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "200000 100000"}, 2),
        ("0::/a\n", {"cpu.max": "100000 100000", "a/cpu.max": "200000 100000"}, 1),
        ("0::/a\n", {"b/cpu.max": "100000 100000"}, None),
        ("0::/../a\n", {"a/cpu.max": "100000 100000"}, None),
        ("0::/\n", {"cpu.max": "100000 100000"}, 1),
        ("5:memory:/m\n4:cpu,cpuacct:/d/x\n", {"cpu/d/x/cpu.cfs_quota_us": "150000",
                                               "cpu/d/x/cpu.cfs_period_us": "100000"}, 2),
        ("4:cpu:/d\n0::/\n", {"cpu/d/cpu.cfs_quota_us": "-1", "cpu/d/cpu.cfs_period_us": "100000",
                              "cpu/cpu.cfs_quota_us": "400000",
                              "cpu/cpu.cfs_period_us": "100000"}, 4),
        ("nonsense\n\n", {}, None),
    ],
)  # fmt: skip
def test_the_quota_of_a_nested_group_counts(tmp_path, mine, files, granted):
    (tmp_path / "mine").write_text(mine)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert quota(tmp_path, tmp_path / "mine") == granted


def test_a_suite_takes_as_many_cores_as_the_doctor_counts(tmp_path, monkeypatch):
    """A container's quota keeps `run` from starting a child for each core of the machine."""
    from lrsuggest.bench.commands import run
    from lrsuggest.bench.plan.suite import load

    class Enough(Exception):
        pass

    def started(workers):
        raise Enough(workers)

    monkeypatch.setattr(run, "Local", started)
    monkeypatch.setattr(machine, "quota", lambda: 1)
    assert cores() == 1
    with pytest.raises(Enough, match=r"^1$"):
        run.drive(
            "quick", load("quick"), None, tmp_path, workers=None, scheduler=None, device="cpu",
            words=[], console=None,
        )  # fmt: skip
