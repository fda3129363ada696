"""Training and prediction beside the plain script, in turn, in one run: ratios that a noisy machine cannot bend.

Usage: against_plain.py [--data FOLDER_OF_KERMANY150] [--rounds 3]. Writes benchmarks/results/against_plain.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CLASSES = {"normal": "normal", "covid": "infected/covid", "non-covid": "infected/non-covid"}
TARGETS = {"finetune": 2.0, "heads": 20.0, "predict": 4.0}


def pictures(data: Path, folder: Path, total: int) -> None:
    """Copy a balanced sample of the training part into class folders, under names that are unique."""
    for name, place in CLASSES.items():
        (folder / name).mkdir(parents=True)
        files = sorted((data / "train" / place).iterdir())
        share = total // 3 + (1 if name == "normal" else 0) * (total % 3)
        for file in files[:share]:
            shutil.copy(file, folder / name / f"{name}-{file.name}")


def run(script: str, job: str, folder: Path, model: Path | None) -> dict:
    """One job in a process of its own."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [sys.executable, str(HERE / script), job, str(folder), out.name]
        subprocess.run(
            command + (["--model", str(model)] if model else []), check=True, stderr=subprocess.DEVNULL
        )
        return json.loads(Path(out.name).read_text())


def trained_model(folder: Path, scratch: Path) -> Path:
    """A model with a trained head, 224 pixels, stretched and bilinear as torchvision's Resize does it."""
    code = (
        "import sys; from pulmoscope import Cohort, train;"
        "c = Cohort.from_sources({'k': sys.argv[1]}, split='patient:0.8,0.1,0.1', near_copies=False);"
        "r = train('default', c, out=sys.argv[2], overrides=['preprocess.size=224', 'preprocess.aspect=stretch',"
        "'preprocess.interpolation=bilinear', 'train.finetune.epochs=2'])"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(folder), str(scratch / "run")], check=True, stdout=subprocess.DEVNULL
    )
    return scratch / "run" / "model"


def main() -> None:
    """Run every job in turn, plain and ours."""
    parser = argparse.ArgumentParser()
    default = Path(os.environ.get("PULMOSCOPE_DATA", HERE.parents[1] / "shared" / "data")) / "kermany150"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", nargs="*", default=list(TARGETS))
    given = parser.parse_args()
    results = {}
    for job in given.jobs:
        rounds = 1 if job == "heads" else given.rounds
        with tempfile.TemporaryDirectory() as scratch_name:
            scratch = Path(scratch_name)
            pictures(given.data, scratch / "pictures", {"finetune": 900, "heads": 240, "predict": 1000}[job])
            model = trained_model(scratch / "pictures", scratch) if job == "predict" else None
            plain, ours = [], []
            for _ in range(rounds):
                plain.append(run("plain.py", job, scratch / "pictures", model))
                ours.append(run("ours.py", job, scratch / "pictures", model))
        ratios = sorted(p["seconds"] / o["seconds"] for p, o in zip(plain, ours, strict=True))
        entry = {
            "pictures": ours[0]["pictures"],
            "plain_seconds": [round(p["seconds"], 2) for p in plain],
            "ours_seconds": [round(o["seconds"], 2) for o in ours],
            "ratio_median": round(statistics.median(ratios), 2),
            "ratio_range": [round(ratios[0], 2), round(ratios[-1], 2)],
            "target": TARGETS[job],
            "peak_mib": {
                "plain": max(p["peak_mib"] for p in plain),
                "ours": max(o["peak_mib"] for o in ours),
            },
        }
        if job == "finetune":
            entry["store_seconds_once"] = [round(o["store_seconds"], 2) for o in ours]
            first = sorted(
                p["seconds"] / (o["seconds"] + o["store_seconds"]) for p, o in zip(plain, ours, strict=True)
            )
            entry["ratio_median_first_epoch_with_store"] = round(statistics.median(first), 2)
        entry["date"] = datetime.date.today().isoformat()
        if job == "predict":
            pairs = zip(plain, ours, strict=True)
            entry["same_labels"] = [
                sum(p["labels"][k] == v for k, v in o["labels"].items()) for p, o in pairs
            ]
        results[job] = entry
        print(job, json.dumps(entry))
    target = HERE / "results" / "against_plain.json"
    target.parent.mkdir(exist_ok=True)
    before = json.loads(target.read_text())["results"] if target.is_file() else {}
    about = {
        "command": "python benchmarks/against_plain.py",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU",
        "python": platform.python_version(),
        "results": before | results,
    }
    target.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
