"""Many files into Parquet shards, by local processes and by Ray: equal answers, flat memory, pictures a second.

The files are made from the real radiographs: each of cohen, darkcovidnet, hannover, nih_sample and kermany150 in turn,
shifted by a few pixels and saved again, so that each needs its own decoding. One in 200 is cut off in the middle, and
one in 200 is missing. The network is the default recipe's, with ImageNet's weights and a head drawn from a seed: its
answers mean nothing, its cost is that of a trained one. Each command runs in a process of its own, as a user types
it, and the memory is the sum over all its processes (PSS: pages that several share are counted once), looked at twice
a second.

Each command's measurement is kept in the work folder when it ends, so that a benchmark that was interrupted goes on
with the next command; remove the folder to measure anew.

Usage: score_files.py [--data FOLDER] [--work FOLDER] [--files 2000 20000] [--workers 2]. Writes
benchmarks/results/score_files.json.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from jobs import DATA, about
from PIL import Image, ImageChops

from pulmoscope.imaging import Preprocess
from pulmoscope.imaging.parallel import parallel_map
from pulmoscope.models import Bundle, ModelSpec, build_classifier, load_weights
from pulmoscope.training import load_recipe

HERE = Path(__file__).parent
COLLECTIONS = ("cohen", "darkcovidnet", "hannover", "nih_sample", "kermany150")
CLASSES = ("normal", "pneumonia", "covid")
SHARD = 512
CUT, MISSING, EVERY = 50, 150, 200


def make_file(task: tuple[int, Path, Path]) -> None:
    """One file from a real one: shifted, saved again, some cut off, some left out."""
    number, source, target = task
    if target.exists() or number % EVERY == MISSING:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as picture:
        shifted = ImageChops.offset(picture, 1 + number % 7, 1 + number // 7 % 5)
        shifted.save(target, quality=90)
    if number % EVERY == CUT:
        content = target.read_bytes()
        target.write_bytes(content[: len(content) // 2])


def make_files(data: Path, folder: Path, count: int) -> pd.DataFrame:
    """The manifest of ``count`` files, which are made unless they are there."""
    sources = [
        path
        for name in COLLECTIONS
        for path in sorted((data / name).rglob("*"))
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"}
    ]
    order = np.random.default_rng(0).permutation(len(sources))
    chosen = [sources[order[number % len(sources)]] for number in range(count)]
    targets = [
        folder / f"{number // 1000:03}" / f"{number:06}{chosen[number].suffix}" for number in range(count)
    ]
    for _ in parallel_map(
        make_file, [(n, chosen[n], targets[n]) for n in range(count)], progress="making files"
    ):
        pass
    return pd.DataFrame(
        {"image_id": [f"{n:06}" for n in range(count)], "path": [str(path) for path in targets]}
    )


def make_model(folder: Path) -> Path:
    """The default recipe's network with a head drawn from a seed."""
    recipe = load_recipe("default").resolved()
    spec = ModelSpec(
        backbone=recipe.model.backbone,
        size=recipe.preprocess.size,
        channels=recipe.preprocess.channels,
        head=recipe.model.head,
        classes=CLASSES,
    )
    network = build_classifier(spec, seed=0)
    origin = load_weights(network.backbone, spec.backbone, spec.channels, recipe.model.weights)
    preprocess: Preprocess = recipe.preprocess
    return Bundle(spec=spec, preprocess=preprocess, weights=network.state_dict(), origin=origin).save(folder)


def measured(command: list[str]) -> dict:
    """Run a command; its seconds and the largest memory of all its processes together."""
    start = time.perf_counter()
    peak, processes = 0, 0
    # Files, because nobody empties a pipe while the command runs.
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        subprocess.Popen(command, stdout=out, stderr=err) as job,
    ):
        while job.poll() is None:
            total, count = 0, 0
            try:
                family = [psutil.Process(job.pid), *psutil.Process(job.pid).children(recursive=True)]
            except psutil.NoSuchProcess:
                break
            for process in family:
                try:
                    total += process.memory_full_info().pss
                    count += 1
                except psutil.Error:
                    continue  # it has just ended
            if total > peak:
                peak, processes = total, count
            time.sleep(0.5)
        job.wait()
        seconds = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        said, complaint = out.read(), err.read()
    if job.returncode not in {0, 3}:
        raise SystemExit(complaint)
    per_second = re.search(r"([\d.]+) a second", said)
    return {
        "seconds": round(seconds, 1),
        "pictures_per_second": float(per_second[1]) if per_second else None,
        "peak_pss_mib": round(peak / 2**20),
        "processes": processes,
        "said": [line for line in said.splitlines() if line.startswith(("read", "unreadable"))],
    }


def answers(folder: Path) -> pd.DataFrame:
    """All shards, in order."""
    return pd.concat(
        [pd.read_parquet(path) for path in sorted(folder.glob("part-*.parquet"))], ignore_index=True
    )


def largest_difference(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Of any probability; NaN stands where both have none."""
    columns = [f"p_{name}" for name in CLASSES]
    return float(np.nanmax(np.abs(one[columns].to_numpy() - other[columns].to_numpy())))


def main() -> None:
    """Make the files, score them by each engine, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("runs/score_files"))
    parser.add_argument("--files", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "score_files.json")
    given = parser.parse_args()
    model = make_model(given.work / "model")
    whole = make_files(given.data, (given.work / "files").absolute(), max(given.files))
    engines = {
        "local, in one process": ["--engine", "local"],
        f"local, {given.workers} processes": ["--engine", "local", "--workers", str(given.workers)],
        f"ray, {given.workers} workers": ["--engine", "ray", "--workers", str(given.workers)],
    }
    rows, compared = [], []
    for count in sorted(given.files):
        manifest = given.work / f"{count}.parquet"
        whole.iloc[:count].to_parquet(manifest, index=False, row_group_size=1000)
        tables = {}
        for name, options in engines.items():
            out = given.work / f"{count} {name.replace(',', '')}"
            kept = out.with_suffix(".json")
            if not kept.is_file():
                shutil.rmtree(out, ignore_errors=True)
                command = [sys.executable, "-m", "pulmoscope", "predict", str(model)]
                command += ["--manifest", str(manifest), "--out", str(out), "--shard", str(SHARD), *options]
                row = {"engine": name, "files": count} | measured(command)
                kept.write_text(json.dumps(row))
            row = json.loads(kept.read_text())
            rows.append(row)
            print(row, file=sys.stderr)
            tables[name] = answers(out)
        first, *others = tables
        for other in others:
            compared.append(
                {
                    "files": count,
                    "engines": [first, other],
                    "same_labels_and_reasons": bool(
                        tables[first][["image_id", "prediction", "status", "reason"]].equals(
                            tables[other][["image_id", "prediction", "status", "reason"]]
                        )
                    ),
                    "largest_difference": largest_difference(tables[first], tables[other]),
                }
            )
        compared.append(
            {
                "files": count,
                "engines": others,
                "equal_in_every_value": bool(tables[others[0]].equals(tables[others[1]])),
            }
        )
    about(
        given.out,
        "python benchmarks/score_files.py",
        {
            "unit": "seconds with the start of all processes; MiB of memory, the largest sum over them",
            "shard_rows": SHARD,
            "runs": rows,
            "between_the_sizes": between(rows),
            "compared": compared,
        },
    )


def between(rows: list[dict]) -> dict[str, dict]:
    """From the smallest to the largest count: pictures a second without the start, and the growth of memory."""
    found = {}
    for engine in dict.fromkeys(row["engine"] for row in rows):
        mine = [row for row in rows if row["engine"] == engine]
        small, large = mine[0], mine[-1]
        if large["files"] > small["files"]:
            found[engine] = {
                "pictures_per_second": round(
                    (large["files"] - small["files"]) / (large["seconds"] - small["seconds"]), 1
                ),
                "peak_growth_mib": large["peak_pss_mib"] - small["peak_pss_mib"],
            }
    return found


if __name__ == "__main__":
    main()
