"""Imports go down the floors, and the light parts stay light."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lrsuggest import _HOMES as HOMES
from lrsuggest.extras import BENCH

PACKAGE = Path(__file__).resolve().parents[1] / "lrsuggest"
EXTRA = set(BENCH.values())
FLOORS = {
    "errors": 0, "resources": 0, "vocabulary": 0,
    "decoding": 0.5, "deprecated": 0.5, "extras": 0.5, "files": 0.5, "tabular": 0.5,
    "curves": 1, "training": 2, "tasks": 3, "adapters": 3, "evidence": 4,
    "given": 4.5, "report": 5, "suggest": 5, "testing": 5, "earlier": 5.5, "bench": 6,
}  # fmt: skip


def imported(path: Path, names: bool = False) -> list[str]:
    """The modules that one imports; with names, what it takes from them too."""
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module or "")
            if names:
                found += [f"{node.module}.{alias.name}" for alias in node.names]
            if node.module == "lrsuggest":  # a public name counts as its home
                found += [HOMES.get(alias.name, f"lrsuggest.{alias.name}") for alias in node.names]
    return [name for name in found if name.startswith("lrsuggest.")]


def violations(path: Path, names: list[str]) -> list[str]:
    home = path.relative_to(PACKAGE).with_suffix("").parts[0]
    bad = []
    for name in names:
        other = name.split(".")[1]
        if other != home and FLOORS[other] >= FLOORS[home]:
            bad.append(f"{path.relative_to(PACKAGE)} imports {name}")
    return bad


def test_every_module_imports_only_from_lower_floors():
    modules = [p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py"]
    assert len(modules) > 25
    assert not [line for path in modules for line in violations(path, imported(path))]


def led_to(modules: dict[str, Path]) -> dict[str, set[str]]:
    """What each module imports, within functions and for types alone too."""
    return {
        name: {each for each in imported(path, names=True) if each in modules and each != name}
        for name, path in modules.items()
    }


def test_no_module_leads_back_to_itself():
    paths = [p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"]
    root = PACKAGE.parent
    modules = {".".join(p.relative_to(root).with_suffix("").parts): p for p in paths}
    graph = led_to(modules)
    assert sum(map(len, graph.values())) > 400
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_no_room_holds_more_than_twelve_modules():
    rooms = {p.parent for p in PACKAGE.rglob("*.py")}
    full = {room: len([p for p in room.glob("*.py") if p.name != "__init__.py"]) for room in rooms}
    assert len(full) > 20
    assert {str(room): n for room, n in full.items() if n > 12} == {}


def test_a_circle_is_found(tmp_path):
    (tmp_path / "one.py").write_text("def f():\n    from lrsuggest.x import two\n")
    (tmp_path / "two.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lrsuggest.x.one\n"
    )
    graph = led_to({f"lrsuggest.x.{each.stem}": each for each in tmp_path.iterdir()})
    with pytest.raises(CycleError, match="one"):
        TopologicalSorter(graph).prepare()


def test_a_module_that_climbs_is_found(tmp_path):
    assert violations(PACKAGE / "curves" / "curve.py", ["lrsuggest.training.learner"])
    assert violations(PACKAGE / "evidence" / "regret.py", ["lrsuggest.report.page"])
    climber = tmp_path / "climber.py"
    climber.write_text("from lrsuggest import suggest_lr\n")
    assert violations(PACKAGE / "evidence" / "regret.py", imported(climber))


def test_only_the_root_has_names_in_its_init():
    earlier = PACKAGE / "curves" / "heuristics"  # what its names were before it was a folder
    for path in PACKAGE.rglob("__init__.py"):
        if path.parent not in (PACKAGE, earlier):
            assert len(ast.parse(path.read_text()).body) == 1, path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("lrsuggest", {"torch", "pandas", "numpy", "scipy"}),
        ("lrsuggest.curves.suggestion", {"torch", "pandas", "matplotlib"}),
        ("lrsuggest.suggest", {"torch", *EXTRA}),
        ("lrsuggest.training.sweep", EXTRA),
        ("lrsuggest.training.probe", EXTRA),
        ("lrsuggest.bench.__main__", {"torch", *EXTRA}),
        ("lrsuggest.evidence.regret", {"torch"}),
        ("lrsuggest.report.page", {"torch"}),
        ("lrsuggest.bench.run", {"torch"}),
        ("lrsuggest.bench.commands.list", {"torch", "pandas", "matplotlib"}),
    ],
)
def test_light_modules_load_nothing_heavy(module, banned):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not banned & set(done.stdout.split())


SWEPT = """
import sys, torch
from lrsuggest import Learner, fit_one_cycle, suggest_lr
model = torch.nn.Linear(3, 2)
batches = [(torch.randn(8, 3), torch.randint(2, (8,))) for _ in range(5)]
loss, optimizer = torch.nn.functional.cross_entropy, torch.optim.AdamW(model.parameters())
learner = Learner(model, loss, batches, optimizer, valid=batches)
print(suggest_lr(learner, fallback=1e-3).to_dict(), fit_one_cycle(learner, 1e-3).valid_loss)
print(*sys.modules)
"""


@pytest.mark.slow
def test_a_sweep_and_a_training_load_nothing_of_the_extras():
    done = subprocess.run([sys.executable, "-c", SWEPT], capture_output=True, text=True, check=True)
    assert not EXTRA & set(done.stdout.splitlines()[-1].split())


def test_public_names_resolve_and_unknown_ones_do_not():
    import lrsuggest

    for name in lrsuggest.__all__:
        assert getattr(lrsuggest, name) is not None
        assert name in dir(lrsuggest)
    with pytest.raises(AttributeError, match="no attribute 'lr_fnid'"):
        lrsuggest.lr_fnid  # noqa: B018
