"""fastai's Learner: lent, swept as its own fit would train it, and handed back as it was."""

import itertools
import math
import random
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from everything import changes, everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import IterableDataset, Subset, TensorDataset

from lrsuggest import Curve, Probes, RangeTest, UserError, set_lr, suggest_lr
from lrsuggest.adapters.fastai.adapter import borrowed
from lrsuggest.errors import NoSuggestion

pytest.importorskip("fastai", reason="fastai is missing: pip install 'lrsuggest[peers]'")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fastai.callback.schedule  # noqa: F401  (it patches the Learner)
    from fastai.callback.core import CancelBatchException
    from fastai.callback.fp16 import MixedPrecision, ModelToHalf
    from fastai.callback.mixup import CutMix, MixUp
    from fastai.callback.progress import ProgressCallback
    from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
    from fastai.callback.training import BnFreeze, GradientAccumulation, GradientClip
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Callback, Learner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.metrics import accuracy
    from fastai.optimizer import SGD, Adam, Lamb, Larc, OptimWrapper, RAdam, RMSProp, ranger
    from fastai.torch_core import params

pytestmark = [
    pytest.mark.usefixtures("one_thread", "quiet"),
    # fastai's own: numpy.core in load_model, what it says on a machine without CUDA.
    pytest.mark.filterwarnings("ignore:.*numpy.core is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning"),
]

PIXELS, DIGITS = load_digits(return_X_y=True)
DATA = TensorDataset(torch.tensor(PIXELS, dtype=torch.float32) / 16, torch.tensor(DIGITS))
ROWS = list(DATA)
TRAIN, VALID = slice(640), slice(640, 800)


@pytest.fixture
def quiet(capsys):
    yield
    capsys.readouterr()


def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1))
        return nn.Sequential(body, nn.Linear(32, 10))


def loaders(rows=DATA, kind=DataLoader):
    random.seed(2)  # of which fastai's make their generators
    train, valid = (Subset(rows, range(*part.indices(len(rows)))) for part in (TRAIN, VALID))
    return kind(train, batch_size=16, shuffle=True), kind(valid, 64)


def layers(model):
    return [params(model[0]), params(model[1])]


def make(folder, **settings):
    """A learner in two layer groups, all of whose randomness comes from one seed."""
    data = settings.pop("loaders", loaders)()
    np.random.seed(2), torch.manual_seed(2)
    given = {
        "model": network(), "loss_func": CrossEntropyLossFlat(), "metrics": accuracy,
        "splitter": layers, "path": folder, "lr": [5e-4, 1e-3], **settings,
    }  # fmt: skip
    learn = Learner(DataLoaders(*data), **given)
    learn.remove_cb(ProgressCallback)
    return learn


SETUPS = {
    "plain": dict,
    "sgd": lambda: {"opt_func": SGD, "wd": 0.3},
    "lookahead": lambda: {"opt_func": ranger},
    "torch's": lambda: {"opt_func": partial(OptimWrapper, opt=torch.optim.AdamW), "lr": 1e-3},
    "mixup": lambda: {"cbs": [MixUp()]},
    "accumulate": lambda: {"cbs": [GradientAccumulation(32)]},
    "clip": lambda: {"cbs": [GradientClip(0.1), BnFreeze()]},
    "half": lambda: {"cbs": [MixedPrecision("bf16")]},
    "track": lambda: {"cbs": [SaveModelCallback(), EarlyStoppingCallback()]},
}
setups = pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)


class Asks(Callback):
    """Does something once, at an event of training."""

    order = 5

    def __init__(self, event, do, at=3):
        self.done, self.at, self.seen = None, at, 0

        def ask():
            self.seen += 1
            if self.done is None and self.seen >= self.at:
                self.done = do(self.learn)

        setattr(self, event, ask)


def test_it_finds_a_rate_that_trains_well(tmp_path):
    found = suggest_lr(make(tmp_path))
    assert found.reliable
    reached = {}
    for factor in (0.01, 1, 100):
        learn = make(tmp_path)
        learn.fit_one_cycle(5, found.lr * factor)
        reached[factor] = learn.validate()[0]
    assert reached[1] < 0.5 < min(reached[0.01], reached[100])


@setups
def test_the_sweep_makes_the_steps_that_fit_would_make(tmp_path, setup):
    """The same rates given to fastai's own loop bring the same losses, bit for bit."""
    learn = make(tmp_path, **setup())
    with borrowed(learn) as learner:
        every, ratios = learner.accumulate_steps, learner.group_ratios()
    curve = suggest_lr(learn, sweep=RangeTest(num_iter=20)).curve
    losses = []

    class Sweeps(Callback):
        def before_batch(self):
            if self.training:
                step = min(self.iter // every, len(curve) - 1)
                self.opt.set_hypers(lr=[curve.lr[step] * ratio for ratio in ratios])

        def after_loss(self):
            if self.training:
                losses.append(self.learn.loss.item())

    learn.fit(1, cbs=Sweeps())
    theirs = np.array(losses[: len(curve) * every], np.float32).reshape(-1, every)
    assert np.array_equal(curve.loss, theirs.mean(1, dtype=np.float32))


def unchanged(learn, **settings):
    """Ask, and see that nothing has changed."""
    before = everything(learn)
    found = suggest_lr(learn, **settings)
    assert changes(before, everything(learn)) == []
    return found


@setups
def test_nothing_has_changed_and_training_goes_on_as_if_nobody_had_asked(tmp_path, setup):
    outcomes = []
    for ask in (False, True):
        learn = make(tmp_path, **setup())
        for _ in range(2):
            if ask:
                found = unchanged(
                    learn, sweep=RangeTest(num_iter=20), probes=Probes(1, 10), fallback=1e-3
                )
                assert len(found.curve) > 10
            learn.fit_one_cycle(1, 1e-2)
        outcomes.append(everything(learn.model, learn.opt.state_dict(), learn.recorder.values))
    assert_same(*outcomes)


def assert_same(one, other):
    """Equal but for addresses and what time it took."""

    def plain(value):
        return value[1:] if isinstance(value, tuple) and len(value) == 6 else value

    assert changes(*({k: plain(v) for k, v in found.items()} for found in (one, other))) == []


EVENTS = (
    "before_fit", "before_epoch", "before_train", "before_batch", "after_pred", "after_loss",
    "before_backward", "after_backward", "before_step", "after_step", "after_batch", "after_train",
    "before_validate", "after_validate", "after_epoch", "after_fit",
)  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_in_the_middle_of_training(tmp_path, event):
    at = 3 if event.endswith(("batch", "pred", "loss", "backward", "step")) else 1

    def ask(learn):
        return unchanged(learn, sweep=RangeTest(num_iter=20))

    outcomes = []
    for do in (lambda learn: True, ask):
        asks = Asks(event, do, at)
        learn = make(tmp_path, cbs=[asks, MixUp(), GradientAccumulation(32)])
        learn.fit_one_cycle(1, 1e-2)
        assert asks.done is not None
        outcomes.append(everything(learn.model, learn.opt.state_dict(), learn.recorder.values))
    assert_same(*outcomes)
    assert len(asks.done.curve) > 10


def autocast_depth():
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


class Fails(Callback):
    """Raises at an event of the twelfth batch."""

    order = 20

    def __init__(self, event, error):
        setattr(self, event, self.fail)
        self.error, self.left = error, 12

    def fail(self):
        self.left -= 1
        if not self.left:
            raise self.error


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ("before_batch", KeyboardInterrupt("theirs")),
        ("after_pred", ValueError("theirs")),
        ("before_backward", ValueError("theirs")),
        ("after_step", KeyboardInterrupt("theirs")),
    ],
)
def test_nothing_has_changed_after_an_exception(tmp_path, event, error):
    depth = autocast_depth()
    cbs = [Fails(event, error), MixedPrecision("bf16"), MixUp(), GradientAccumulation(32)]
    learn = make(tmp_path, opt_func=ranger, cbs=cbs)
    for _ in range(2):
        before = everything(learn)
        with pytest.raises(type(error), match="theirs"):
            suggest_lr(learn, sweep=RangeTest(num_iter=30))
        assert changes(before, everything(learn)) == []
        assert autocast_depth() == depth
        learn.fails.left = 10**9
        learn.fit_one_cycle(1, 1e-2)
        learn.fails.left = 12


def test_after_an_exception_in_the_middle_of_training_it_goes_on_as_if_nobody_had_asked(tmp_path):
    def fail(learn):
        learn.fails.left = 12
        before = everything(learn)
        with pytest.raises(ValueError, match="theirs"):
            suggest_lr(learn, sweep=RangeTest(num_iter=30))
        assert changes(before, everything(learn)) == []
        learn.fails.left = 10**9
        return True

    outcomes = []
    for do in (lambda learn: True, fail):
        asks, fails = Asks("after_batch", do), Fails("after_step", ValueError("theirs"))
        fails.left = 10**9
        learn = make(tmp_path, cbs=[asks, fails, MixUp(), GradientAccumulation(32)])
        learn.fit_one_cycle(1, 1e-2)
        assert asks.done
        outcomes.append(everything(learn.model, learn.opt.state_dict(), learn.recorder.values))
    assert_same(*outcomes)


def test_nothing_has_changed_when_the_data_or_the_model_fail(tmp_path):
    rows = [*ROWS[:200], (torch.zeros(63), torch.tensor(0)), *ROWS[201:400]]
    learn = make(tmp_path, loaders=lambda: loaders(rows))
    before = everything(learn)
    with pytest.raises(RuntimeError, match="size"):
        suggest_lr(learn, sweep=RangeTest(num_iter=60, start_lr=1e-9, end_lr=1e-8))
    assert changes(before, everything(learn)) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "adamw"),
        ({"opt_func": partial(Adam, decouple_wd=False)}, "adam"),
        ({"opt_func": SGD}, "sgd"),
        ({"opt_func": partial(SGD, mom=0.9)}, "sgd"),
        ({"opt_func": RMSProp}, None),
        ({"opt_func": ranger}, None),
        ({"opt_func": partial(OptimWrapper, opt=torch.optim.Adam), "lr": 1e-3}, "adam"),
    ],
)
def test_it_tells_the_optimizer(tmp_path, settings, name):
    with borrowed(make(tmp_path, **settings)) as learner:
        assert learner.optimizer_name == name


@pytest.mark.parametrize(
    ("opt_func", "named"),
    [(Adam, None), (RAdam, "radam"), (RMSProp, "rms_prop"), (Larc, "larc"), (Lamb, "lamb"),
     (ranger, "Lookahead"), (SGD, "SGD without momentum"), (partial(SGD, mom=0.9), None),
     (partial(OptimWrapper, opt=torch.optim.Adadelta), "Adadelta")],
)  # fmt: skip
def test_an_optimizer_that_no_recorded_task_had_is_named(tmp_path, opt_func, named):
    with borrowed(make(tmp_path, opt_func=opt_func, lr=1e-3)) as learner:
        found = learner.optimizer_kind.unrecorded
    assert found == named if named is None else named in found


@pytest.mark.parametrize(
    ("opt_func", "named"),
    [(partial(Adam, eps=0.1), "AdamW with an eps of 0.1"),
     (partial(Adam, mom=0.5), "AdamW with a first beta of 0.5"),
     (partial(Adam, decouple_wd=False, mom=0.5), "Adam with a first beta of 0.5"),
     (partial(Adam, eps=1e-5), None)],
)  # fmt: skip
def test_settings_that_no_recorded_task_had_are_named(tmp_path, opt_func, named):
    with borrowed(make(tmp_path, opt_func=opt_func)) as learner:
        assert learner.optimizer_kind.unrecorded == named


@pytest.mark.parametrize(("callback", "named"), [(MixUp, ["MixUp"]), (CutMix, ["CutMix"])])
def test_examples_mixed_by_a_callback_are_a_doubt(tmp_path, callback, named):
    learn = make(tmp_path, cbs=callback())
    with borrowed(learn) as learner:
        assert learner.beside == named
    if callback is MixUp:  # the other cuts pictures, which these are not
        found = suggest_lr(learn, sweep=RangeTest(num_iter=30))
        assert any("No recorded task trained with MixUp, so" in each for each in found.reasons)
    with borrowed(make(tmp_path)) as learner:
        assert learner.beside == []


@pytest.mark.parametrize("opt_func", [SGD, Adam])
def test_it_tells_that_the_training_went_on_before(tmp_path, opt_func):
    learn = make(tmp_path, opt_func=opt_func)
    with borrowed(learn) as learner:
        assert learner.continued is None
    asks = Asks("before_batch", partial(suggest_lr, sweep=RangeTest(num_iter=30)), at=5)
    learn.fit(1, cbs=asks)
    assert any(each.startswith("This training went on before") for each in asks.done.reasons)
    assert not asks.done.reliable
    learn = make(tmp_path, opt_func=opt_func)
    asks = Asks("before_batch", partial(suggest_lr, sweep=RangeTest(num_iter=30)), at=1)
    learn.fit(1, cbs=asks)
    assert not any(each.startswith("This training went on before") for each in asks.done.reasons)


@pytest.mark.parametrize("setup", ["plain", "torch's"])
def test_it_tells_the_stage(tmp_path, setup):
    def stage():
        with borrowed(learn) as learner:
            return learner.detected_stage

    learn = make(tmp_path, **SETUPS[setup]())
    assert stage() is None
    learn.freeze()
    assert stage() == "frozen"
    learn.fit(1)
    assert stage() == "frozen"
    learn.unfreeze()
    # torch's keep no gradients to tell it by, but the norms have trained.
    unfrozen = "unfrozen" if setup == "plain" else "finetune"
    assert stage() == unfrozen
    assert suggest_lr(learn, sweep=RangeTest(num_iter=30)).stage == unfrozen
    learn.fit(1)
    assert stage() is None


@pytest.mark.parametrize(("settings", "size"), [({}, 16), (SETUPS["accumulate"](), 32)])
def test_it_tells_the_batch_size_and_what_is_planned(tmp_path, settings, size):
    def told(learn):
        with borrowed(learn) as learner:
            return learner.batch_size, learner.total_steps

    asks = Asks("before_batch", told, at=11)
    learn = make(tmp_path, **settings)
    assert told(learn) == (size, None)
    learn.fit(2, cbs=asks)
    assert asks.done == (size, (80 - 10) // (size // 16))
    assert told(learn) == (size, None)


def used(learn, **fit):
    """The rates that fastai's own recorder saw in an epoch, and the groups' at its end."""
    learn.fit(1, **fit)
    return sorted(set(learn.recorder.lrs)), [hyper["lr"] for hyper in learn.opt.hypers]


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize(
    ("lr", "rate", "groups"),
    [
        ([5e-4, 1e-3], 0.02, [0.01, 0.02]),
        (1e-3, 0.02, [0.02, 0.02]),
        (slice(1e-3), 0.02, [0.002, 0.02]),
        (slice(1e-4, 1e-3), 0.02, [0.002, 0.02]),
        (1e-3, slice(1e-3, 1e-2), [1e-3, 1e-2]),
    ],
)
def test_fit_takes_the_rate_applied(tmp_path, fitted, lr, rate, groups):
    learn = make(tmp_path, lr=lr)
    if fitted:
        learn.fit(1)
    set_lr(learn, rate)
    top, now = used(learn)
    assert top == pytest.approx([groups[-1]])
    assert now == pytest.approx(groups)
    set_lr(learn, rate)
    learn.fit_one_cycle(1)
    assert max(learn.recorder.lrs) == pytest.approx(groups[-1], rel=1e-2)


def test_a_suggestion_is_applied_and_an_abstention_is_not(tmp_path):
    learn = make(tmp_path)
    found = suggest_lr(learn)
    set_lr(learn, found)
    assert used(learn)[1] == pytest.approx([found.lr / 2, found.lr])
    set_lr(learn, found.slice)
    assert used(learn)[1] == pytest.approx([found.lr / 10, found.lr])
    nothing = suggest_lr(Curve([1e-4, 1e-3, 1e-2], [1.0, 1.0, 1.0]))
    before = everything(learn)
    with pytest.raises(NoSuggestion):
        set_lr(learn, nothing)
    assert changes(before, everything(learn)) == []


def test_a_rate_of_opt_func_is_overruled(tmp_path):
    learn = make(tmp_path, opt_func=partial(Adam, lr=0.3))
    set_lr(learn, 0.02)
    assert used(learn)[1] == [0.02, 0.02]


def test_in_the_middle_of_fit_the_rate_is_applied_at_once_but_not_against_a_schedule(tmp_path):
    asks = Asks("before_batch", lambda learn: set_lr(learn, 0.02) or True, at=5)
    learn = make(tmp_path)
    learn.fit(1, cbs=asks)
    assert learn.recorder.lrs[:4] == [1e-3] * 4
    assert learn.recorder.lrs[4:] == [0.02] * 36
    asks = Asks("before_batch", lambda learn: set_lr(learn, 0.02) or True, at=5)
    with pytest.raises(UserError, match=r"ParamScheduler sets .* give it to the next fit"):
        learn.fit_one_cycle(1, 1e-2, cbs=asks)


def test_an_optimizer_built_beforehand(tmp_path):
    outcomes = []
    for ask in (False, True):
        model = network()
        opt = OptimWrapper(opt=torch.optim.Adam(model.parameters(), lr=1e-3, amsgrad=True))
        learn = make(tmp_path, model=model, opt_func=opt, wd=0.1, lr=1e-3)
        if ask:
            unchanged(learn, sweep=RangeTest(num_iter=20))
        learn.fit(1)
        outcomes.append(everything(learn.model, learn.opt.state_dict()))
    assert_same(*outcomes)


def test_replicates_see_other_orders(tmp_path):
    found = suggest_lr(make(tmp_path), sweep=RangeTest(repeats=2, num_iter=40), seed=7)
    assert len(set(found.replicates)) == 2
    alone = [
        suggest_lr(make(tmp_path), seed=seed, sweep=RangeTest(num_iter=40)).lr for seed in (7, 8)
    ]
    assert found.replicates == tuple(alone)


class Endless(IterableDataset):
    def __iter__(self):
        return itertools.cycle(ROWS[:640])


def test_data_without_a_length(tmp_path):
    learn = make(tmp_path)
    found = suggest_lr(
        learn, batches=torch.utils.data.DataLoader(Endless(), 16), sweep=RangeTest(num_iter=40)
    )
    again = suggest_lr(
        learn, batches=torch.utils.data.DataLoader(ROWS[:640], 16), sweep=RangeTest(num_iter=40)
    )
    assert np.array_equal(found.curve.loss, again.curve.loss)


class Named(nn.Module):
    """Takes a dict, as tokenizers make them."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, batch):
        return self.net(batch["pixels"])


def test_batches_of_dicts(tmp_path):
    rows = [({"pixels": pixels}, digit) for pixels, digit in ROWS]
    named = make(tmp_path, loaders=lambda: loaders(rows), model=Named(), splitter=params, lr=1e-3)
    plain = make(tmp_path, splitter=params, lr=1e-3)
    found = suggest_lr(named, probes=Probes(1, 20))
    assert np.array_equal(found.curve.loss, suggest_lr(plain).curve.loss)
    assert math.isfinite(found.probes[0][1])


@pytest.mark.parametrize("kind", [DataLoader, torch.utils.data.DataLoader])
def test_other_batches_and_other_validation(tmp_path, kind):
    plain, other = make(tmp_path), make(tmp_path, loaders=lambda: loaders(ROWS[:64]))
    random.seed(5), torch.manual_seed(5)
    train, valid = loaders(kind=kind)
    before = everything(other, train, valid)
    found = suggest_lr(other, batches=train, valid=valid, probes=Probes(2, 30))
    assert changes(before, everything(other, train, valid)) == []
    plain.dls.loaders = [train, valid]
    again = suggest_lr(plain, probes=Probes(2, 30))
    assert np.array_equal(found.curve.loss, again.curve.loss)
    assert found.probes == again.probes
    with pytest.raises(UserError, match="batches is a one-shot"):
        suggest_lr(plain, batches=iter(train))


@setups
def test_probes_are_judged_by_what_validate_says(tmp_path, setup):
    learn = make(tmp_path, **setup())
    learn.fit(1, 1e-2)
    said = learn.validate()[0]
    with borrowed(learn) as learner:
        assert learner.evaluate()["loss"] == pytest.approx(said, rel=1e-5)


def test_without_validation_probes_are_judged_by_training(tmp_path):
    learn = make(tmp_path, loaders=lambda: loaders()[:1])
    found = suggest_lr(learn, probes=Probes(2, 20))
    assert found.cost.valid_passes == 0
    assert all(math.isfinite(value) for _, value in found.probes)


class CancelsAll(Callback):
    def before_batch(self):
        raise CancelBatchException


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (lambda: {"model": nn.DataParallel(network()), "splitter": params, "lr": 1e-3},
         "fastai's DataParallel: train on one device"),
        (lambda: {"cbs": [ModelToHalf()]}, "fastai's ModelToHalf: use learn.to_fp16"),
        (lambda: {"cbs": [CancelsAll()]}, "is there a callback that cancels every batch"),
        (lambda: {"loaders": lambda: loaders([])}, "batches is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_swept_is_refused_in_one_sentence(tmp_path, settings, says):
    learn = make(tmp_path, **settings())
    before = everything(learn)
    with pytest.raises(UserError, match=says):
        suggest_lr(learn)
    assert changes(before, everything(learn)) == []


def test_a_callback_that_asks_within_fastais_range_test_is_told_so(tmp_path):
    asks = Asks("before_fit", suggest_lr, at=1)
    with pytest.raises(UserError, match="in the middle of a range test"):
        make(tmp_path, cbs=[asks]).lr_find(show_plot=False)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, slice(None), slice(1e-3, -1.0)])
def test_a_rate_that_is_none_is_refused(tmp_path, rate):
    learn = make(tmp_path)
    before = everything(learn)
    with pytest.raises(UserError, match="must be positive and finite"):
        set_lr(learn, rate)
    assert changes(before, everything(learn)) == []
