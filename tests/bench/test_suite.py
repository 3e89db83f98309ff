import pytest
from bench_helpers import GOOD, job

from lrsuggest.bench.jobs.job import Job
from lrsuggest.bench.plan.suite import load, suite_names
from lrsuggest.errors import UserError
from lrsuggest.tasks.lesson import Leg

LEG = Leg("frozen", (8, 8), 64, 40, 999, (1e-2,))


def test_the_quick_suite_measures_what_it_should():
    assert "quick" in suite_names()
    for entry in load("quick").entry:
        assert len(entry.rates) >= 8
        assert entry.seeds >= 2
        assert entry.steps >= 40
        if entry.dataset in ("camvid11", "face_landmarks"):
            assert len(entry.sizes) >= 2
            assert entry.only == "with data"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("steps", "stepz"), r"unknown field `stepz` - at `\$\.entry\[0\]`|required field `steps`"),
        (("steps = 5", "steps = 5\nlr = 3"), r"unknown field `lr` - at `\$\.entry\[0\]`"),
        (('"digits"', '"digit"'), r"no dataset 'digit'.*at `\$\.entry\[0\]\.dataset`"),
        (('"scratch"', '"thawed"'), r"'thawed' - at `\$\.entry\[0\]\.stage`"),
        (("batch = 64", "batch = 0"), r"at least 1 - at `\$\.entry\[0\]`"),
        (("[1e-3, 1e-2]", "[1e-3]"), r"two or more.*at `\$\.entry\[0\]`"),
        (("[1e-3, 1e-2]", "[-1e-3, 1e-2]"), r"positive rates"),
        (("[1e-3, 1e-2]", "[1e-3, inf]"), "positive rates"),
        (("steps = 5", "steps = 5\nseeds = 1"), r"at least 2.*`\$\.entry\[0\]`"),
        (('"scratch"', '"frozen"'), r"wants stage scratch - at `\$\.entry\[0\]`"),
        (("[[entry]]", "[sweep]\nsteps = 1\n[[entry]]"), r"two or more steps.*`\$\.sweep`"),
        (("[[entry]]", "[sweep]\nseeds = 0\n[[entry]]"), r"and a seed - at `\$\.sweep`"),
        (('"scratch"', '"unfrozen"\nbefore = [5, 1e-2]'), r"wants stage scratch - at"),
        (("steps = 5", "steps = 5\nbefore = [5, 1e-2]"), "stage unfrozen, and no other, needs"),
        (("steps = 5", 'steps = 5\nmodel = "unet/x"'), r"wants stage frozen, unfrozen or finetune"),
        (("steps = 5", 'steps = 5\nschedule = "cosine"'), r"'cosine' - at `\$\.entry\[0\]\.sched"),
        (
            ("steps = 5", 'steps = 5\noptimizer = "lion"'),
            r"'lion' - at `\$\.entry\[0\]\.optimizer`",
        ),
        (("[[entry]]", "[[variants]]\nstart = 9\nend = 1\n[[entry]]"), r"0 < start < end"),
        (("[[entry]]", "[refine]\nseedz = 1\n[[entry]]"), r"`seedz` - at `\$\.refine`"),
        (("rates = [1e-3, 1e-2]", "[rates]\nadam = [1e-3, 1e-2]"), r"rates needs two or more"),
        (("title", "[title"), "toml"),
        (("[[entry]]", "[limits_s]\nrun = 0\n[[entry]]"), r"above 0 seconds - at `\$\.limits_s`"),
        (("[[entry]]", "[limits_s]\nswim = 9\n[[entry]]"), r"'swim'.*`\$\.limits_s"),
    ],
)
def test_a_bad_suite_names_file_and_path(tmp_path, change, says):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    load(str(path))
    path.write_text(GOOD.replace(*change))
    with pytest.raises(UserError, match=says) as caught:
        load(str(path))
    assert str(path) in str(caught.value)


def test_an_unfrozen_entry_needs_the_run_it_goes_on_from(tmp_path):
    path = tmp_path / "mine.toml"
    thawed = GOOD.replace('"scratch"', '"unfrozen"').replace('"digits"', '"hymenoptera"')
    path.write_text(thawed)
    with pytest.raises(UserError, match=r"needs before = \[steps, rate\].*`\$\.entry\[0\]`"):
        load(str(path))
    path.write_text(thawed.replace("steps = 5", "steps = 5\nbefore = [40, 1e-2]"))
    assert load(str(path)).entry[0].before == (40, 1e-2)


def test_an_entrys_own_model_optimizer_and_rates_go_before_the_others(tmp_path):
    path = tmp_path / "mine.toml"
    own = GOOD[GOOD.index("[[entry]]") :]
    rest = own.replace("rates = [1e-3, 1e-2]", 'optimizer = "adam"\nmodel = "linear"')
    path.write_text('title = "t"\n[rates]\nadam = [1, 1e-2, 1e-1, 1]\n' + own + rest)
    suite = load(str(path))
    assert [suite.rates_of(entry) for entry in suite.entry] == [[1e-3, 1e-2], [1e-2, 1e-1, 1]]
    assert [(e.which.model, e.which.optimizer) for e in suite.entry] == [
        ("small_cnn", "sgd"), ("linear", "adam"),
    ]  # fmt: skip


def test_an_unknown_suite_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no suite 'quik'; choose .*quick"):
        load("quik")
    with pytest.raises(UserError, match=r"absent\.toml cannot be read: No such file"):
        load(str(tmp_path / "absent.toml"))


def test_the_key_is_golden_and_every_field_is_in_it():
    assert job().key == "f3da602f3c6270f0"
    other = {
        "kind": "sweep", "dataset": "x", "fingerprint": "x", "model": "x", "optimizer": "x",
        "stage": "frozen", "size": (8, 9), "batch": 1, "steps": 6, "seed": 1, "rates": (1e-4,),
        "before": (LEG,), "schedule": "constant", "looks": 5,
        "precision": "bf16", "device": "cuda", "protocol": 99, "weight_decay": 0.1,
    }  # fmt: skip
    assert other.keys() == set(Job.__struct_fields__)
    keys = {job(**{name: value}).key for name, value in other.items()} | {job().key}
    assert len(keys) == len(other) + 1


def test_a_run_is_the_last_stage_of_what_goes_on_from_it():
    first = job(stage="frozen", looks=5, weight_decay=0.1, precision="bf16")
    second = job(stage="unfrozen", size=(9, 9), before=(first.leg,), rates=(1e-5, 1e-3))
    third = job(kind="sweep", stage="unfrozen", before=(first.leg, second.leg))
    assert first.last is None
    assert second.last == job(stage="frozen", weight_decay=0.1, precision="bf16")
    assert third.last == second
    assert "stage 3" in third.label
