"""The main job on real radiographs: cohort, training, evaluation, report, by the commands a user types.

Usage: real_data.py [--data FOLDER] [--work FOLDER] [--jobs NAME ...]. Finished runs in the work folder are read, not
repeated. Writes benchmarks/results/real_data.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
JOBS = {
    "kermany150": {
        "what": "kermany150, its own test part; validation carved out of training by groups",
        "cohort": ["kermany150={data}/kermany150", "--split", "predefined", "--val-from-train", "0.12"],
    },
    "darkcovidnet": {
        "what": "DarkCovidNet, three classes, 5 folds grouped by patient and copies",
        "cohort": [
            "darkcovidnet={data}/darkcovidnet",
            *("--option", "darkcovidnet:metadata={data}/cohen/metadata.csv", "--split", "kfold:5"),
        ],
    },
    "covid_ap": {
        "what": "COVID-19 AP (Cohen) against no finding and pneumonia AP (NIH), as in system B's design",
        "cohort": [
            *(
                "cohen={data}/cohen",
                "nih={work}/nih",
                "--labels",
                "binary-covid",
                "--where",
                "view=AP",
            ),
            *("--split", "patient:0.6,0.2,0.2"),
        ],
    },
}


def pulmoscope(*arguments: object) -> None:
    """One command; its output is ours."""
    subprocess.run([sys.executable, "-m", "pulmoscope", *map(str, arguments)], check=True)


def join_nih(data: Path, folder: Path) -> None:
    """One NIH folder: the sample, and the NIH pictures that stand in DarkCovidNet under their own names."""
    if folder.is_dir():
        return
    (folder / "images").mkdir(parents=True)
    shutil.copy(data / "nih_sample" / "Data_Entry_2017_v2020.csv", folder)
    for part in ("nih_sample/images", "darkcovidnet/No_findings", "darkcovidnet/Pneumonia"):
        for picture in (data / part).iterdir():
            shutil.copy(picture, folder / "images")


def main() -> None:
    """Run every job and collect its metrics."""
    parser = argparse.ArgumentParser()
    default = Path(os.environ.get("PULMOSCOPE_DATA", HERE.parents[1] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--work", type=Path, default=Path("runs/real_data"))
    parser.add_argument("--jobs", nargs="*", default=list(JOBS))
    given = parser.parse_args()
    results = {}
    join_nih(given.data, given.work / "nih")
    for name in given.jobs:
        cohort, run = given.work / f"c_{name}", given.work / f"r_{name}"
        if not (cohort / "cohort.parquet").is_file():
            pulmoscope(
                "cohort",
                "build",
                *(w.format(data=given.data, work=given.work) for w in JOBS[name]["cohort"]),
                "--out",
                cohort,
            )
        resume = ["--resume"] if run.is_dir() else []
        pulmoscope("train", "default", "--cohort", cohort, "--out", run, "--seed", 0, *resume)
        metrics = json.loads((run / "metrics.json").read_text())
        environment = json.loads((run / "environment.json").read_text())
        results[name] = {
            "what": JOBS[name]["what"],
            "seed": 0,
            "chosen": environment["chosen"],
            "seconds": environment["seconds"],
            "val": metrics.get("val"),
            "test": metrics["test"],
            "folds": [f["test"]["accuracy"]["value"] for f in metrics.get("folds", [])],
        }
        print(name, json.dumps(metrics["test"]["accuracy"]))
    target = HERE / "results" / "real_data.json"
    target.parent.mkdir(exist_ok=True)
    before = json.loads(target.read_text())["results"] if target.is_file() else {}
    about = {
        "command": "python benchmarks/real_data.py",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU",
        "results": before | results,
    }
    target.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
