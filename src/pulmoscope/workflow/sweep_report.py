"""The record of a sweep, its page and its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pulmoscope.evaluation.result import OVERALL
from pulmoscope.files import write_json
from pulmoscope.report.figures.curves import draw_curves
from pulmoscope.report.figures.sweep import draw_boxes, draw_importance, draw_parallel
from pulmoscope.report.style import save_png
from pulmoscope.report.sweep_page import SweepPage, write_sweep_page
from pulmoscope.report.tables import Table, class_table
from pulmoscope.search.sources import WEIGHTS, PairedSources
from pulmoscope.search.space import show, show_value
from pulmoscope.training import Recipe
from pulmoscope.workflow.run import Run, read_json
from pulmoscope.workflow.summary import LEAKED
from pulmoscope.workflow.sweep_findings import IMPORTANCE, TOP, Findings
from pulmoscope.workflow.sweep_names import changed_settings, for_people
from pulmoscope.workflow.verdict import meaning

_COLUMNS = (
    "number",
    "key",
    "state",
    "objective",
    "low",
    "high",
    "rank",
    "p",
    "ties",
    "stage",
    "epoch",
    "seconds",
)
_TESTS = {
    "sign_flip": "the sign-flip test over validation groups, which is McNemar's exact test where no two pictures share "
    "a group, and normal where over 5,000 pictures differ",
    "bootstrap": "the paired bootstrap over validation groups",
}
# Below this an optimism is printed as 0.000, or is a negative number that chance made.
_MEASURABLE = 0.0005


def write_sweep(
    folder: Path, findings: Findings, recipe: Recipe, best: Run, nested: Mapping[str, Any] | None
) -> None:
    """Write ``sweep.json``, the figures and ``sweep.html``."""
    metrics = best.metrics
    content = findings.as_dict() | {
        "test": metrics.get("test"),
        "nested": nested,
        "says": sentences(for_people(findings), nested),
        "changed_settings": changed_settings(recipe),
    }
    write_json(folder / "sweep.json", content)
    findings = for_people(findings)
    figures: dict[str, Path] = {}
    named = axis_labels(findings.axes)
    frame, label = findings.frame.rename(columns=named), _name(findings.objective)
    shares = {named[axis]: share for axis, share in findings.importance.items()}
    drawn = {
        "boxes": draw_boxes(frame, list(named.values()), label=label),
        "parallel": draw_parallel(frame, list(named.values()), label=label, maximise=findings.maximise),
        "importance": draw_importance(shares) if shares else None,
        "curves": draw_curves(_curves(findings)),
    }
    for name, figure in drawn.items():
        if figure is not None:
            figures[name] = save_png(figure, folder / "figures" / f"{name}.png")
    write_sweep_page(folder / "sweep.html", _page(folder, findings, recipe, best, nested), figures)


def _curves(findings: Findings) -> dict[str, list[pd.DataFrame]]:
    """The best trials one by one, and those that were stopped early under one name."""
    curves = {f"trial {number}": [history] for number, history in findings.histories.items()}
    if findings.stopped:
        curves[f"stopped early: {len(findings.stopped)}"] = list(findings.stopped.values())
    return curves


def sentences(findings: Findings, nested: Mapping[str, Any] | None) -> list[str]:
    """What the numbers can bear, in words."""
    best, optimism, ties = findings.best, findings.optimism, findings.ties
    if best is None or optimism is None or ties is None:
        return ["No trial was completed."]
    row = findings.row(best)
    several = len(findings.ranked)
    name = _name(findings.objective)
    tied = findings.tied
    said = [
        f"Trial {best} has the best validation {name}: {_rate(row)}, on {findings.pictures} pictures of "
        f"{findings.groups} groups.",
        f"{len(tied)} of the other {several - 1} trials cannot be told apart from it ({_TESTS[ties.method]}, "
        "corrected by Holm)."
        if several > 1
        else "There is no other trial to compare it with.",
    ]
    if several > 1 and optimism.flatters == optimism.flatters:
        flatters = (
            f"flatters it by about {optimism.flatters:.3f}"
            if optimism.flatters >= _MEASURABLE
            else "flatters it not measurably"
        )
        said += [
            f"Picking the best of {several} on this validation set {flatters}: a trial chosen so reaches about "
            f"{optimism.honest:.3f} ({optimism.low:.3f}-{optimism.high:.3f}) on pictures that did not choose it.",
            "Each trial also chose its own epoch on these pictures: what that flatters comes on top.",
            f"In {optimism.again:.0%} of bootstrap replicates of these pictures trial {best} is the best again, or one "
            "of equals.",
        ]
    if findings.saved is not None:
        said.append(
            f"As it was saved, trial {best} reaches {findings.saved:.4f} on these pictures, not "
            f"{row['objective']:.4f}: the sweep rounds features more coarsely, and close calls fall otherwise."
        )
    said += [_source_sentence(one, name) for one in findings.sources]
    if nested is not None and nested["mean"] is not None:
        between = "" if nested["low"] is None else f" ({nested['low']:.3f}-{nested['high']:.3f})"
        said.append(
            f"Nested cross-validation: the choice reaches {nested['mean']:.3f}{between} on "
            f"{len(nested['folds'])} outer folds; inside them it looked like {nested['inner_mean']:.3f}."
        )
    return said


def _source_sentence(one: PairedSources, name: str) -> str:
    """How two sources of starting weights compare."""
    if one.low <= 0 <= one.high or one.low != one.low:
        judged = f"cannot be told apart from that from {one.second}"
    else:
        judged = f"is {'higher' if one.difference > 0 else 'lower'} than that from {one.second}"
    interval = "" if one.low != one.low else f" ({one.low:+.3f} to {one.high:+.3f})"
    return (
        f"Over the {one.settings} settings tried from both, {name} from {one.first} {judged}: "
        f"{one.difference:+.3f}{interval} on average; it is higher in {one.higher}, equal in {one.equal}, lower in "
        f"{one.lower}. The interval is by bootstrap over validation groups, paired by setting and picture."
    )


def as_text(findings: Findings, best: Run, nested: Mapping[str, Any] | None) -> str:
    """The outcome for the terminal."""
    findings = for_people(findings)
    table = top_table(findings)
    rows = [list(table.header), *table.rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(table.header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([table.caption, "", *lines, "", *sentences(findings, nested), *_test_lines(best)])


def top_table(findings: Findings) -> Table:
    """The best trials with their intervals, and whether they tie with the first."""
    rows = []
    for record in findings.ranked.head(TOP).to_dict("records"):
        number = int(record["number"])
        values = [show_value(findings.params(number).get(axis, "–")) for axis in findings.axes]
        tie = "best" if number == findings.best else "ties" if record["ties"] else "worse"
        p = "" if number == findings.best else f"{record['p_holm']:.3f}"
        rows.append([f"{number}", _rate(record), tie, p, *values, str(int(record["epoch"]))])
    header = [
        "Trial",
        _name(findings.objective),
        "",
        "p (Holm)",
        *axis_labels(findings.axes).values(),
        "Epoch",
    ]
    return Table(
        caption=f"The best {len(rows)} of {len(findings.ranked)} completed trials, validation part; in brackets: 95% "
        "intervals by bootstrap over groups.",
        header=header, rows=rows,
    )  # fmt: skip


def _page(
    folder: Path, findings: Findings, recipe: Recipe, best: Run, nested: Mapping[str, Any] | None
) -> SweepPage:
    plan = read_json(folder / "plan.json")
    counts = findings.frame["state"].value_counts()
    states = ", ".join(f"{int(count)} {name}" for name, count in counts.items())
    failed = findings.frame[findings.frame["state"] == "failed"]
    return SweepPage(
        # Where weights are compared, the variant that names one of them is not what this is.
        title=recipe.name if WEIGHTS in findings.axes else recipe.title,
        subtitle=f"{len(findings.frame)} trials ({states}), {plan['sampler']}, seed {plan['seed']}, "
        f"Pulmoscope {plan['environment']['pulmoscope']}",
        leaked=LEAKED if best.metrics.get("leaked_split") else "",
        description=recipe.description,
        changed=changed_settings(recipe),
        says=sentences(findings, nested),
        chosen=[
            (axis_labels(findings.axes)[axis], show_value(value))
            for axis, value in findings.params(findings.best).items()
        ],
        top=top_table(findings),
        by_value=_value_table(findings),
        importance=IMPORTANCE if findings.importance else "",
        test=_test_tables(best),
        nested=None if nested is None else _nested_table(nested),
        failures=[(f"trial {int(row.number)}", str(row.reason)) for row in failed.itertuples()],
        caveats=[str(one) for one in best.cohort.info.get("caveats", [])],
        facts=[
            ("Cohort", str(plan["cohort"])[:16]),
            ("Validation", f"{findings.pictures} pictures, {findings.groups} groups"),
            ("Bootstrap", f"{findings.replicates} replicates over groups"),
            ("Command", str(plan["environment"]["command"])),
            ("Machine", f"{plan['environment']['platform']}, {plan['environment']['device']}"),
        ],
    )


def _value_table(findings: Findings) -> Table:
    named = axis_labels(findings.axes)
    rows = [
        [
            f"{named[row['axis']]} = {show_value(row['value'])}",
            str(row["n"]),
            f"{row['mean']:.4f}",
            "–" if row["sd"] != row["sd"] else f"{row['sd']:.4f}",
            f"{row['best']:.4f}",
        ]
        for row in findings.by_value().to_dict("records")
    ]
    return Table(
        caption=f"{_name(findings.objective)} of all completed trials, by each value of each parameter.",
        header=["Value", "Trials", "Mean", "SD", "Best"], rows=rows,
    )  # fmt: skip


def _test_tables(best: Run) -> list[Table]:
    metrics = best.metrics.get("test")
    if metrics is None:
        return []
    rows = [[meaning(name), _estimate(metrics[name])] for name in OVERALL]
    overall = Table(
        caption=f"The chosen trial on the test part, {metrics['n']} pictures, read once after the choice.",
        header=["Metric", "Value (95% interval)"], rows=rows,
    )  # fmt: skip
    return [overall, class_table(metrics)]


def _nested_table(nested: Mapping[str, Any]) -> Table:
    rows = [
        [f"fold {row['fold']}", show(row["params"]), f"{row['inner']:.4f}",
         "undefined" if row["outer"] is None else f"{row['outer']:.4f}"]
        for row in nested["folds"]
    ]  # fmt: skip
    return Table(
        caption="Nested cross-validation: what was chosen inside each outer fold, and what it reached on the fold. The "
        "interval of the mean is Student's over folds; folds share training pictures, so it is a little narrow.",
        header=["Outer fold", "Chosen", "Inner", "Outer"], rows=rows, numeric=False,
    )  # fmt: skip


def _test_lines(best: Run) -> list[str]:
    metrics = best.metrics.get("test")
    if metrics is None:
        return ["There is no test part: these are validation numbers, on which choices were made."]
    said = ", ".join(f"{meaning(name)} {_estimate(metrics[name])}" for name in OVERALL)
    return [f"Test part of the chosen trial, {metrics['n']} pictures, read once: {said}."]


def _estimate(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return "undefined"
    if one["low"] is None:
        return f"{one['value']:.3f}"
    return f"{one['value']:.3f} ({one['low']:.3f}-{one['high']:.3f})"


def _rate(row: Mapping[str, Any]) -> str:
    if row["low"] != row["low"]:
        return f"{row['objective']:.3f}"
    return f"{row['objective']:.3f} ({row['low']:.3f}-{row['high']:.3f})"


def _name(objective: str) -> str:
    """``val_f1:covid`` as people say it."""
    metric, _, label = objective.removeprefix("val_").partition(":")
    name = {"f1": "F1", "auroc": "AUROC", "macro_f1": "macro F1", "macro_auroc": "macro AUROC"}.get(
        metric, metric.replace("_", " ")
    )
    return f"{name} of {label}" if label else name


def axis_labels(axes: Sequence[str]) -> dict[str, str]:
    """Axis -> its name in tables and figures: the last part, or all of it where two axes share that.

    >>> axis_labels(["train.head.batch", "train.head.epochs", "train.finetune.epochs"])
    {'train.head.batch': 'batch', 'train.head.epochs': 'head epochs', 'train.finetune.epochs': 'finetune epochs'}
    """
    named: dict[str, str] = {}
    for axis in axes:
        parts = axis.split(".")
        for count in range(1, len(parts) + 1):
            label = " ".join(parts[-count:]).replace("_", " ")
            others = [" ".join(o.split(".")[-count:]).replace("_", " ") for o in axes if o != axis]
            # A table's own column of that name must not be hidden.
            if label not in others and label not in _COLUMNS:
                break
        named[axis] = label
    return named
