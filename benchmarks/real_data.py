"""The main job on real radiographs: cohort, training, evaluation, report, by the commands a user types.

Usage: real_data.py [--data FOLDER] [--work FOLDER] [--jobs NAME ...]. Finished runs in the work folder are not
repeated; their stored predictions are judged anew. Writes benchmarks/results/real_data.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from jobs import DATA, about, build_cohort, join_nih, train

from pulmoscope.workflow import Run

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
        run = Run(train("default", cohort, given.work / f"r_{name}", seed=0))
        environment = json.loads((run.folder / "environment.json").read_text())
        # A run in folds has no validation part of its own: every picture is tested by the fold that never saw it.
        parts = {part: run.evaluate(part).as_dict() for part in run.predictions.splits}
        results[name] = {
            "what": JOBS[name]["what"],
            "seed": 0,
            "chosen": environment["chosen"],
            "seconds": environment["seconds"],
            "val": parts.get("val"),
            "test": parts["test"],
            "folds": [f["test"]["accuracy"]["value"] for f in run.metrics.get("folds", [])],
        }
        print(name, json.dumps(parts["test"]["accuracy"]))
    target = HERE / "results" / "real_data.json"
    before = json.loads(target.read_text())["results"] if target.is_file() else {}
    about(target, "python benchmarks/real_data.py", {"results": before | results})


if __name__ == "__main__":
    main()
