"""Carry people's hand-picked rates, and the curves they looked at, into benchmarks/recorded/.

    python benchmarks/pages/people.py CORPUS_DIR [--out benchmarks/recorded]

CORPUS_DIR holds picks.csv and curves.csv.gz, numbers read off public range test plots. Written are
people_picks.csv and people_curves.csv; PEOPLE.md beside them says what each column means.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

POINTS = 100
DIGITS = "%.5g"  # what the corpus itself carries
HELD_OUT = 0.3  # share of the authors that nothing may be tuned on

# An account is an author. This one republishes the other's course, cell by cell ("course2020").
SAME_AUTHOR = {"walkwithfastai": "muellerzr"}

COLUMNS = {
    "curve_id": "id",
    "source": "source",
    "author": "author",
    "split": "split",
    "lib_style": "library",
    "dataset": "dataset",
    "task": "task",
    "arch": "arch",
    "stage": "stage",
    "fit_fn": "fit_fn",
    "epochs": "epochs",
    "batch_size": "batch_size",
    "lr_form": "lr_form",
    "human_lr_hi": "human_lr_hi",
    "human_lr_lo": "human_lr_lo",
    "printed": "printed",
    "y_calibrated": "loss_calibrated",
    "digitise_quality": "digitise_quality",
}


def split(authors: set[str]) -> dict[str, str]:
    """Return "held_out" for the 30 % of the authors whose names hash lowest, "dev" for the rest."""
    ranked = sorted(authors, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held = round(HELD_OUT * len(ranked))
    return {name: "held_out" if place < held else "dev" for place, name in enumerate(ranked)}


def printed(suggestion: str | float) -> str:
    """Return what the tool printed as "name=rate name=rate", empty where it printed nothing."""
    if not isinstance(suggestion, str):
        return ""
    return " ".join(f"{name}={DIGITS % rate}" for name, rate in json.loads(suggestion).items())


def resampled(lr: pd.Series, height: pd.Series) -> pd.DataFrame:
    """Return the curve at 100 rates evenly spaced in log10, linear between its points."""
    x = np.log10(lr.to_numpy(float))
    at = np.linspace(x[0], x[-1], POINTS)
    return pd.DataFrame({"lr": 10**at, "loss": np.interp(at, x, height.to_numpy(float))})


def tables(corpus: Path) -> dict[str, str]:
    """Return the text of each file to write, by name."""
    picks = pd.read_csv(corpus / "picks.csv")
    grouped = pd.read_csv(corpus / "curves.csv.gz").groupby("curve_id")
    points = {str(name): each for name, each in grouped}
    picks = picks[(picks.independent == 1) & picks.curve_id.isin(set(points))]
    picks = picks.sort_values("curve_id")
    account = picks.source.str.split("/").str[0]
    picks = picks.assign(author=account.replace(SAME_AUTHOR))
    picks["split"] = picks.author.map(split(set(picks.author)))
    picks["printed"] = picks.suggestion.map(printed)
    for count in ("epochs", "batch_size"):
        picks[count] = picks[count].astype("Int64")

    curves = []
    for pick in picks.itertuples():
        name = str(pick.curve_id)
        mine = points[name]
        # Where the labels of the axis could not be read, the height in the picture has to do.
        height = mine.loss if pick.y_calibrated else mine.y_rel
        curves.append(resampled(mine.lr, height).assign(curve_id=name))
    out = {
        "people_picks.csv": picks[list(COLUMNS)].rename(columns=COLUMNS),
        "people_curves.csv": pd.concat(curves)[["curve_id", "lr", "loss"]],
    }
    return {
        name: table.to_csv(index=False, float_format=DIGITS, lineterminator="\n")
        for name, table in out.items()
    }


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "recorded")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, text in tables(asked.corpus).items():
        (asked.out / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{asked.out / name}: {text.count(chr(10)) - 1} rows, {len(text)} bytes")


if __name__ == "__main__":
    main()
