"""A comparison in words: a sentence a pair, the leaderboard, and the text for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pulmoscope.evaluation.comparison import Comparison, MetricDifference, NonInferiority, Pair, Standing
from pulmoscope.evaluation.p_value import show_p

UNDEFINED = "undefined"
# Past this many pairs the terminal shows the leaderboard alone, and the page a sentence a model against the best.
MOST_SENTENCES = 10
_NAMES = {
    "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1", "macro_auroc": "macro AUROC", "ppv": "PPV",
    "npv": "NPV", "f1": "F1", "auroc": "AUROC", "mean_ovr_accuracy": "mean one-vs-rest accuracy",
    "mean_specificity": "mean specificity",
}  # fmt: skip


def metric_title(name: str) -> str:
    """A metric as it is printed.

    >>> metric_title("macro_auroc"), metric_title("sensitivity:covid")
    ('macro AUROC', 'sensitivity of covid')
    """
    metric, colon, label = name.partition(":")
    return _NAMES.get(metric, metric) + (f" of {label}" if colon else "")


def show_value(value: float, low: float, high: float) -> str:
    """A metric with its interval, four decimals, as close models need them.

    >>> show_value(0.96358, 0.95678, 0.96935)
    '0.9636 (0.9568-0.9694)'
    """
    if math.isnan(value):
        return UNDEFINED
    return f"{value:.4f}" + ("" if math.isnan(low) else f" ({low:.4f}-{high:.4f})")


def show_difference(one: MetricDifference) -> str:
    """A difference with its interval, as ``+0.0009 (-0.0047 to +0.0064)``."""
    if math.isnan(one.difference):
        return UNDEFINED
    return f"{_signed(one.difference)}" + (
        "" if math.isnan(one.low) else f" ({_signed(one.low)} to {_signed(one.high)})"
    )


def show_rank(one: Standing, board: Sequence[Standing]) -> str:
    """The place, with ``=`` where others share it, and ``-`` where the metric is undefined."""
    if one.rank is None:
        return "-"
    return f"{'=' if sum(other.rank == one.rank for other in board) > 1 else ''}{one.rank}"


def verdict(pair: Pair, metric: str) -> str:
    """Which of the two is better by the metric, if any can be told."""
    told = pair.differences[metric]
    if math.isnan(told.difference):
        return f"{pair.first} and {pair.second} cannot be compared by {metric_title(metric)}: it is undefined"
    if not told.told_apart:
        return f"{pair.first} and {pair.second} cannot be told apart by {metric_title(metric)}"
    better, worse = (pair.second, pair.first) if told.difference > 0 else (pair.first, pair.second)
    return f"{better} is better than {worse} by {metric_title(metric)}"


def sentence(pair: Pair, comparison: Comparison) -> str:
    """The verdict by the first metric with its figures, and McNemar's counts."""
    metric = comparison.metrics[0]
    told, counts = pair.differences[metric], pair.mcnemar
    figures = ""
    if not math.isnan(told.difference):
        figures = (
            f"{told.first:.4f} and {told.second:.4f}, difference ({pair.second} minus {pair.first}) "
            f"{show_difference(told)}, {show_p(told.p)}"
            + (f", after Holm {show_p(told.holm_p)}" if len(comparison.pairs) > 1 else "")
            + "; "
        )
    of = "" if metric == "accuracy" else "of their accuracy: "
    return (
        f"{verdict(pair, metric)}: {figures}{of}right in one alone {counts.only_first} : {counts.only_second}, "
        f"McNemar exact {show_p(counts.exact_p)}, mid-{show_p(counts.mid_p)}."
    )


def told_pairs(comparison: Comparison) -> tuple[Pair, ...]:
    """The pairs that get a sentence on the page: all, or where they are many those with the best model."""
    if len(comparison.pairs) <= MOST_SENTENCES:
        return comparison.pairs
    best, *others = (one.name for one in comparison.leaderboard)
    return tuple(comparison.pair(best, other) for other in others)


def told_margins(comparison: Comparison) -> tuple[NonInferiority, ...]:
    """What is said of the margin: both ways of two models, else every model against the best; by the first metric."""
    order = [one.name for one in comparison.leaderboard]
    told = [
        one
        for one in comparison.non_inferiority
        if one.metric == comparison.metrics[0] and (len(order) == 2 or one.reference == order[0])
    ]
    return tuple(sorted(told, key=lambda one: order.index(one.candidate)))


def margin_sentence(one: NonInferiority, margin: float) -> str:
    """Whether the margin is met, and by which bound."""
    what = f"{one.candidate} against {one.reference} by {metric_title(one.metric)}"
    if one.holds is None:
        return f"{what}: non-inferiority cannot be judged, these pictures give the difference no bound."
    said = "non-inferior" if one.holds else "non-inferiority is not shown"
    return f"{what}: {said}; the bound is {_signed(one.bound)}, the margin {_signed(-margin)}."


def as_text(comparison: Comparison) -> str:
    """For the terminal."""
    board, metric = comparison.leaderboard, comparison.metrics[0]
    part = f"split {comparison.split}" if comparison.split else "all rows"
    rows = [["rank", "model", metric_title(metric), "to the best", "after Holm", ""]]
    for one in board:
        beside = one.to_best
        rows.append(
            [
                show_rank(one, board),
                one.name,
                show_value(one.value, one.low, one.high),
                show_difference(beside) if beside else "",
                show_p(beside.holm_p) if beside else "",
                "not told apart from the best" if one.like_best and one is not board[0] else "",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        f"{part}: {comparison.pictures} pictures, {comparison.groups} groups, {len(board)} models; in brackets "
        "95% intervals",
        "",
        *(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ),
    ]
    if len(comparison.pairs) <= MOST_SENTENCES:
        lines += ["", *(sentence(one, comparison) for one in comparison.pairs)]
    if comparison.margin is not None:
        lines += ["", *(margin_sentence(one, comparison.margin) for one in told_margins(comparison))]
    return "\n".join([*lines, "", *(f"note: {note}" for note in comparison.notes)])


def _signed(value: float) -> str:
    """With its sign; what rounds to nothing has none."""
    shown = f"{value:+.4f}"
    return "0.0000" if float(shown) == 0 else shown
