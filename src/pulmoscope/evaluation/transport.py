"""From an internal test to an external cohort: what changed, and how much of it is only the mix of the classes.

A metric of a classifier is a function of how each class is called and ranked, and of the shares of the classes. The
internal test is therefore also judged with the shares of the external cohort, its rows weighted by their class
(post-stratification; for a test's predictive values this is Bayes' rule). Then

    external - internal = (internal with the external mix - internal) + (external - internal with the external mix)
                        = class mix                                   + the rest

The rest is what the shares do not explain: other scanners, other patients within a class, other labels; a loss of
ranking if the AUROC falls, a threshold or calibration that no longer fits if it does not. Sensitivities have no class
mix, and with two classes neither have specificities and the AUROC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import TableError
from pulmoscope.evaluation import confusion as rates
from pulmoscope.evaluation.bootstrap import RankedPairs, draw_weights, group_codes
from pulmoscope.evaluation.curves import macro_auroc
from pulmoscope.evaluation.intervals import difference_interval, percentile_interval
from pulmoscope.evaluation.metrics import evaluate
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import BY_CLASS, OVERALL
from pulmoscope.evaluation.transport_result import Bounds, CalibrationShift, MetricShift, Transport

FloatArray = npt.NDArray[np.float64]
# What differs by less differs by rounding.
_NO_SPREAD = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """One side, the data first and then every replicate, (B + 1, ...).

    Attributes:
        called: Share of each true class that is called each class, (B + 1, K, K); 0 for a class without pictures.
        ranked: Chance that a picture of class i gets more of probability i than one of class j, (B + 1, K, K).
        shares: Of the classes, (B + 1, K).
    """

    called: FloatArray
    ranked: FloatArray
    shares: FloatArray


def compare_transport(
    internal: Predictions,
    external: Predictions,
    *,
    intervals: str = "default",
    replicates: int = 1000,
    seed: int = 0,
) -> Transport:
    """Compare the predictions of one model on its internal test and on another cohort.

    Args:
        internal: Of the internal test, with labels.
        external: Of the external cohort, with labels and the same classes.
        intervals: Of the metrics of each side, as in :func:`~pulmoscope.evaluation.evaluate`.
        replicates: B, of the bootstrap of the differences.
        seed: Of the bootstrap.

    Raises:
        TableError: The classes are not the same, or none occurs on both sides.
    """
    if internal.classes != external.classes:
        raise TableError(
            "the two sides have different classes", expected=", ".join(internal.classes),
            got=", ".join(external.classes), remedy="map the model's classes to the cohort's",
        )  # fmt: skip
    classes = internal.classes
    there = [np.bincount(one.labels, minlength=len(classes)) > 0 for one in (internal, external)]
    common = there[0] & there[1]
    if not common.any():
        raise TableError("no class occurs both in the internal test and in the external cohort")
    tables = [_of_classes(one, common) for one in (internal, external)]
    sides = [_side(one, replicates, seed + at) for at, one in enumerate(tables)]
    results = [
        evaluate(one, split=None, intervals=intervals, replicates=replicates, seed=seed) for one in tables
    ]
    shown = [_by_name(one.estimates()) for one in results]
    inside = _metrics(sides[0], sides[0].shares, classes)
    outside = _metrics(sides[1], sides[1].shares, classes)
    mixed = _metrics(sides[0], sides[1].shares, classes)
    # Student's t has the degrees of freedom of the side with fewer groups.
    fewest = min(one.groups for one in results)
    shifts = []
    for name, values in inside.items():
        label = name.partition(":")[2]
        if (label and not common[classes.index(label)]) or np.isnan(values[0]) or np.isnan(outside[name][0]):
            continue
        parts = {
            "difference": outside[name] - values,
            "class_mix": mixed[name] - values,
            "rest": outside[name] - mixed[name],
        }
        firm = all(np.nanstd(one[name][1:]) > _NO_SPREAD for one in (inside, outside))
        shifts.append(
            MetricShift(
                metric=name,
                **{
                    at: Bounds(value=one[name].value, low=one[name].low, high=one[name].high)
                    for at, one in zip(("internal", "external"), shown, strict=True)
                },
                **{
                    key: _mix_bounds(drawn, fewest)
                    if key == "class_mix"
                    else _bounds(drawn, fewest if firm else 0)
                    for key, drawn in parts.items()
                },
            )
        )
    return Transport(
        compared=tuple(np.array(classes, object)[common]),
        only_internal=tuple(np.array(classes, object)[there[0] & ~there[1]]),
        only_external=tuple(np.array(classes, object)[there[1] & ~there[0]]),
        internal_n=len(tables[0]), external_n=len(tables[1]),
        internal_shares=tuple(sides[0].shares[0, common].tolist()),
        external_shares=tuple(sides[1].shares[0, common].tolist()),
        metrics=tuple(shifts), calibration=_calibration(internal, external, replicates, seed), replicates=replicates,
        notes=_notes(internal, external, there[0] & ~there[1], there[1] & ~there[0]),
    )  # fmt: skip


def _of_classes(predictions: Predictions, wanted: npt.NDArray[np.bool_]) -> Predictions:
    """The pictures of some of the classes; the classes stay, as they may still be predicted."""
    frame = predictions.frame
    return Predictions(frame[wanted[predictions.labels]], predictions.classes, name=predictions.name)


def _side(table: Predictions, replicates: int, seed: int) -> _Side:
    truth, said, scores = table.labels, table.predicted, table.probabilities
    codes, groups = group_codes(table.groups)
    size = len(table.classes)
    cells = rates.confusion_cells(truth, said, size)
    pairs: dict[tuple[int, int], RankedPairs] = {}
    if scores is not None:
        held = np.unique(truth).tolist()
        for one in held:
            for other in held:
                if one != other:
                    rows = (truth == one) | (truth == other)
                    pairs[one, other] = RankedPairs.of(truth[rows] == one, scores[rows, one], codes[rows])
    counts, ranked = [], []
    weights = draw_weights(groups, replicates, np.random.default_rng(seed))
    for drawn in (np.ones(groups, np.int64), *weights):
        counts.append(np.bincount(cells, drawn[codes], size * size).reshape(size, size))
        areas = np.full((size, size), np.nan)
        for (one, other), of in pairs.items():
            areas[one, other] = of.auroc(drawn)
        ranked.append(areas)
    confusions = np.array(counts, np.float64)
    support = rates.support(confusions)
    return _Side(
        called=np.nan_to_num(rates.ratio(confusions, support[..., None])),
        ranked=np.array(ranked),
        shares=rates.ratio(support, support.sum(axis=-1, keepdims=True)),
    )


def _metrics(side: _Side, shares: FloatArray, classes: Sequence[str]) -> dict[str, FloatArray]:
    """Every metric of a side as it would be with some shares of the classes, (B + 1,) each."""
    joint = side.called * shares[..., None]
    weights = np.broadcast_to(shares[:, None, :], side.ranked.shape) * ~np.isnan(side.ranked)
    areas = rates.ratio((np.nan_to_num(side.ranked) * weights).sum(axis=-1), weights.sum(axis=-1))
    areas = np.where(shares > 0, areas, np.nan)
    found = {
        "accuracy": rates.accuracy(joint),
        "balanced_accuracy": rates.balanced_accuracy(joint),
        "macro_f1": rates.macro_f1(joint),
        "macro_auroc": macro_auroc(areas),
    }
    by_class = {
        "sensitivity": rates.sensitivity(joint), "specificity": rates.specificity(joint), "ppv": rates.ppv(joint),
        "npv": rates.npv(joint), "f1": rates.f1(joint), "auroc": areas,
    }  # fmt: skip
    found = {name: found[name] for name in OVERALL}
    for name in BY_CLASS:
        found |= {f"{name}:{label}": by_class[name][:, at] for at, label in enumerate(classes)}
    return found


def _bounds(drawn: FloatArray, groups: int) -> Bounds:
    """The data's value and its interval from the replicates, (B + 1,); fewer than two groups make none."""
    value = 0.0 if abs(drawn[0]) < _NO_SPREAD else float(drawn[0])
    low, high, _, _ = difference_interval(value, drawn[1:], groups=groups)
    return Bounds(value=value, low=low, high=high)


def _mix_bounds(drawn: FloatArray, groups: int) -> Bounds:
    """As :func:`_bounds` by percentiles: a class mix is of one side's rates, and often can have one sign only."""
    value = 0.0 if abs(drawn[0]) < _NO_SPREAD else float(drawn[0])
    firm = np.where(np.abs(drawn[1:]) < _NO_SPREAD, 0.0, drawn[1:])
    low, high, _ = percentile_interval(firm, groups=groups)
    return Bounds(value=value, low=low, high=high)


def _calibration(
    internal: Predictions, external: Predictions, replicates: int, seed: int
) -> tuple[CalibrationShift, ...]:
    inside, outside = (
        _in_the_large(one, replicates, seed + at) for at, one in enumerate((internal, external))
    )
    if inside is None or outside is None:
        return ()
    found = []
    for at, label in enumerate(internal.classes):
        (mean, share, drawn), (there, share_there, drawn_there) = (
            [part[..., at] for part in one] for one in (inside, outside)
        )
        found.append(
            CalibrationShift(
                label=label, internal_mean=float(mean), internal_share=float(share),
                internal=_bounds(drawn, len(set(internal.groups))), external_mean=float(there),
                external_share=float(share_there),
                external=_bounds(drawn_there, len(set(external.groups))),
            )
        )  # fmt: skip
    return tuple(found)


def _in_the_large(
    table: Predictions, replicates: int, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Mean probability (K,), share (K,), and mean minus share of the data and every replicate (B + 1, K)."""
    scores = table.probabilities
    if scores is None:
        return None
    hits = np.eye(len(table.classes))[table.labels]
    codes, groups = group_codes(table.groups)
    surplus = np.zeros((groups, scores.shape[1]))
    np.add.at(surplus, codes, scores - hits)
    pictures = np.bincount(codes, minlength=groups)
    weights = draw_weights(groups, replicates, np.random.default_rng(seed))
    drawn = [(one @ surplus) / (one @ pictures) for one in (np.ones(groups, np.int64), *weights)]
    return scores.mean(axis=0), hits.mean(axis=0), np.array(drawn)


def _by_name(estimates: Mapping[str, Any]) -> dict[str, Any]:
    """``sensitivity (covid)`` as ``sensitivity:covid``."""
    found = {}
    for name, one in estimates.items():
        metric, _, label = name.partition(" ")
        found[f"{metric}:{label[1:-1]}" if label else metric] = one
    return found


def _notes(
    internal: Predictions, external: Predictions, gone: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_]
) -> tuple[str, ...]:
    notes = []
    for where, other, absent in (("external cohort", "internal", gone), ("internal test", "external", new)):
        names = [name for name, here in zip(internal.classes, absent, strict=True) if here]
        if names:
            table = internal if other == "internal" else external
            count = int(absent[table.labels].sum())
            notes.append(
                f"the {where} has no {', '.join(names)}: the {count} {other} pictures of it are not compared"
            )
    shared = len(set(internal.groups) & set(external.groups))
    if shared:
        notes.append(
            f"{shared} groups (patients) stand on both sides, which the intervals take as independent"
        )
    if internal.probabilities is None or external.probabilities is None:
        notes.append("a side has no probabilities: AUROC and calibration are not compared")
    return tuple(notes)
