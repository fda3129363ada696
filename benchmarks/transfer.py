"""Which start serves a small COVID-19 set best: ImageNet, nothing, or chest radiographs? System B's question.

One network (EfficientNet-lite0), one budget, four starts, transferred to Cohen AP (COVID-19) against NIH AP: weights
from ImageNet, random ones, those of a run on kermany150 (which began from ImageNet), and those of a run on NIH PA
pictures of patients who are not in the target. Each start is trained for every seed, frozen (system B's design: the
head alone learns) and whole. The test part is compared in pairs: McNemar's exact test on the labels and a bootstrap
over patients of the difference in accuracy and AUROC, each between the means over seeds of the probabilities.

Usage: transfer.py [--data FOLDER] [--work FOLDER] [--seeds 0,1,2]. Finished runs are read, not repeated. Writes
benchmarks/results/transfer.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from jobs import DATA, about, build_cohort, join_nih, pulmoscope, train
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from pulmoscope.cohort import Cohort

HERE = Path(__file__).parent
POSITIVE = "covid"
# One budget for every start: 144 pixels, the head for at most 60 epochs on frozen features or ten epochs of everything.
SHARED = [
    "preprocess.size=144",
    "preprocess.channels=1",
    "train.finetune.patience=10",
    "train.select=val_loss",
]
BUDGETS = {
    "frozen": [*SHARED, "train.finetune.epochs=0", "train.head.epochs=60"],
    "whole": [
        *SHARED,
        "train.finetune.epochs=10",
        "train.finetune.learning_rate=0.001",
        "train.head.epochs=10",
    ],
}
# On NIH's few pictures the head on ImageNet's features validates better than the whole network: what would be handed on
# is ImageNet's backbone again. So that run has no head stage, and validation chooses among epochs of everything.
PRETRAIN_NIH = ["train.head.epochs=0", "train.finetune.epochs=10", "train.finetune.patience=10"]


def main() -> None:
    """Build the cohorts, pretrain, transfer, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--seeds", default="0,1,2")
    given = parser.parse_args()
    work, data = given.work, given.data
    join_nih(data, work / "nih")
    target = build_cohort(
        work / "c_target",
        *(f"cohen={data}/cohen", f"nih={work}/nih", "--labels", "binary-covid", "--where", "view=AP"),
        *("--split", "patient:0.6,0.2,0.2"),
    )
    kermany = build_cohort(
        work / "c_kermany150",
        f"kermany150={data}/kermany150",
        "--split",
        "predefined",
        "--val-from-train",
        "0.12",
    )
    pretrained = {
        "kermany150": train("default", kermany, work / "pre_kermany150", seed=0),
        "nih": train("default", other_nih(work, target), work / "pre_nih", seed=0, settings=PRETRAIN_NIH),
    }
    starts = {"imagenet": "imagenet", "random": "random"} | {
        name: f"run={run}" for name, run in pretrained.items()
    }
    results = {}
    for budget, settings in BUDGETS.items():
        tables = {}
        for start, weights in starts.items():
            out = work / budget / start
            pulmoscope(
                *("train", "default", "--cohort", target, "--seeds", given.seeds, "--out", out, "--resume"),
                *(item for setting in [*settings, f"model.weights={weights}"] for item in ("--set", setting)),
            )
            tables[start] = [
                pd.read_parquet(out / f"seed-{seed}" / "predictions.parquet").query("split == 'test'")
                for seed in given.seeds.split(",")
            ]
        results[budget] = compare(tables)
        about(
            HERE / "results" / "transfer.json",
            "python benchmarks/transfer.py",
            {
                "test_pictures": int((Cohort.read(target).frame["split"] == "test").sum()),
                "seeds": given.seeds,
                "budgets": {done: BUDGETS[done] for done in results},
                "results": results,
            },
        )


def other_nih(work: Path, target: Path) -> Path:
    """A cohort of NIH PA pictures, finding against no finding, of patients outside the target."""
    folder = work / "c_nih_pa"
    if (folder / "cohort.parquet").is_file():
        return folder
    taken = set(Cohort.read(target).frame["patient_id"].dropna())
    scheme = work / "finding.yaml"
    scheme.write_text(
        yaml.safe_dump(
            {"classes": ["finding", "no-finding"], "rules": {"No Finding": "no-finding", "*": "finding"}},
            sort_keys=False,  # the first rule that fits decides
        )
    )
    whole = Cohort.from_sources(
        {"nih": work / "nih"}, labels=scheme, where=["view=PA"], split="patient:0.8,0.2,0", progress=True
    )
    whole.subset((~whole.frame["patient_id"].isin(taken)).to_numpy()).write(folder)
    return folder


def compare(tables: dict[str, list[pd.DataFrame]]) -> dict[str, object]:
    """Scores a start and seed, and every start against ImageNet."""
    found: dict[str, object] = {}
    means = {}
    for start, runs in tables.items():
        runs = [run.set_index("image_id").sort_index() for run in runs]
        labels = (runs[0]["label"] == POSITIVE).to_numpy()
        scores = np.stack([run[f"p_{POSITIVE}"].to_numpy() for run in runs])
        accuracy = ((scores > 0.5) == labels).mean(axis=1)
        areas = np.array([roc_auc_score(labels, one) for one in scores])
        means[start] = (labels, runs[0]["group_id"].to_numpy(), scores.mean(axis=0))
        found[start] = {
            "accuracy": {"seeds": accuracy.tolist(), "mean": accuracy.mean(), "sd": accuracy.std(ddof=1)},
            "auroc": {"seeds": areas.tolist(), "mean": areas.mean(), "sd": areas.std(ddof=1)},
        }
    for start in tables:
        if start != "imagenet":
            found[f"imagenet minus {start}"] = paired(means["imagenet"], means[start])
    return found


def paired(
    one: tuple[NDArray[np.bool_], NDArray[np.object_], NDArray[np.float64]],
    other: tuple[NDArray[np.bool_], NDArray[np.object_], NDArray[np.float64]],
    replicates: int = 2000,
) -> dict[str, object]:
    """McNemar's exact test, and the differences with 95% bootstrap intervals over patients."""
    labels, groups, first = one
    second = other[2]
    right_first, right_second = (first > 0.5) == labels, (second > 0.5) == labels
    only_first, only_second = (
        int((right_first & ~right_second).sum()),
        int((~right_first & right_second).sum()),
    )
    discordant = only_first + only_second
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    rows_of = [np.flatnonzero(codes == index) for index in range(len(names))]
    generator = np.random.default_rng(0)
    accuracy, auroc = [], []
    for _ in range(replicates):
        rows = np.concatenate([rows_of[index] for index in generator.integers(len(names), size=len(names))])
        accuracy.append(right_first[rows].mean() - right_second[rows].mean())
        if labels[rows].any() and not labels[rows].all():
            auroc.append(roc_auc_score(labels[rows], first[rows]) - roc_auc_score(labels[rows], second[rows]))
    return {
        "only_first_right": only_first,
        "only_second_right": only_second,
        "mcnemar_exact_p": binomtest(only_first, discordant).pvalue if discordant else 1.0,
        "accuracy_difference": [
            float(right_first.mean() - right_second.mean()),
            *np.percentile(accuracy, [2.5, 97.5]),
        ],
        "auroc_difference": [
            roc_auc_score(labels, first) - roc_auc_score(labels, second),
            *np.percentile(auroc, [2.5, 97.5]),
        ],
    }


if __name__ == "__main__":
    print(json.dumps({"see": "benchmarks/results/transfer.json"}))
    main()
