"""A contract test for anyone's heuristic: the laws a heuristic of a curve should keep.

    from lrsuggest.testing import check_heuristic
    def test_mine():
        check_heuristic(my_heuristic)

Each law is tried on a few hundred simulated range tests by hypothesis, the same ones every time.
"""

import math
from collections.abc import Callable

import numpy as np

from lrsuggest.curves.columns import Floats
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import Abstention, Context, Read, is_rate
from lrsuggest.errors import UserError

try:
    from hypothesis import HealthCheck, Phase, assume, given, settings
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise UserError("lrsuggest.testing needs hypothesis: pip install hypothesis") from error

Answer = float | Abstention | None
Law = Callable[[Callable[[Curve], Answer], Curve, float, float], None]


def simulated(n: int, bottom: float, fall: float, noise: float, seed: int) -> tuple[Floats, Floats]:
    """Return (lr, loss), shapes (n,), in the shape of a range test from 1e-7 to 10.

    Flat at 2.5, a logistic descent by `fall`, a minimum near the rate `bottom`, and a blow-up;
    `noise` is its standard deviation.
    """
    lr = np.geomspace(1e-7, 10, n)
    x = np.log10(lr / bottom)
    loss = 2.5 - fall / (1 + np.exp(-3 * (x + 2))) + 2.0 * np.exp(np.minimum(3.5 * (x - 0.6), 6))
    return lr, loss + noise * np.random.default_rng(seed).normal(size=n)


def _curves() -> "st.SearchStrategy[Curve]":
    def build(n: int, bottom: float, fall: float, noise: float, seed: int) -> Curve:
        return Curve(*simulated(n, 10**bottom, fall, noise * fall, seed))

    return st.builds(
        build,
        st.integers(30, 150),
        st.floats(-3.5, -0.5),
        st.floats(0.5, 2.4),
        st.sampled_from([0.0, 0.01, 0.05, 0.2]),
        st.integers(0, 1000),
    )


def _same(a: Answer, b: Answer, curve: Curve, steps: float = 1.001) -> bool:
    """Whether two answers lie within so many steps of the curve's grid of each other."""
    if not _rate(a) or not _rate(b):
        return not _rate(a) and not _rate(b)
    assert isinstance(a, float)
    assert isinstance(b, float)
    return abs(math.log10(a / b)) <= steps * curve.step_decades


def _rate(answer: Answer) -> bool:
    return answer is not None and is_rate(answer)


def keeps_under_offset(read: Callable[[Curve], Answer], curve: Curve, u: float, v: float) -> None:
    """The answer to a*loss + b is that to loss, to within one step of the grid."""
    a, b = 10 ** (6 * u - 3), (2 * v - 1) * 1e3
    moved = Curve(curve.lr, a * (curve.loss + b * np.ptp(curve.loss)))
    assert _same(read(curve), read(moved), curve), "a*loss + b changes the answer"


def scales_with_rate(read: Callable[[Curve], Answer], curve: Curve, u: float, v: float) -> None:
    """Rates c times as large give an answer c times as large."""
    c = 10 ** (8 * u - 4)
    pick, moved = read(curve), read(Curve(curve.lr * c, curve.loss))
    there = moved / c if _rate(moved) and isinstance(moved, float) else moved
    assert _same(pick, there, curve, 0.01), "the answer does not scale with the rate"


def survives_tail(read: Callable[[Curve], Answer], curve: Curve, u: float, v: float) -> None:
    """A diverged or non-finite tail appended changes no answer; it may give one where none was."""
    seen = int(np.argmin(curve.loss)) + 6
    assume(seen >= 15)
    lr, loss = curve.lr[:seen], curve.loss[:seen]
    count = 1 + int(7 * u)
    more = lr[-1] * (lr[1] / lr[0]) ** np.arange(1, count + 1)
    tail = loss.max() + np.ptp(loss) * 10 ** np.linspace(1.5, 6, count)
    if v < 0.5:
        tail[:] = (math.nan, math.inf)[int(4 * v)]
    short = Curve(lr, loss)
    pick = read(short)
    longer = read(Curve(np.append(lr, more), np.append(loss, tail)))
    assert not _rate(pick) or _same(pick, longer, curve), "a diverged tail changes the answer"


def stays_within(read: Callable[[Curve], Answer], curve: Curve, u: float, v: float) -> None:
    """The answer lies within the swept range."""
    pick = read(curve)
    inside = not _rate(pick) or (isinstance(pick, float) and curve.lr[0] <= pick <= curve.lr[-1])
    assert inside, "the answer lies outside the swept range"


def abstains_on_nothing(read: Callable[[Curve], Answer], curve: Curve, u: float, v: float) -> None:
    """A flat, rising or empty curve gets a typed abstention."""
    n = len(curve) if v > 0.05 else 0
    lr = np.geomspace(1e-6, 1, n)
    climb = 5 * u * np.linspace(0, 1, n) ** 2 if v > 0.5 else 0.0
    answer = read(Curve(lr, 700 * u + climb + np.zeros(n)))
    assert isinstance(answer, Abstention), "a curve that never falls gets an answer"


def leaves_input_alone(read: Callable[[Curve], Answer], curve: Curve, u: float, v: float) -> None:
    """The curve's arrays are not written to."""
    before = curve.lr.tobytes(), curve.loss.tobytes()
    read(curve)
    assert (curve.lr.tobytes(), curve.loss.tobytes()) == before, "the input was changed"


LAWS: dict[str, Law] = {
    "a*loss + b": keeps_under_offset,
    "scales with the rate": scales_with_rate,
    "diverged tail": survives_tail,
    "within the sweep": stays_within,
    "abstains on nothing": abstains_on_nothing,
    "input unchanged": leaves_input_alone,
}


def check_law(law: str, read: Read, *, context: Context | None = None, examples: int = 200) -> None:
    """Try one of `LAWS` on a heuristic.

    Raises:
        AssertionError: the law is broken; hypothesis shows the simplest curve that breaks it.
        Exception: whatever the heuristic raises.
    """
    known = context or Context()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(_curves(), st.floats(0, 1), st.floats(0, 1))
    def tried(curve: Curve, u: float, v: float) -> None:
        LAWS[law](lambda each: read(each, known), curve, u, v)

    tried()  # fmt: skip


def check_heuristic(
    read: Read, *, exempt: tuple[str, ...] = (), context: Context | None = None, examples: int = 200
) -> None:
    """Try every law but those named in `exempt` on a heuristic.

    Raises:
        AssertionError: a law is broken.
    """
    for law in LAWS:
        if law not in exempt:
            check_law(law, read, context=context, examples=examples)
