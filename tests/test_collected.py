"""The commands that README and .ci/run give run every test, and there are no fewer than before."""

import re
import shlex
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from places import COLLECTED, PEERS, SLOW, TESTS

ROOT = TESTS.parent
README = (ROOT / "README.md").read_text("utf-8")
SELECTS = re.compile(r"-m.+|-k.*|--(deselect|ignore|lf|last-failed|ff|sw|stepwise|maxfail|co).*|-x")
# So many tests there were. It rises with the suite; who lowers it says which tests went, and why.
AT_LEAST = 4_346


def arguments():
    """What pytest is given by the command that .ci/run takes out of README."""
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "command=$(grep -A 3 '^Install, then pass the tests' README.md | grep '^python3')" in run
    assert re.search(r'^eval "\$command"$', run, re.M)
    assert "PYTEST_ADDOPTS" not in run
    below = README[README.index("\nInstall, then pass the tests") :].splitlines()[1:5]
    (command,) = [line for line in below if line.startswith("python3")]
    words = shlex.split(command)
    assert words[words.index("pytest") - 1] == "-m"
    return words[words.index("pytest") + 1 :]


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="a source distribution has no .ci")
def test_the_command_of_the_readme_and_of_ci_leaves_no_test_out():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]
    always = shlex.split(settings["ini_options"]["addopts"])
    for word in (*arguments(), *always):
        assert word.startswith("-") or word in ("2", "worksteal"), f"{word} selects tests"
        assert not SELECTS.fullmatch(word), f"{word} selects tests"
    assert settings["ini_options"]["testpaths"] == ["tests"]


def test_the_readme_names_the_quick_half():
    assert '.venv/bin/python -m pytest -m "not slow"' in README


@pytest.mark.parametrize("place", [*SLOW, *PEERS])
def test_what_is_marked_by_its_place_is_there(place):
    assert list(TESTS.glob(f"{place}*")), f"tests/{place} has moved: say where in tests/places.py"


def test_there_are_no_fewer_tests_than_before(request):
    """Of the whole suite; where a part was asked for there is nothing to compare."""
    option, config = request.config.option, request.config
    places = {Path(config.invocation_params.dir, each.partition("::")[0]) for each in config.args}
    if not {place.resolve() for place in places} & {ROOT, TESTS}:
        pytest.skip("only a part of the suite was collected")
    if option.ignore or option.ignore_glob or option.deselect or getattr(option, "lf", False):
        pytest.skip("a part of the suite was left out")
    lacking = [each for each in ("fastai", "pytorch_lightning", "transformers", "ignite",
               "torch_lr_finder", "distributed") if find_spec(each) is None]  # fmt: skip
    if lacking:
        pytest.skip(f"whole modules need {', '.join(lacking)}; pip install -e '.[dev,peers]'")
    assert config.stash[COLLECTED] >= AT_LEAST
