"""A curve as a file."""

import numpy as np

from lrsuggest.curves.curve import Curve

LR = np.geomspace(1e-6, 1, 30)
LOSS = np.append(np.linspace(2.3, 0.7, 29), 3.0)
PLAIN = "lr,loss\n" + "".join(
    f"{a!r},{b!r}\n" for a, b in zip(LR.tolist(), LOSS.tolist(), strict=True)
)


def read(tmp_path, text):
    path = tmp_path / "curve.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Curve.from_csv(path)
