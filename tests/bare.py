"""What the package does with numpy, scipy and torch alone: `python tests/bare.py`.

`.ci/run` runs it in a fresh environment that the wheel was installed into. With --blocked it runs
anywhere, as if nothing else were installed.
"""

import contextlib
import html
import io
import math
import re
import sys
import tempfile
from importlib import metadata
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path

CORE = ("numpy", "scipy", "torch")
INSTALLERS = {"pip", "setuptools", "wheel"}
VERBS = ("run", "report", "export", "score", "list", "fetch", "doctor", "read")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def theirs(*names: str) -> set[str]:
    """Those of these distributions that are here, and what they ask for without any extra."""
    found: set[str] = set()
    todo = list(map(plain, names))
    while todo:
        name = todo.pop()
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another system
            continue
        asked = {plain(re.match(r"[\w.-]+", each)[0]) for each in lines if "extra ==" not in each}
        found.add(name)
        todo += asked - found
    return found


def torchs(name: str) -> bool:
    """Whether it comes with torch by an extra of another distribution."""
    return name.startswith(("nvidia-", "cuda-"))


class Blocker:
    """Finds no module but Python's own, ours and those of the core's distributions."""

    def __init__(self) -> None:
        core = theirs(*CORE)
        self.blocked = {
            module
            for module, names in metadata.packages_distributions().items()
            if module != "lrsuggest"
            if not any(name in core or torchs(name) for name in map(plain, names))
        }

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.blocked:
            return None
        return PathFinder.find_spec(name, path, target)


def refused(do) -> str:
    from lrsuggest import UserError

    try:
        do()
    except UserError as error:
        return str(error)
    raise AssertionError("it was not refused")


def check() -> None:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from lrsuggest import Curve, Learner, fit_one_cycle, lr_find, set_lr, suggest_lr

    torch.manual_seed(0)
    x = torch.randn(400, 4)
    data = TensorDataset(x, (x @ torch.randn(4, 2)).argmax(1))
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    learner = Learner(
        model, nn.functional.cross_entropy, DataLoader(data, 20, shuffle=True),
        torch.optim.AdamW(model.parameters()), valid=DataLoader(data, 100),
    )  # fmt: skip
    before = [p.clone() for p in model.parameters()]
    steps: list[int] = []
    model.register_forward_hook(lambda *_: steps.append(1))

    for asked, said in (
        ({"probes": 3}, "probes=3 needs optuna: pip install 'lrsuggest[probes]'"),
        ({"progress": True}, "progress=True needs rich: pip install 'lrsuggest[progress]'"),
    ):
        assert refused(lambda asked=asked: suggest_lr(learner, **asked)) == said
    progress = "progress=True needs rich: pip install 'lrsuggest[progress]'"
    assert refused(lambda: lr_find(learner, progress=True)) == progress
    assert refused(lambda: fit_one_cycle(learner, 1e-3, progress=True)) == progress
    assert not steps, "something ran before it was refused"

    found = suggest_lr(learner, total_steps=100, fallback=1e-3, seed=0)
    assert math.isfinite(float(found))
    assert steps
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert len(str(found).splitlines()) >= 2

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "curve.csv"
        found.curve.to_csv(path)
        read = suggest_lr(Curve.from_csv(path), optimizer="adamw", total_steps=100, fallback=1e-3)
        page = Path(folder) / "page.html"
        said = refused(lambda: found.to_html(page))
        assert said.startswith("to_html() needs matplotlib")  # jinja2 may have come with torch
        assert said.endswith(": pip install 'lrsuggest[plot]'")
        assert not page.exists()
    assert math.isfinite(float(read))

    set_lr(learner, found)
    fit = fit_one_cycle(learner, found, steps=20)
    plot = "needs matplotlib: pip install 'lrsuggest[plot]'"
    assert refused(found.plot) == f"plot() {plot}"
    assert refused(fit.plot_losses) == f"a plot {plot}"
    assert refused(fit.plot_lr) == f"a plot {plot}"
    shown = found._repr_mimebundle_()
    assert shown["text/plain"] == str(found)
    assert shown["text/html"] == f"<pre>{html.escape(str(found))}</pre>"

    for ask, name in ((found.enqueue, "enqueue"), (found.suggest_float, "suggest_float")):
        said = refused(lambda ask=ask: ask(None))
        assert said == f"{name}() needs optuna: pip install 'lrsuggest[probes]'"
    said = refused(lambda: __import__("lrsuggest.testing"))
    assert said == "lrsuggest.testing needs hypothesis: pip install hypothesis"


def check_bench() -> None:
    """Every verb is refused in one sentence."""
    from lrsuggest.bench.__main__ import main

    for words in ([], ["--help"], *([verb] for verb in VERBS)):
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            assert main(words) == 2, words
        (line,) = said.getvalue().splitlines()
        assert line.startswith("lrsuggest: python -m lrsuggest.bench needs "), line
        assert "rich, pandas, msgspec" in line
        assert line.endswith(": pip install 'lrsuggest[bench]'"), line


if __name__ == "__main__":
    if "--blocked" in sys.argv:
        sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Blocker()]
    else:
        here = {plain(each.name) for each in metadata.distributions()}
        more = here - theirs(*CORE) - INSTALLERS - {"lrsuggest"}
        assert not {name for name in more if not torchs(name)}, more
        print(f"lrsuggest asks for {len(here - INSTALLERS)} distributions, itself counted")
    check()
    check_bench()
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"pandas", "matplotlib", "optuna", "rich", "msgspec", "sklearn", "timm"}
