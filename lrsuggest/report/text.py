"""How the report writes numbers."""

import math


def rate(value: float) -> str:
    """Write a rate as 3e-3."""
    if not math.isfinite(value):
        return "–"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def number(value: float) -> str:
    """Write a regret or a share with three decimals, a minus as a minus."""
    return "–" if not math.isfinite(value) else f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
