"""A validation metric of many trials at once, on bootstrap replicates of the validation groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation import confusion as rates
from pulmoscope.evaluation.bootstrap import RankedPairs, draw_weights, group_codes
from pulmoscope.evaluation.curves import macro_auroc
from pulmoscope.training.selection import OVERALL, class_metric

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_OF_CONFUSION: dict[str, Callable[[npt.ArrayLike], FloatArray]] = {
    "val_accuracy": rates.accuracy,
    "val_balanced_accuracy": rates.balanced_accuracy,
    "val_macro_f1": rates.macro_f1,
    "val_sensitivity": rates.sensitivity,
    "val_specificity": rates.specificity,
    "val_f1": rates.f1,
}
_SMALLEST = np.finfo(np.float64).tiny
_FEWEST, _MOST, _A_TRIAL, _CELLS = 2_000, 20_000, 100, 20_000_000
# Counts of pictures that are in memory at once, 8 bytes each.
_COUNTS = 4_000_000


def is_better_high(objective: str) -> bool:
    """Whether a larger value of ``objective`` is better: all but the loss."""
    return objective != "val_loss"


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """The validation pictures that every trial is judged on.

    Attributes:
        classes: Their names.
        labels: Class indices, (M,).
        groups: Group of each picture, (M,) in [0, G).
        class_weights: Of the classes in ``val_loss``, (C,).
    """

    classes: tuple[str, ...]
    labels: IntArray
    groups: IntArray
    class_weights: FloatArray

    @classmethod
    def of(
        cls, classes: tuple[str, ...], labels: IntArray, group_ids: npt.ArrayLike, class_weights: FloatArray
    ) -> Validation:
        """From the groups' names, (M,)."""
        return cls(
            classes=classes, labels=labels, groups=group_codes(group_ids)[0], class_weights=class_weights
        )

    @property
    def group_count(self) -> int:
        """Groups, G."""
        return int(self.groups.max()) + 1

    @property
    def whole(self) -> npt.NDArray[np.int16]:
        """The weights (1, G) of the part as it is: every group once."""
        return np.ones((1, self.group_count), np.int16)


def replicate_weights(validation: Validation, trials: int, *, seed: int) -> npt.NDArray[np.int16]:
    """How often each group counts in each replicate, (B, G).

    There are 100 replicates a trial, so that the smallest p value survives a correction over all trials, at least
    2,000 and at most 20,000; fewer than that, but no fewer than 2,000, where there are over 1,000 trials or very many
    validation groups: a table of one number a trial or group and replicate is to fit into memory.
    """
    groups = validation.group_count
    count = int(np.clip(_A_TRIAL * trials, _FEWEST, _MOST))
    count = max(_FEWEST, min(count, _CELLS // max(groups, trials)))
    weights = np.empty((count, groups), np.int16)
    for row, drawn in enumerate(draw_weights(groups, count, np.random.default_rng(seed))):
        weights[row] = drawn
    return weights


def objective_values(
    objective: str, validation: Validation, probabilities: npt.ArrayLike, weights: npt.NDArray[np.integer]
) -> FloatArray:
    """``objective`` of each of T trials in each of B replicates.

    Args:
        objective: A metric as :mod:`pulmoscope.training.selection` names it.
        validation: The pictures.
        probabilities: (T, M, C).
        weights: How often each group counts, (B, G) integers.

    Returns:
        (T, B); NaN where undefined.
    """
    answers = np.asarray(probabilities, np.float64)
    chosen = class_metric(objective, validation.classes)
    metric, at = (objective, None) if chosen is None else chosen
    if metric == "val_loss":
        return _losses(validation, answers, weights)
    if metric in _OF_CONFUSION:
        found = np.empty((len(answers), len(weights)))
        block = max(1, _COUNTS // (max(len(weights), len(validation.labels)) * len(validation.classes) ** 2))
        for start in range(0, len(answers), block):
            some = slice(start, start + block)
            rate = _OF_CONFUSION[metric](_confusions(validation, answers[some], weights))
            found[some] = rate if at is None else rate[..., at]
        return found
    wanted = range(len(validation.classes)) if at is None else (at,)
    areas = np.stack([_areas(validation, answers, weights, index) for index in wanted], axis=-1)
    return np.asarray(macro_auroc(areas), np.float64) if at is None else areas[..., 0]


def all_scores(validation: Validation, probabilities: npt.ArrayLike) -> dict[str, FloatArray]:
    """Every metric over all classes of T trials (T, M, C), each (T,)."""
    return {
        name: objective_values(name, validation, probabilities, validation.whole)[:, 0] for name in OVERALL
    }


def _sums(validation: Validation, values: FloatArray, weights: npt.NDArray[np.integer]) -> FloatArray:
    """Weighted sums over pictures of values (M, V), (B, V)."""
    by_group = np.zeros((validation.group_count, values.shape[1]))
    np.add.at(by_group, validation.groups, values)
    return np.asarray(weights.astype(np.float64) @ by_group, np.float64)


def _confusions(validation: Validation, answers: FloatArray, weights: npt.NDArray[np.integer]) -> FloatArray:
    """(T, B, K, K)."""
    size = len(validation.classes)
    cells = validation.labels * size + answers.argmax(axis=2)
    trials, pictures = cells.shape
    marks = np.zeros((pictures, trials, size * size))
    marks[np.arange(pictures)[:, None], np.arange(trials)[None], cells.T] = 1
    counts = _sums(validation, marks.reshape(pictures, -1), weights)
    return counts.reshape(len(weights), trials, size, size).transpose(1, 0, 2, 3)


def _losses(validation: Validation, answers: FloatArray, weights: npt.NDArray[np.integer]) -> FloatArray:
    given = answers[:, np.arange(len(validation.labels)), validation.labels]
    shares = validation.class_weights[validation.labels]
    losses = -np.log(np.maximum(given, _SMALLEST)) * shares
    sums = _sums(validation, np.vstack([losses, shares]).T, weights)
    with np.errstate(invalid="ignore"):
        return np.asarray((sums[:, :-1] / sums[:, -1:]).T, np.float64)


def _areas(
    validation: Validation, answers: FloatArray, weights: npt.NDArray[np.integer], index: int
) -> FloatArray:
    positive = validation.labels == index
    counts = weights.astype(np.int64)
    found = np.empty((len(answers), len(counts)))
    for trial, scores in enumerate(answers):
        pairs = RankedPairs.of(positive, scores[:, index], validation.groups)
        found[trial] = [pairs.auroc(drawn) for drawn in counts]
    return found
