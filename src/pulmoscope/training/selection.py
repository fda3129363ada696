"""Which validation metric chooses the epoch: one over all classes, or one of a single class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pulmoscope.errors import RecipeError, did_you_mean, near_names

OVERALL = ("val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_macro_auroc")
OF_A_CLASS = ("val_sensitivity", "val_specificity", "val_f1", "val_auroc")
SELECTED = "val_selected"


class ClassMetric(NamedTuple):
    """A metric of one class against the rest.

    Attributes:
        metric: One of ``OF_A_CLASS``.
        at: Index of the class.
    """

    metric: str
    at: int


def check_select(select: str) -> str:
    """``select`` itself, where it is the name of a metric; classes are known later, to :func:`class_metric`.

    Raises:
        ValueError: It is not.
    """
    metric, colon, label = select.partition(":")
    if select in OVERALL or (metric in OF_A_CLASS and label):
        return select
    near = near_names(metric, OF_A_CLASS if colon else (*OVERALL, *OF_A_CLASS))
    suggested = [f"{one}:{label or 'CLASS'}" if one in OF_A_CLASS else one for one in near]
    hint = did_you_mean(suggested, before=", ")
    known = ", ".join((*OVERALL, *(f"{one}:CLASS" for one in OF_A_CLASS)))
    raise ValueError(f"no metric {select!r}: expected one of {known}{hint}")


def class_metric(select: str, classes: Sequence[str]) -> ClassMetric | None:
    """The metric of one class that ``select`` names; None where it is one over all classes.

    Raises:
        RecipeError: The class is not one of ``classes``.
    """
    metric, colon, label = select.partition(":")
    if not colon:
        return None
    if label not in classes:
        near = near_names(label, classes)
        raise RecipeError(
            "train.select names no class of this cohort",
            expected=f"{metric}: and one of {', '.join(classes)}",
            got=select,
            remedy=did_you_mean(f"{metric}:{one}" for one in near),
        )
    return ClassMetric(metric, list(classes).index(label))


def column_of(select: str) -> str:
    """The column of the history that holds the metric: its own, or ``val_selected`` for a metric of one class."""
    return SELECTED if ":" in select else select
