"""Runs the lessons on a GPU, writes report and tables, and prints a short table.

    python benchmarks/speed/gpu.py --data DIR --out OUT

One call does what its time allows; the same call again goes on from there. DIR holds camvid11/ and
face_landmarks/. The tables (OUT/tables) belong into benchmarks/recorded/lessons_gpu/; they name
device and versions.
"""

import argparse
import sys

from lrsuggest.bench.__main__ import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder that holds the datasets")
    parser.add_argument("--out", required=True, help="folder for records, report and tables")
    parser.add_argument("--suite", default="lessons_gpu", help="a shipped suite or a .toml file")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    told = parser.parse_args()
    place = ["--out", told.out]
    status = main(["run", told.suite, "--data", told.data, "--device", told.device, *place])
    if status < 2:  # else there is nothing to tell of
        tables = ["export", told.suite, "--to", f"{told.out}/tables"]
        for command in (tables, ["report", told.suite]):
            status = max(status, main([*command, *place]))
    sys.exit(status)
