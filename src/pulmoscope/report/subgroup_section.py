"""The report's section on subgroups."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pulmoscope.errors import TableError
from pulmoscope.evaluation.compare_words import metric_title
from pulmoscope.evaluation.p_value import show_bare_p
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import Estimate
from pulmoscope.evaluation.subgroup_levels import MOST_LEVELS, USUAL_COLUMNS, rows_of, subgroup_levels
from pulmoscope.evaluation.subgroup_words import (
    SMALL_RULE,
    TEST_RULE,
    gap_sentence,
    show_estimate,
)
from pulmoscope.evaluation.subgroups import Subgroup, Subgroups, evaluate_subgroups
from pulmoscope.report.figures.subgroups import ForestLine, ForestPanel, draw_subgroups
from pulmoscope.report.numbers import UNDEFINED
from pulmoscope.report.section import Section
from pulmoscope.report.tables import Table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: What :func:`subgroup_section` gives.
SubgroupSection = Section
# Past this many classes a plot of one rate a class is no longer read; the tables have them all.
_MOST_PANELS = 9


def subgroup_section(predictions: Predictions, frame: pd.DataFrame) -> SubgroupSection | None:
    """Subgroups by source, view, sex and age.

    Args:
        predictions: The part that is judged, of one model, with labels.
        frame: The cohort's table: ``image_id`` and what is known of each picture.

    Returns:
        The section; None where no column has two levels, or the cohort holds none of the pictures.
    """
    try:
        rows = rows_of(frame, [str(one) for one in predictions.frame["image_id"]])
    except TableError:
        # The predictions are of other pictures than the cohort's: nothing is known of them.
        return None
    # An identifier in one of these columns is no subgroup; unknown may be one level more.
    usable = [
        one for one in USUAL_COLUMNS if one in rows and (one == "age" or rows[one].nunique() < MOST_LEVELS)
    ]
    if not usable:
        return None
    levels = subgroup_levels(rows, by=usable)
    return as_section(evaluate_subgroups(predictions, levels)) if levels.columns else None


def as_section(found: Subgroups) -> SubgroupSection:
    """Subgroups as tables, sentences and forest plots."""
    differing = [one for one in found.gaps if one.differs]
    untested = [one for one in found.gaps if math.isnan(one.p)]
    sentences = [gap_sentence(one) for one in (*differing, *untested)]
    alike = len(found.gaps) - len(differing) - len(untested)
    if alike:
        rest = "gaps cannot" if alike > 1 else "gap cannot"
        other = "The other " if differing or untested else ""
        sentences.append(f"{other}{alike} {rest} be told apart from chance; each stands in the table.")
    if not found.gaps:
        sentences.append("No column has two levels with enough pictures: no gap was tested.")
    sentences += [_sentence(note) for note in (SMALL_RULE, *found.notes)]
    tables = [_level_table(found, column, levels) for column, levels in found.columns.items()]
    if found.gaps:
        tables.append(_gap_table(found))
    captions, figures = _figures(found)
    return Section(tables=tuple(tables), sentences=tuple(sentences), captions=captions, figures=figures)


def _level_table(found: Subgroups, column: str, levels: Sequence[Subgroup]) -> Table:
    rows = [["Pictures", f"{found.overall.n:,}", *(f"{one.n:,}" for one in levels)]]
    rows += [
        [
            f"of them {label}",
            f"{found.overall.classes[label].support:,}",
            *(f"{one.support[label]:,}" for one in levels),
        ]
        for label in found.classes
    ]
    rows += [
        [_title(metric), show_estimate(found.metrics()[metric]), *(_cell(one, metric) for one in levels)]
        for metric in found.shown()
    ]
    return Table(
        caption=f"By {column}, with 95% intervals; * small",
        header=["", "All", *(one.level for one in levels)],
        rows=rows,
    )


def _gap_table(found: Subgroups) -> Table:
    return Table(
        caption=f"Gaps between levels. {TEST_RULE[0].upper()}{TEST_RULE[1:]}",
        header=["Column", "Metric", "Lowest", "Highest", "Gap (95% interval)", "p", "After Holm", ""],
        rows=[
            [
                one.column, metric_title(one.metric), f"{one.lowest} {one.lowest_value:.3f}",
                f"{one.highest} {one.highest_value:.3f}",
                f"{one.difference:.3f}" + ("" if one.low != one.low else f" ({one.low:.3f} to {one.high:.3f})"),
                show_bare_p(one.p), show_bare_p(one.holm_p),
                "not tested" if math.isnan(one.p) else "differs" if one.differs else "not told apart",
            ]
            for one in found.gaps
        ],
    )  # fmt: skip


def _figures(found: Subgroups) -> tuple[dict[str, tuple[str, str]], dict[str, Callable[[], Figure]]]:
    captions: dict[str, tuple[str, str]] = {}
    figures: dict[str, Callable[[], Figure]] = {}
    metrics = found.metrics()
    of_two = len(found.classes) == 2
    kinds = {
        "overall": ["accuracy", "balanced_accuracy", "macro_auroc"],
        "sensitivity": [f"sensitivity:{label}" for label in found.classes],
        # Of two classes the specificity of one is the sensitivity of the other.
        "specificity": [] if of_two else [f"specificity:{label}" for label in found.classes],
    }
    titles = {
        "overall": "Accuracy, balanced accuracy and macro AUROC", "sensitivity": "Sensitivity of each class",
        "specificity": "Specificity of each class",
    }  # fmt: skip
    levels = [one for several in found.columns.values() for one in several]
    for kind, names in kinds.items():
        drawn = [name for name in names if metrics[name].value == metrics[name].value][:_MOST_PANELS]
        if not drawn or not levels:
            continue
        captions[f"subgroups_{kind}"] = (
            f"{titles[kind]} in every subgroup. The dashed line is the value of all pictures; hollow grey marks rest "
            "on too few pictures to judge by, and their interval may be cut at the edge; × is undefined.",
            f"Forest plot of {titles[kind][0].lower()}{titles[kind][1:]} by subgroup; the tables hold the numbers.",
        )
        figures[f"subgroups_{kind}"] = partial(_draw, levels, drawn, {name: metrics[name] for name in drawn})
    return captions, figures


def _draw(levels: Sequence[Subgroup], names: Sequence[str], overall: dict[str, Estimate]) -> Figure:
    return draw_subgroups(
        [(one.column, f"{one.level} ({one.n:,})") for one in levels],
        [
            ForestPanel(
                title=_title(name),
                overall=overall[name].value,
                lines=[
                    ForestLine(
                        value=one.estimates[name].value, low=one.estimates[name].low, high=one.estimates[name].high,
                        small=name in one.small,
                    )
                    for one in levels
                ],
            )
            for name in names
        ],
    )  # fmt: skip


def _cell(one: Subgroup, metric: str) -> str:
    text = show_estimate(one.estimates[metric])
    return text if text == UNDEFINED or metric not in one.small else f"* {text}"


def _title(metric: str) -> str:
    title = metric_title(metric)
    return title[0].upper() + title[1:]


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}."
