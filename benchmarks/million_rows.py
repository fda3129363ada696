"""Grouping, splitting and folding a cohort of a million rows: wall time and peak memory.

No pictures are read. Hashes come in two kinds: independent bits, and bits that collide as those of chest radiographs
do: signs of mixtures of six hidden numbers and noise, tuned so that about as many pairs lie within 2, 4, 6 and 8 bits
(3e-6, 3e-5, 2e-4, 1e-3 of all pairs) as in 5,856 real ones (3e-6, 1e-5, 1e-4, 6e-4). 2% of the rows are planted copies
whose hashes differ in 0 to 6 bits from their original's. Candidates are judged by whether both come from one
original, instead of by pixels. Every run is a process of its own.

    python benchmarks/million_rows.py [--rows 250000 500000 1000000] [--repeats 3] [--out FILE]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

PLANTED = 0.02


def hashes(rows: int, kind: str, random: np.random.Generator) -> np.ndarray:
    """(rows,) uint64: independent bits, or bits with the few effective dimensions of chest radiographs."""
    if kind == "independent":
        return random.integers(0, 2**64, rows, dtype=np.uint64)
    mixing = random.normal(size=(LATENT, 64)).astype(np.float32) / np.sqrt(LATENT)
    bits = np.empty(rows, np.uint64)
    for start in range(0, rows, 50_000):
        count = min(50_000, rows - start)
        values = random.normal(size=(count, LATENT)).astype(np.float32) @ mixing
        values += NOISE * random.normal(size=(count, 64)).astype(np.float32)
        bits[start : start + count] = np.packbits(values > 0, axis=1).view(np.uint64)[:, 0]
    return bits


LATENT, NOISE = 6, 0.3


def cohort(rows: int, kind: str, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """A table with patients of 1 to 20 films, five labels and four sources, and which row each row was copied from."""
    random = np.random.default_rng(seed)
    patients = np.repeat(np.arange(rows), random.geometric(0.45, rows).clip(max=20))[:rows]
    values = hashes(rows, kind, random)
    original = np.arange(rows)
    copies = random.choice(rows // 2, int(PLANTED * rows), replace=False) + rows // 2
    original[copies] = random.integers(0, rows // 2, len(copies))
    flips = np.zeros(len(copies), np.uint64)
    for _ in range(6):
        flips ^= np.where(
            random.random(len(copies)) < 0.5,
            np.uint64(1) << random.integers(0, 64, len(copies), np.uint64),
            np.uint64(0),
        )
    values[copies] = values[original[copies]] ^ flips
    source = random.integers(0, 4, patients.max() + 1)[patients]
    frame = pd.DataFrame(
        {
            "image_id": [f"source{s}/{i:08d}.png" for i, s in enumerate(source)],
            "patient_id": [f"source{s}:{p}" for s, p in zip(source, patients, strict=True)],
            "source": [f"source{s}" for s in source],
            "label": np.array(["normal", "bacterial", "viral", "covid", "other"])[
                random.choice(5, rows, p=[0.5, 0.2, 0.15, 0.1, 0.05])
            ],
            "sha256": [f"{i:064x}" for i in range(rows)],
            "phash": [f"{value:016x}" for value in values.tolist()],
        }
    )
    return frame, original


def one(rows: int, kind: str, seed: int) -> dict[str, float]:
    """Run once in this process."""
    from pulmoscope.cohort.duplicates import find_groups
    from pulmoscope.cohort.splits import assign_folds, check_split, split_patients

    frame, original = cohort(rows, kind, seed)
    # The grouping sorts by image_id; the judge gets row numbers of that order.
    root = original[np.argsort(frame["image_id"].to_numpy(dtype=object), kind="stable")]
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = {}
    start = time.perf_counter()
    grouping = find_groups(
        frame, confirmation=lambda pairs: (root[pairs[:, 0]] == root[pairs[:, 1]]).astype(float)
    )
    frame["group_id"] = grouping.group_id
    seconds["group"] = time.perf_counter() - start
    start = time.perf_counter()
    frame["split"] = split_patients(frame, (0.7, 0.15, 0.15), seed)
    check_split(frame)
    seconds["split and gate"] = time.perf_counter() - start
    start = time.perf_counter()
    frame["fold"] = assign_folds(frame, 5, seed)
    seconds["five folds"] = time.perf_counter() - start
    planted = np.flatnonzero(original != np.arange(rows))
    groups = frame["group_id"].to_numpy(dtype=object)
    return {
        **seconds,
        "total": sum(seconds.values()),
        "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "rss_before_gib": base / 2**20,
        "candidates": grouping.candidates,
        "radius": grouping.radius,
        "planted_copies_joined": float((groups[planted] == groups[original[planted]]).mean()),
        "test_share": float((frame["split"] == "test").mean()),
    }


def main() -> None:
    """Run every size and kind in fresh processes and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 500_000, 1_000_000])
    parser.add_argument("--kinds", nargs="+", default=["independent", "radiographs"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "million_rows.json")
    parser.add_argument("--once", type=int, nargs=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(one(options.once[0], options.kinds[0], options.repeats)))
        return
    results = []
    for kind in options.kinds:
        for rows in options.rows:
            runs = []
            for repeat in range(options.repeats):
                command = [
                    sys.executable,
                    __file__,
                    "--once",
                    str(rows),
                    "--kinds",
                    kind,
                    "--repeats",
                    str(repeat),
                ]
                runs.append(
                    json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                )
                print(kind, rows, runs[-1], file=sys.stderr)
            spread = {
                name: {
                    "median": float(np.median([run[name] for run in runs])),
                    "lowest": min(run[name] for run in runs),
                    "highest": max(run[name] for run in runs),
                }
                for name in runs[0]
            }
            results.append({"hashes": kind, "rows": rows, "repeats": options.repeats, **spread})
    report = {
        "command": "python benchmarks/million_rows.py",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pandas": pd.__version__,
        },
        "unit": "seconds, GiB",
        "results": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


if __name__ == "__main__":
    main()
