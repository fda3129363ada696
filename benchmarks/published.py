"""The published systems on the data that is here, by the commands a user types: `cohort build`, then `replay`.

Usage: published.py [--data FOLDER] [--work FOLDER] [--jobs NAME ...]. What is finished in the work folder is read, not
trained again. Writes benchmarks/results/published.json: for every job the rows of its replay.json, and what a leak is
worth: the same recipe on folds by picture and on folds by patient, compared picture by picture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from jobs import DATA, about, build_cohort, pulmoscope

from pulmoscope.evaluation import compare_predictions, read_predictions

HERE = Path(__file__).parent
KERMANY = ["kermany150={data}/kermany150", "--split", "predefined", "--val-from-train", "0.12"]
DARK = ["darkcovidnet={data}/darkcovidnet", "--option", "darkcovidnet:metadata={data}/cohen/metadata.csv"]
TWO = ["--where", "label!=Pneumonia"]
NAMED = [*DARK, "--labels", "covid-pneumonia-normal", "--split", "patient:0.6,0.2,0.2"]
JOBS: dict[str, dict[str, Any]] = {
    "system_c": {"cohort": KERMANY, "replay": ["system_c", "--seeds", "0,1,2"]},
    "kermany_best": {"cohort": KERMANY, "replay": ["kermany_best", "--seeds", "0,1,2"]},
    "pneumoniamnist": {
        "cohort": ["pneumoniamnist={data}/pneumoniamnist", "--split", "predefined", "--drop-leaks"],
        "replay": ["pneumoniamnist", "--seeds", "0,1,2"],
    },
    "darkcovidnet_grouped": {
        "cohort": [*DARK, "--split", "kfold:5"],
        "replay": ["darkcovidnet", "--variants", "three_class"],
    },
    "darkcovidnet_grouped_224": {
        "cohort": [*DARK, "--split", "kfold:5"],
        "replay": ["darkcovidnet", "--variants", "three_class_224"],
    },
    "darkcovidnet_by_picture": {
        "cohort": [*DARK, "--split", "kfold-pictures:5", "--allow-leak"],
        "replay": ["darkcovidnet", "--variants", "three_class"],
    },
    "darkcovidnet_two_grouped": {
        "cohort": [*DARK, *TWO, "--split", "kfold:5"],
        "replay": ["darkcovidnet", "--variants", "covid_vs_no_findings"],
    },
    "darkcovidnet_two_by_picture": {
        "cohort": [*DARK, *TWO, "--split", "kfold-pictures:5", "--allow-leak"],
        "replay": ["darkcovidnet", "--variants", "covid_vs_no_findings"],
    },
    "system_a_quick": {
        "cohort": [
            *DARK,
            *("--labels", "binary-covid", "--where", "finding!=Pneumonia", "--split", "patient:0.6,0.2,0.2"),
        ],
        "replay": ["system_a", "--budget", "quick"],
    },
    "system_d_quick": {
        "cohort": NAMED,
        "replay": ["system_d", "--budget", "quick"],
    },
    "system_e_quick": {
        "cohort": NAMED,
        "replay": ["system_e", "--budget", "quick"],
    },
}

# The same recipe on honest folds and on leaking ones.
LEAKS = {
    "three_class": ("darkcovidnet_grouped", "darkcovidnet_by_picture"),
    "covid_vs_no_findings": ("darkcovidnet_two_grouped", "darkcovidnet_two_by_picture"),
}


def main() -> None:
    """Run the jobs and collect their tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("runs/published"))
    parser.add_argument("--jobs", nargs="*", default=list(JOBS), choices=list(JOBS))
    given = parser.parse_args()
    target = HERE / "results" / "published.json"
    before = json.loads(target.read_text()) if target.is_file() else {}
    results, leaks = before.get("results", {}), before.get("leaks", {})
    for name in given.jobs:
        job = JOBS[name]
        words = [word.format(data=given.data) for word in job["cohort"]]
        # Jobs with one description share one cohort.
        same = next(other for other, one in JOBS.items() if one["cohort"] == job["cohort"])
        cohort = build_cohort(given.work / f"c_{same}", *words)
        pulmoscope("replay", *job["replay"], "--cohort", cohort, "--out", given.work / name)
        replay = json.loads((given.work / name / "replay.json").read_text())
        replay["command"] = f"pulmoscope replay {' '.join(job['replay'])} --cohort c_{same}"
        replay["cohort"] = f"pulmoscope cohort build {' '.join(job['cohort'])}".replace("{data}", "DATA")
        results[name] = replay
        leaks |= {variant: leak for variant in LEAKS if (leak := worth_of_leak(given.work, variant))}
        about(target, "python benchmarks/published.py", {"results": results, "leaks": leaks})


def worth_of_leak(work: Path, variant: str) -> dict[str, Any] | None:
    """The paired difference in accuracy, by picture less grouped; None until both have been trained."""
    grouped, leaking = (work / job / variant / "seed-0" / "predictions.parquet" for job in LEAKS[variant])
    if not (grouped.is_file() and leaking.is_file()):
        return None
    tables = {"grouped": read_predictions(grouped), "by picture": read_predictions(leaking)}
    found = compare_predictions(tables, metrics=("accuracy",)).as_dict()
    return {"pictures": found["pictures"], "groups": found["groups"]} | found["pairs"][0]


if __name__ == "__main__":
    main()
