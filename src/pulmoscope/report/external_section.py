"""The report's section on an external validation: beside the internal test, and what explains the difference."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pulmoscope.errors import RunError
from pulmoscope.evaluation.compare_words import metric_title
from pulmoscope.evaluation.transport_result import Transport
from pulmoscope.evaluation.transport_words import RULE, show_bounds, transport_sentences
from pulmoscope.report.figures.transport import draw_transport
from pulmoscope.report.section import Section
from pulmoscope.report.tables import Table

# Past this many classes the figure shows the means alone; the table has every class.
_MOST_CLASSES = 6


def external_section(metrics: Mapping[str, Any]) -> Section | None:
    """Internal test and external cohort side by side.

    Args:
        metrics: The content of ``metrics.json`` of an external validation.

    Returns:
        The section; None where the file holds no ``transport`` (a run's own, or nothing internal to compare with).

    Raises:
        RunError: The part ``transport`` is damaged.
    """
    content = metrics.get("transport")
    if content is None:
        return None
    try:
        found = Transport.from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"the part 'transport' of metrics.json cannot be read: {error}",
            remedy="judge the run again: pulmoscope evaluate RUN --cohort DIR",
        ) from error
    tables = [_metric_table(found), _share_table(found)]
    caption = (
        "Left: each metric on the internal test and on the external cohort. Right: the difference, the part that the "
        "other mix of classes makes, and the rest.",
        "Internal and external metrics side by side; the table holds the numbers.",
    )
    names = ["accuracy", "balanced_accuracy", "macro_auroc"]
    if len(found.compared) <= _MOST_CLASSES:
        names += [
            f"{kind}:{label}" for kind in ("sensitivity", "specificity", "auroc") for label in found.compared
        ]
    by_name = {one.metric: one for one in found.shown()}
    shifts = [by_name[name] for name in names if name in by_name]
    return Section(
        tables=tuple(tables),
        sentences=(
            *transport_sentences(found),
            *(f"{note[0].upper()}{note[1:]}." for note in (RULE, *found.notes)),
        ),
        captions={"external": caption} if shifts else {},
        figures={"external": partial(draw_transport, shifts)} if shifts else {},
    )


def _metric_table(found: Transport) -> Table:
    return Table(
        caption="Internal test beside the external cohort, with 95% intervals",
        header=["", "Internal test", "External cohort", "Difference", "Class mix", "Rest"],
        rows=[
            ["Pictures compared", f"{found.internal_n:,}", f"{found.external_n:,}", "", "", ""],
            *(
                [
                    _title(one.metric), show_bounds(one.internal), show_bounds(one.external),
                    *(show_bounds(part, signed=True) for part in (one.difference, one.class_mix, one.rest)),
                ]
                for one in found.shown()
            ),
        ],
    )  # fmt: skip


def _share_table(found: Transport) -> Table:
    """The shares of the classes, of the pictures compared, and calibration in the large, of all pictures."""
    shares = dict(
        zip(found.compared, zip(found.internal_shares, found.external_shares, strict=True), strict=True)
    )
    if not found.calibration:
        return Table(
            caption="Shares of the classes among the pictures compared",
            header=["Class", "Internal test", "External cohort"],
            rows=[[name, f"{inside:.3f}", f"{outside:.3f}"] for name, (inside, outside) in shares.items()],
        )
    return Table(
        caption="Calibration in the large, of all pictures: mean probability of each class beside its share",
        header=["Class", "Internal share", "Mean probability", "Mean - share", "External share", "Mean probability",
                "Mean - share"],
        rows=[
            [
                one.label,
                f"{one.internal_share:.3f}", f"{one.internal_mean:.3f}", show_bounds(one.internal, signed=True),
                f"{one.external_share:.3f}", f"{one.external_mean:.3f}", show_bounds(one.external, signed=True),
            ]
            for one in found.calibration
        ],
    )  # fmt: skip


def _title(metric: str) -> str:
    title = metric_title(metric)
    return title[0].upper() + title[1:]
