"""The main job on real radiographs: cohort, training, evaluation, report, by the commands a user types.

Usage: real_data.py [--data FOLDER] [--work FOLDER] [--jobs NAME ...]. Finished runs in the work folder are read, not
repeated. Writes benchmarks/results/real_data.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from jobs import DATA, about, build_cohort, join_nih, train

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


def main() -> None:
    """Run every job and collect its metrics."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("runs/real_data"))
    parser.add_argument("--jobs", nargs="*", default=list(JOBS))
    given = parser.parse_args()
    results = {}
    join_nih(given.data, given.work / "nih")
    for name in given.jobs:
        words = [word.format(data=given.data, work=given.work) for word in JOBS[name]["cohort"]]
        cohort = build_cohort(given.work / f"c_{name}", *words)
        run = train("default", cohort, given.work / f"r_{name}", seed=0)
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
    before = json.loads(target.read_text())["results"] if target.is_file() else {}
    about(target, "python benchmarks/real_data.py", {"results": before | results})


if __name__ == "__main__":
    main()
