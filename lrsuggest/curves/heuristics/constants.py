"""The constants that every heuristic has to beat."""

from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import HEURISTICS, Abstention, Context, Heuristic


def _register_constants() -> None:
    """Register the grid of constants: 1e-4 to 1, three per decade; SGD may want the highest."""
    for third in range(13):
        rate = float(f"{10 ** (-4 + third / 3):.1g}")
        name = f"constant {rate:.0e}".replace("e-0", "e-").replace("e+00", "e0")

        def read(curve: Curve, context: Context, rate: float = rate) -> float | Abstention:
            return rate

        HEURISTICS[name] = Heuristic(name, read, "a fixed rate, the one to beat", "constant")


_register_constants()
