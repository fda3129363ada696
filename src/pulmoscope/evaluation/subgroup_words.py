"""Subgroups in words: a sentence a gap, and the text for the terminal."""

from __future__ import annotations

import math

from pulmoscope.evaluation.compare_words import UNDEFINED, metric_title
from pulmoscope.evaluation.p_value import show_p
from pulmoscope.evaluation.result import Estimate
from pulmoscope.evaluation.subgroups import FEWEST_OF_CLASS, FEWEST_PICTURES, Gap, Subgroup, Subgroups
from pulmoscope.evaluation.text_table import aligned

SMALL_RULE = (
    f"small: fewer than {FEWEST_PICTURES} pictures, or fewer than {FEWEST_OF_CLASS} of the class that the rate needs; "
    "shown, but neither named as lowest nor tested"
)
TEST_RULE = (
    "gaps: the lowest and the highest level that are not small; p that all these levels have one value, after Holm "
    "over all gaps: of rates a permutation test that moves a patient's pictures together, or each picture by itself, "
    "whichever p is larger, and an interval by bootstrap "
    "over groups; of balanced accuracy and AUROCs Student's t over groups of every two levels, times their number"
)


def show_estimate(one: Estimate, digits: int = 3) -> str:
    """A metric with its interval, as ``0.812 (0.745-0.866)``."""
    if math.isnan(one.value):
        return UNDEFINED
    bounds = "" if math.isnan(one.low) else f" ({one.low:.{digits}f}-{one.high:.{digits}f})"
    return f"{one.value:.{digits}f}{bounds}"


def gap_sentence(gap: Gap) -> str:
    """Whether the levels differ by the metric, and the figures."""
    verdict = "differs" if gap.differs else "cannot be told apart"
    if math.isnan(gap.p):
        verdict = "cannot be tested, as too few of its levels vary"
    bounds = "" if math.isnan(gap.low) else f" ({gap.low:.3f} to {gap.high:.3f})"
    many = f" of {gap.levels} levels" if gap.levels > 2 else ""
    between = (
        f"lowest{many} {gap.lowest} {gap.lowest_value:.3f}, highest {gap.highest} {gap.highest_value:.3f}"
        if gap.lowest != gap.highest
        else f"{gap.lowest_value:.3f} at {f'all {gap.levels} levels' if many else 'both levels'}"
    )
    return (
        f"By {gap.column}, {metric_title(gap.metric)} {verdict}: {between}, gap {gap.difference:.3f}{bounds}, "
        f"{show_p(gap.p)}, after Holm {show_p(gap.holm_p)}."
        + (
            " The levels compared do not all hold the same classes, which alone may explain it."
            if gap.differs and not gap.same_classes
            else ""
        )
    )


def subgroups_text(found: Subgroups) -> str:
    """For the terminal."""
    overall = found.overall
    part = f"split {found.split}" if found.split else "all rows"
    head = f"{part}: {overall.n} pictures, {overall.groups} groups; in brackets 95% intervals"
    lines = [head, SMALL_RULE + ": marked s"]
    for column, levels in found.columns.items():
        lines += ["", *_table(found, column, levels)]
    if found.gaps:
        lines += ["", TEST_RULE + ":", *(gap_sentence(one) for one in found.gaps)]
    notes = [f"note: {note}" for note in found.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _table(found: Subgroups, column: str, levels: tuple[Subgroup, ...]) -> list[str]:
    """A row a metric, a column a level."""
    rows = [
        [column, "all", *(one.level for one in levels)],
        ["pictures", str(found.overall.n), *(str(one.n) for one in levels)],
        ["groups", str(found.overall.groups), *(str(one.groups) for one in levels)],
    ]
    for label in found.classes:
        rows.append([f"  {label}", str(found.overall.classes[label].support),
                     *(str(one.support[label]) for one in levels)])  # fmt: skip
    for metric in found.shown():
        whole, cells = found.metrics()[metric], []
        for one in levels:
            text = show_estimate(one.estimates[metric])
            cells.append(text + (" s" if metric in one.small and text != UNDEFINED else ""))
        rows.append([metric_title(metric), show_estimate(whole), *cells])
    return aligned(rows)
