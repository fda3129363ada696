"""The page of a comparison: leaderboard, forest plot, every pair and every metric, in one HTML file."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulmoscope.evaluation.compare_words import (
    UNDEFINED,
    margin_sentence,
    metric_title,
    sentence,
    show_difference,
    show_rank,
    show_value,
    told_margins,
    told_pairs,
)
from pulmoscope.evaluation.comparison import Comparison, MetricDifference, Standing
from pulmoscope.evaluation.p_value import show_bare_p, show_p
from pulmoscope.evaluation.result import BY_CLASS, OVERALL, Estimate
from pulmoscope.files import write_text
from pulmoscope.report.figures.forest import ForestModel, Interval, draw_forest
from pulmoscope.report.page import template
from pulmoscope.report.style import save_png
from pulmoscope.report.tables import Table


@dataclass(frozen=True, kw_only=True)
class ComparePage:
    """What the page says beside the comparison.

    Attributes:
        leaked: A warning for each run whose split cuts patients.
        facts: The tables, the version, the command.
    """

    leaked: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()


def write_compare_page(path: str | os.PathLike[str], comparison: Comparison, page: ComparePage) -> Path:
    """Write the page to ``path``, and its plot as ``figures/forest.png`` beside it, each whole or not at all.

    Text is escaped; the page has no scripts, and its content policy forbids them and any network.

    Raises:
        StorageError: They cannot be written.
    """
    target = Path(path)
    metric = comparison.metrics[0]
    figure = draw_forest(forest_models(comparison), metric=metric_title(metric), margin=comparison.margin)
    drawn = save_png(figure, target.parent / "figures" / "forest.png")
    told = told_pairs(comparison)
    part = f"split {comparison.split}" if comparison.split else "all rows"
    margin = comparison.margin
    text = template("compare.html.j2").render(
        page=page,
        count=len(comparison.models),
        subtitle=f"{part} · {comparison.pictures:,} pictures of {comparison.groups:,} groups · classes "
        f"{', '.join(comparison.classes)}",
        metric=metric_title(metric),
        leaderboard=leaderboard_table(comparison),
        figure=base64.b64encode(drawn.read_bytes()).decode("ascii"),
        notes=[note[0].upper() + note[1:] + "." for note in comparison.notes],
        pairs_heading="Pair by pair" if len(told) == len(comparison.pairs) else "Each against the highest",
        sentences=[
            ("apart" if one.differences[metric].told_apart else "alike", sentence(one, comparison))
            for one in told
        ],
        margin="" if margin is None else f"{margin:g}",
        margins=[
            ("apart" if one.holds else "alike", margin_sentence(one, margin))
            for one in told_margins(comparison)
            if margin is not None
        ],
        metric_tables=metric_tables(comparison),
        pair_tables=pair_tables(comparison),
    )
    write_text(target, text)
    return target


def forest_models(comparison: Comparison) -> list[ForestModel]:
    """The lines of the plot, in the order of the leaderboard."""
    found = []
    for at, one in enumerate(comparison.leaderboard):
        beside = one.to_best
        found.append(
            ForestModel(
                label=one.name,
                value=(one.value, one.low, one.high),
                to_best=None if beside is None else _interval(beside),
                kind="best" if not at else "like" if one.like_best else "worse",
                text=show_value(one.value, one.low, one.high),
                difference="" if beside is None else f"{show_difference(beside)}  {show_p(beside.holm_p)}",
            )
        )
    return found


def leaderboard_table(comparison: Comparison) -> Table:
    """A row a model: rank, value, difference to the highest, p after Holm, and whether they can be told apart."""
    board = comparison.leaderboard
    return Table(
        caption=f"Leaderboard by {metric_title(comparison.metrics[0])}",
        header=["Model", "Rank", "Value", "To the highest", "p", "After Holm", "Against the highest"],
        rows=[
            [one.name, show_rank(one, board), show_value(one.value, one.low, one.high), *_against(one)]
            for one in board
        ],
    )


def metric_tables(comparison: Comparison) -> list[Table]:
    """Every metric of every model with its interval: overall, then class by class."""
    tables = [
        Table(
            caption="Over all classes, with 95% intervals",
            header=["Model", *(_title(name) for name in OVERALL)],
            rows=[
                [name, *(_estimate(getattr(one, metric)) for metric in OVERALL)]
                for name, one in comparison.models.items()
            ],
        )
    ]
    tables += [
        Table(
            caption=f"{label} against the rest, with 95% intervals",
            header=["Model", *(_title(name) for name in BY_CLASS)],
            rows=[
                [name, *(_estimate(getattr(one.classes[label], metric)) for metric in BY_CLASS)]
                for name, one in comparison.models.items()
            ],
        )
        for label in comparison.classes
    ]
    return tables


def pair_tables(comparison: Comparison) -> list[Table]:
    """Every pair by each metric, by McNemar's test, and by DeLong's where there are probabilities."""
    head = ["First", "Second"]
    tables = [
        Table(
            caption=f"Difference of {metric_title(metric)}, paired bootstrap over groups",
            header=[*head, "Difference (95% interval)", "p", "After Holm"],
            rows=[
                [one.first, one.second, show_difference(told), show_bare_p(told.p), show_bare_p(told.holm_p)]
                for one in comparison.pairs
                for told in (one.differences[metric],)
            ],
        )
        for metric in comparison.metrics
    ]
    tables.append(
        Table(
            caption="Pictures that one alone has right, McNemar's test",
            header=[*head, "First : second", "Exact p", "After Holm", "Mid-p", "After Holm"],
            rows=[
                [
                    one.first, one.second, f"{one.mcnemar.only_first} : {one.mcnemar.only_second}",
                    *map(show_bare_p, (one.mcnemar.exact_p, one.exact_holm, one.mcnemar.mid_p, one.mid_holm)),
                ]
                for one in comparison.pairs
            ],
        )
    )  # fmt: skip
    rows = [
        [
            one.first, one.second, label, f"{found.told.first:.4f}", f"{found.told.second:.4f}",
            _delong(found.told.difference, found.told.low, found.told.high),
            show_bare_p(found.told.p), show_bare_p(found.holm_p),
        ]
        for one in comparison.pairs
        for label, found in one.delong.items()
    ]  # fmt: skip
    if rows:
        tables.append(
            Table(
                caption="AUROC of each class against the rest, DeLong's test",
                header=[
                    *head,
                    "Class",
                    "Of first",
                    "Of second",
                    "Difference (95% interval)",
                    "p",
                    "After Holm",
                ],
                rows=rows,
            )
        )
    return tables


def _against(one: Standing) -> list[str]:
    beside = one.to_best
    if beside is None:
        return ["", "", "", "" if one.rank is not None else UNDEFINED]
    told = "told apart" if beside.told_apart else "cannot be told apart"
    return [show_difference(beside), show_bare_p(beside.p), show_bare_p(beside.holm_p), told]


def _interval(one: MetricDifference) -> Interval:
    return one.difference, one.low, one.high


def _estimate(one: Estimate) -> str:
    return show_value(one.value, one.low, one.high)


def _title(name: str) -> str:
    title = metric_title(name)
    return title[0].upper() + title[1:]


def _delong(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return UNDEFINED
    return f"{value:+.4f}" + ("" if math.isnan(low) else f" ({low:+.4f} to {high:+.4f})")
