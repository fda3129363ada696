"""What calibration, conformal sets, abstention and ensembles do on real runs, from their predictions alone.

    python benchmarks/uncertainty.py NAME=RUN[,RUN...] ... [--out FILE]

Every run is judged by itself. Several runs of one name are seeds of one recipe: their ensembles are tested against
them. A cross-validation is judged fold by fold, and its coverage also over all folds together; its folds make no
ensemble.

For each: the ECE on test before and after a temperature fitted on validation, with the interval of the difference over
patients; conformal coverage at 0.9 by class beside its target, and whether chance alone would move it by more than two
points; the same with validation and test drawn anew from the pictures of both, patients whole, which shows what the
method does where its premise holds; the risk-coverage curve, and the AUROC of telling wrong answers by confidence.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from jobs import about

from pulmoscope.evaluation import (
    Predictions,
    clopper_pearson,
    draw_weights,
    expected_calibration_error,
    fit_temperature,
    group_codes,
    percentile_interval,
    read_predictions,
)
from pulmoscope.evaluation.calibration_summary import CalibrationSummary, calibration_summary
from pulmoscope.evaluation.conformal import fit_conformal
from pulmoscope.evaluation.conformal_table import conformal_report
from pulmoscope.evaluation.ensemble import build_ensemble
from pulmoscope.evaluation.ensemble_tests import against_members
from pulmoscope.evaluation.selective_table import selective_report

LEVEL, NEAR, REDRAWS, REPLICATES = 0.9, 0.02, 200, 2000


def main() -> None:
    """Judge every run named on the command line and write the results file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN[,RUN...]")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "uncertainty.json")
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    for one in chosen.runs:
        name, _, folders = one.partition("=")
        found[name] = judge_name([Path(folder) for folder in folders.split(",")])
        show(name, found[name])
    names = " ".join(f"{one.partition('=')[0]}=RUN[,RUN...]" for one in chosen.runs)
    settings = {"level": LEVEL, "near": NEAR, "redraws": REDRAWS, "replicates": REPLICATES}
    about(chosen.out, f"python benchmarks/uncertainty.py {names}", {"settings": settings, "results": found})


def judge_name(folders: list[Path]) -> dict[str, Any]:
    """Every run of one name, then what they are together."""
    folds = sorted((folders[0] / "folds").glob("fold-*")) if len(folders) == 1 else []
    tables = {one.name: read_predictions(one / "predictions.parquet") for one in folds or folders}
    content: dict[str, Any] = {"runs": {name: judge(table) for name, table in tables.items()}}
    if folds:
        content["all_folds"] = {
            "temperature": pooled_temperature(tables), "conformal": pooled_coverage(tables)
        }  # fmt: skip
    elif len(tables) > 1:
        content["ensembles"] = {
            method: judge_ensemble(tables, method) for method in ("mean", "weighted", "stacked")
        }
    return content


def judge(table: Predictions) -> dict[str, Any]:
    """Calibration, sets and abstention of one run."""
    selective = selective_report(table)
    return {
        "validation": len(table.part("val")),
        "test": len(table.part("test")),
        "temperature": temperature(table),
        "conformal": coverage(table),
        "redrawn": redrawn(table),
        "risk_coverage": {
            key: value
            for key, value in selective.as_dict().items()
            if key
            in ("mistakes", "area", "area_at_random", "area_at_best", "risk_at_coverage", "wrong_from_right")
        }
        | {"falls": bool(selective.curve.area < selective.curve.at_random and selective.wrong.low > 0.5)},
    }


def temperature(table: Predictions) -> dict[str, Any]:
    """A temperature fitted on validation, and the ECE on test before and after."""
    val, test = table.part("val"), table.part("test")
    fitted = fit_temperature(val.labels, soft(val))
    return {"value": fitted.value} | change(test.labels, soft(test), fitted.apply(soft(test)), test.groups)


def change(labels: Any, before: Any, after: Any, names: Any) -> dict[str, Any]:
    """The ECE before and after, and the interval of the difference over groups; below 0 is better."""
    codes, groups = group_codes(names)
    gaps = [gap_by_group(labels, one, codes, groups) for one in (before, after)]
    counts = np.bincount(codes, minlength=groups)
    drawn = [
        (np.abs(weights @ gaps[1]).sum() - np.abs(weights @ gaps[0]).sum()) / (weights @ counts)
        for weights in draw_weights(groups, REPLICATES, np.random.default_rng(0))
    ]
    low, high, _ = percentile_interval(drawn)
    width, mass = (
        [expected_calibration_error(labels, one, binning=binning) for one in (before, after)]
        for binning in ("width", "mass")
    )
    return {
        "ece_width": {"before": width[0], "after": width[1], "difference_low": low, "difference_high": high},
        "ece_mass": {"before": mass[0], "after": mass[1]},
        "lower": bool(width[1] < width[0]),
        "told_apart": bool(high < 0 or low > 0),
    }


def gap_by_group(labels: Any, scores: Any, codes: Any, groups: int) -> Any:
    """Sum of right minus confidence, (G, 10): its column sums over N are the ECE's terms."""
    confidence = scores.max(axis=1)
    bins = np.clip(np.ceil(confidence * 10).astype(int) - 1, 0, 9)
    gaps = np.zeros((groups, 10))
    np.add.at(gaps, (codes, bins), (scores.argmax(axis=1) == labels) - confidence)
    return gaps


def coverage(table: Predictions) -> dict[str, Any]:
    """Coverage at the level: of all pictures under one threshold, by class under its own."""
    found = conformal_report(table, level=LEVEL)
    rows = {"all": found.kinds["marginal"].overall, **found.kinds["by-class"].by_class}
    counts = dict(zip(table.classes, found.kinds["by-class"].rule.counts, strict=True))
    return {
        name: one.as_dict()
        | {
            "validation": counts.get(name, len(table.part("val"))),
            "within_two_points": bool(abs(one.seen.value - LEVEL) <= NEAR),
            "chance_alone_is_larger": bool(max(LEVEL - one.range_low, one.range_high - LEVEL) > NEAR),
        }
        for name, one in rows.items()
    }


def redrawn(table: Predictions) -> dict[str, float]:
    """Mean coverage where validation and test are drawn anew from the pictures of both, patients whole."""
    whole, scores = table, soft(table)
    codes, groups = group_codes(whole.groups)
    share = len(table.part("val")) / len(table)
    random = np.random.default_rng(0)
    seen: dict[str, list[float]] = {name: [] for name in ("all", *table.classes)}
    for _ in range(REDRAWS):
        val = (random.random(groups) < share)[codes]
        labels = whole.labels
        for kind in ("marginal", "by-class"):
            rule = fit_conformal(labels[val], scores[val], table.classes, level=LEVEL, kind=kind)
            held = rule.sets(scores[~val])[np.arange(int((~val).sum())), labels[~val]]
            if kind == "marginal":
                seen["all"].append(float(held.mean()))
                continue
            for index, name in enumerate(table.classes):
                if (labels[~val] == index).any():
                    seen[name].append(float(held[labels[~val] == index].mean()))
    return {name: float(np.mean(values)) for name, values in seen.items()}


def pooled_temperature(tables: dict[str, Predictions]) -> dict[str, Any]:
    """The ECE over the test pictures of all folds, each with the temperature of its own validation part."""
    before, after, labels, groups = [], [], [], []
    for table in tables.values():
        val, test = table.part("val"), table.part("test")
        before.append(soft(test))
        after.append(fit_temperature(val.labels, soft(val)).apply(soft(test)))
        labels.append(test.labels)
        groups.append(test.groups)
    return change(*(np.concatenate(one) for one in (labels, before, after, groups)))


def pooled_coverage(tables: dict[str, Predictions]) -> dict[str, Any]:
    """Coverage over the test pictures of all folds, each under the thresholds of its own validation part."""
    hits: dict[str, list[int]] = {}
    for table in tables.values():
        found = conformal_report(table, level=LEVEL)
        for name, one in {"all": found.kinds["marginal"].overall, **found.kinds["by-class"].by_class}.items():
            counts = hits.setdefault(name, [0, 0])
            counts[0] += round(one.seen.value * one.seen.n)
            counts[1] += one.seen.n
    content = {}
    for name, (held, total) in hits.items():
        low, high = clopper_pearson(held, total)
        content[name] = {
            "value": held / total, "low": float(low), "high": float(high), "n": total,
            "within_two_points": bool(abs(held / total - LEVEL) <= NEAR),
        }  # fmt: skip
    return content


def calibrated(table: Predictions) -> CalibrationSummary:
    """Log loss and ECE, without intervals."""
    found = calibration_summary(table, replicates=0)
    assert found is not None
    return found


def judge_ensemble(tables: dict[str, Predictions], method: str) -> dict[str, Any]:
    """One way to combine the seeds, tested against each."""
    made = build_ensemble(tables, method=method)
    judged = {**made.members, "ensemble": made.judged}
    sums = {name: calibrated(one) for name, one in judged.items()}
    return {
        "combination": made.combination.as_dict() if method != "stacked" else {"method": method},
        "accuracy": {name: float((one.predicted == one.labels).mean()) for name, one in judged.items()},
        "log_loss": {name: one.log_loss.value for name, one in sums.items()},
        "ece_width": {name: one.ece_width.value for name, one in sums.items()},
        "against_members": [one.as_dict() for one in against_members(made, replicates=REPLICATES)],
    }


def soft(table: Predictions) -> Any:
    """Probabilities (N, C).

    Raises:
        ValueError: The table has none.
    """
    if table.probabilities is None:
        raise ValueError(f"{table.name} has no probabilities")
    return table.probabilities


def show(name: str, content: dict[str, Any]) -> None:
    """A few lines a name."""
    print(name)
    for run, one in content["runs"].items():
        fitted, risk = one["temperature"], one["risk_coverage"]
        ece = fitted["ece_width"]
        print(
            f"  {run}: ECE {ece['before']:.4f} -> {ece['after']:.4f} "
            f"(difference {ece['difference_low']:+.4f} to {ece['difference_high']:+.4f}), T {fitted['value']:.3f}"
        )
        for label, seen in one["conformal"].items():
            print(
                f"    {label}: coverage {seen['value']:.3f} ({seen['low']:.3f}-{seen['high']:.3f}), expected "
                f"{seen['range_low']:.3f}-{seen['range_high']:.3f}, redrawn {one['redrawn'][label]:.3f}"
            )
        risks = risk["risk_at_coverage"]
        print(
            f"    error {risks['1']:.3f} of all, {risks['0.8']:.3f} of 80%, {risks['0.5']:.3f} of 50%; AUROC of wrong "
            f"{risk['wrong_from_right']['value']:.3f} ({risk['wrong_from_right']['low']:.3f}-"
            f"{risk['wrong_from_right']['high']:.3f})"
        )
    pooled = content.get("all_folds", {"conformal": {}})
    if "temperature" in pooled:
        ece = pooled["temperature"]["ece_width"]
        print(
            f"  all folds: ECE {ece['before']:.4f} -> {ece['after']:.4f} "
            f"(difference {ece['difference_low']:+.4f} to {ece['difference_high']:+.4f})"
        )
    for label, seen in pooled["conformal"].items():
        print(f"  all folds, {label}: coverage {seen['value']:.3f} ({seen['low']:.3f}-{seen['high']:.3f})")
    for method, one in content.get("ensembles", {}).items():
        shown = ", ".join(
            f"{run} {one['accuracy'][run]:.4f} / {one['log_loss'][run]:.4f} / {one['ece_width'][run]:.4f}"
            for run in one["accuracy"]
        )
        print(f"  {method}: accuracy / log loss / ECE: {shown}")
        for told in one["against_members"]:
            tested = ", ".join(
                f"{metric} {diff['difference']:+.4f} p {diff['holm_p']:.3f}"
                for metric, diff in told["differences"].items()
            )
            print(f"    against {told['member']}: {tested}")


if __name__ == "__main__":
    main()
