"""A published number beside ours, and in words what the two say about each other."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pulmoscope.evaluation import MEANINGS, Estimate
from pulmoscope.evaluation.spread import Spread, median_index, spread
from pulmoscope.training import Budget, PublishedNumber

WITHIN, ABOVE, BELOW = "within our interval", "ours is above", "ours is below"
SAME = "the same within 1%"
BY_PICTURE = "(published folds are by picture and leak; ours are grouped by patient)"
LEAKED_SPLIT = "leaked split: "
QUICK = "quick: reduced size/number, not the report's setting"

PARAMETERS, SECONDS = "parameters_millions", "seconds_per_epoch"
#: What a network has whatever it was trained on: no rate, so no interval.
COSTS = {PARAMETERS: "parameters, millions", SECONDS: "seconds an epoch"}

# Pictures that a reader drops (copies, files that cannot be read) leave the test part the report's own.
_SAME_SIZE = 0.02
_SAME_COUNT = 0.01
_HARMLESS = frozenset({"train.device", "train.devices", "train.precision", "evaluate"})
_OWN_WEIGHTS = ("xrv:", "run=")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One metric of one model over the seeds.

    Attributes:
        values: One a seed, in the order of the seeds; NaN where undefined.
        estimate: That of the seed whose value is the median (of two middle ones the lower), with its interval; None
            where no value is defined or the metric has none.
        seed: The seed that ``estimate`` is of.
    """

    values: tuple[float, ...]
    estimate: Estimate | None = None
    seed: int | None = None

    @property
    def spread(self) -> Spread:
        """Mean, standard deviation and range over the seeds."""
        return spread(self.values)


@dataclass(frozen=True, kw_only=True)
class Ours:
    """What our runs were trained and judged on, as far as it decides what they can be compared with.

    Attributes:
        budget: Of the recipe.
        collections: Every name that the cohort's one collection goes by; empty for a cohort of several.
        n: Pictures judged.
        classes: Number of classes.
        part: ``test`` or ``val``.
        split: The kind of the cohort's split, such as ``predefined``, ``kfold:5`` or ``kfold-pictures:5``.
        leaked: Whether the split cuts groups.
        changed: The overrides that make the setting another than the report's.
    """

    budget: Budget
    collections: Collection[str]
    n: int
    classes: int
    part: str
    split: str = ""
    leaked: bool = False
    changed: tuple[str, ...] = ()

    @property
    def grouped(self) -> bool:
        """Whether the split was drawn by patient."""
        return self.split.partition(":")[0] in {"kfold", "patient"} and not self.leaked


def telling_changes(overrides: Sequence[str], *, weights: str) -> tuple[str, ...]:
    """The ``key=value`` overrides that make a setting another than the report's.

    Where and how exactly it is computed, and how it is judged, is none of the setting; nor is where the weights lie
    that the recipe leaves to the user (``xrv:``).

    Args:
        overrides: As given to ``--set``.
        weights: The recipe's own ``model.weights``.

    >>> telling_changes(["train.device=cpu", "train.finetune.epochs=3"], weights="imagenet")
    ('train.finetune.epochs=3',)
    """
    telling = []
    for item in overrides:
        key, _, value = (part.strip() for part in item.partition("="))
        asked_for = key == "model.weights" and weights.startswith("xrv:") and value.startswith(_OWN_WEIGHTS)
        if key not in _HARMLESS and not key.startswith("evaluate.") and not asked_for:
            telling.append(item.strip())
    return tuple(telling)


def measure(estimates: Sequence[Estimate], seeds: Sequence[int]) -> Measured:
    """Join one metric's estimates, one a seed."""
    values = tuple(one.value for one in estimates)
    middle = median_index(values)
    if middle is None:
        return Measured(values=values)
    return Measured(values=values, estimate=estimates[middle], seed=seeds[middle])


def meaning(metric: str) -> str:
    """A metric's name in words.

    >>> meaning("f1:covid"), meaning("mean_ovr_accuracy")
    ('F1 of covid', 'mean of the one-vs-rest accuracies')
    """
    name, _, label = metric.partition(":")
    if name == "balanced_accuracy" and label:
        return f"mean of sensitivity and specificity of {label}"
    words = COSTS.get(name) or MEANINGS.get(name, name)
    return f"{words} of {label}" if label else words


def why_not_comparable(number: PublishedNumber, ours: Ours) -> list[str]:
    """Reasons, in words, why our figure does not measure what ``number`` measures; empty where it does."""
    reasons = [f"changed by --set {', '.join(ours.changed)}"] if ours.changed else []
    if number.metric == SECONDS:
        return [*reasons, "measured on another machine"]
    if number.metric == PARAMETERS:
        return reasons
    if ours.budget == "quick":
        reasons.append(QUICK)
    if not number.comparable:
        reasons.append(number.note or "the report does not say what it measured on")
    elif number.data and number.data.casefold() not in {one.casefold() for one in ours.collections}:
        reasons.append(f"other data than {number.data}")
    elif number.classes is not None and number.classes != ours.classes:
        reasons.append(f"{number.classes} classes there, {ours.classes} here")
    elif number.n is not None and abs(number.n - ours.n) > _SAME_SIZE * number.n:
        reasons.append(f"{number.n:,} pictures judged there, {ours.n:,} here")
    if ours.part == "val":
        reasons.append("ours is of the validation part, on which choices were made")
    return reasons


def judge(number: PublishedNumber, measured: Measured | None, ours: Ours) -> str:
    """The verdict in words.

    A rate is judged by the 95% interval of our test predictions; of several seeds, of the one whose value is the
    median. A count of parameters is judged by its value. A rate's verdict says too where either split leaks.
    """
    said = _judge(number, measured, ours)
    if number.metric in COSTS:
        return said
    if "by picture" in number.split.casefold() and ours.grouped:
        said = f"{said} {BY_PICTURE}"
    return f"{LEAKED_SPLIT}{said}" if ours.leaked else said


def _judge(number: PublishedNumber, measured: Measured | None, ours: Ours) -> str:
    reasons = why_not_comparable(number, ours)
    if measured is None:
        reasons.append(f"our results have no {number.metric}")
    elif measured.spread.n == 0:
        reasons.append("ours is undefined")
    if reasons or measured is None:
        return f"not comparable: {'; '.join(reasons)}"
    if number.metric == PARAMETERS:
        mean = measured.spread.mean
        if abs(mean - number.value) <= _SAME_COUNT * number.value:
            return SAME
        return ABOVE if mean > number.value else BELOW
    estimate = measured.estimate
    if estimate is None or math.isnan(estimate.low) or math.isnan(estimate.high):
        return "not comparable: our interval is undefined"
    if estimate.low <= number.value <= estimate.high:
        return WITHIN
    return ABOVE if estimate.low > number.value else BELOW
