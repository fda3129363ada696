"""From predictions to every metric with its interval."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import confusion as rates
from pulmoscope.evaluation.bootstrap import Replicates, draw_weights, group_codes, resample
from pulmoscope.evaluation.clustered import Interval, clustered_interval, effective_size
from pulmoscope.evaluation.curves import macro_auroc, one_vs_rest_auroc
from pulmoscope.evaluation.delong import delong_interval
from pulmoscope.evaluation.influence import Influence, freedom, influences
from pulmoscope.evaluation.intervals import bootstrap_interval, clopper_pearson, jeffreys, wilson
from pulmoscope.evaluation.joined_interval import f1_of_overlap, mean_share_interval
from pulmoscope.evaluation.predictions import Predictions, one_model, read_predictions
from pulmoscope.evaluation.result import BY_CLASS, OVERALL, ClassMetrics, Estimate, Evaluation, IntervalMethod

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95

# Proportions of pictures, whose k and n of each group go into Wilson's interval; F1 is a function of one.
_PROPORTIONS = {
    "accuracy": rates.accuracy_counts,
    "sensitivity": rates.sensitivity_counts,
    "specificity": rates.specificity_counts,
    "ppv": rates.ppv_counts,
    "npv": rates.npv_counts,
    "f1": rates.overlap_counts,
}
# Means over the classes, and what of each class they are the mean of.
_MEANS = {"balanced_accuracy": "sensitivity", "macro_f1": "f1"}


def evaluate(
    predictions: Predictions | pd.DataFrame | str | os.PathLike[str],
    *,
    split: str | None = "test",
    intervals: str = "default",
    replicates: int = 1000,
    seed: int = 0,
    model: str | None = None,
) -> Evaluation:
    """Compute every metric of a predictions table with its 95% interval.

    Args:
        predictions: The table, a data frame in its form, or the path of a CSV or Parquet file.
        split: The rows to judge; None for all. A table in which no row has a split is judged whole.
        intervals: ``"default"``: Wilson for proportions (accuracy, sensitivity, specificity, PPV, NPV, and the share of
            which F1 is a function), Jeffreys' intervals of the classes joined
            (:func:`~pulmoscope.evaluation.joined_interval.mean_share_interval`) for balanced accuracy and macro F1,
            bootstrap over groups (:func:`~pulmoscope.evaluation.bootstrap_interval`) for AUROCs; ``"exact"``:
            Clopper-Pearson for proportions and joined, DeLong for the AUROC of a class, bootstrap for the macro AUROC;
            ``"patient-bootstrap"``: bootstrap over groups for all. Where groups hold several pictures, intervals of
            proportions are taken at the effective sample size (:func:`~pulmoscope.evaluation.effective_size`).
        replicates: Bootstrap replicates, at least 1.
        seed: Seed of the bootstrap; the same seed gives the same intervals whatever the order of the rows.
        model: The model to judge, where the table holds several.

    Returns:
        The evaluation; NaN where a metric is undefined, and where an interval is: of the bootstrap with more than half
        of the replicates undefined or fewer than two groups, of proportions without pictures.

    Raises:
        TableError: Mistakes in the table, no true labels, no such split, or several models and none chosen.
        PulmoscopeError: An option is out of range.
    """
    method = _checked_method(intervals, replicates)
    table = one_model(_as_predictions(predictions), model)
    used_split = split if table.splits else None
    table = table.part(used_split)
    truth, predicted, probabilities = table.labels, table.predicted, table.probabilities
    codes, groups = group_codes(table.groups)
    size = len(table.classes)

    counts = rates.confusion_matrix(truth, predicted, size)
    areas = np.full(size, np.nan) if probabilities is None else one_vs_rest_auroc(truth, probabilities)
    # Only AUROCs are drawn, unless all is asked for.
    many = replicates if method == "patient-bootstrap" or probabilities is not None else 0
    drawn = resample(
        draw_weights(groups, many, np.random.default_rng(seed)),
        truth=truth, predicted=predicted, probabilities=probabilities, groups=codes, classes=size,
    )  # fmt: skip
    by_group = rates.confusion_by_group(truth, predicted, codes, classes=size, groups=groups)
    rests = influences(truth, predicted, probabilities, codes, groups)
    found = _estimates(counts, areas, drawn, by_group, rests, method=method)
    if method == "exact" and probabilities is not None:
        found["auroc"] = [_delong(truth == index, probabilities[:, index]) for index in range(size)]
    by_class = {
        name: ClassMetrics(
            support=int(counts[index].sum()), **{metric: found[metric][index] for metric in BY_CLASS}
        )
        for index, name in enumerate(table.classes)
    }
    notes = _notes(table, split, groups, method, many, [one for several in found.values() for one in several])
    if method == "patient-bootstrap" and not np.isnan(found["balanced_accuracy"][0].low):
        notes += tuple(
            f"{'all' if one.sensitivity.value else 'none of the'} pictures of {name} ({one.support}) are right: the "
            "bootstrap of balanced accuracy and macro F1 takes that for certain, --intervals default does not"
            for name, one in by_class.items()
            if one.sensitivity.value in (0, 1)
        )
    return Evaluation(
        n=len(table), groups=groups, split=used_split, model=table.models[0] if table.models else None,
        **{name: found[name][0] for name in OVERALL}, classes=by_class, confusion=counts, level=LEVEL,
        intervals=method, replicates=many, seed=seed, notes=notes,
    )  # fmt: skip


def _checked_method(intervals: str, replicates: int) -> IntervalMethod:
    if replicates < 1:
        raise PulmoscopeError(
            "too few replicates", code="E_OPTION", expected="1 or more", got=str(replicates)
        )
    methods: tuple[IntervalMethod, ...] = get_args(IntervalMethod)
    for method in methods:
        if method == intervals:
            return method
    raise PulmoscopeError(
        "unknown kind of intervals", code="E_OPTION", expected=" or ".join(methods), got=repr(intervals)
    )


def _as_predictions(predictions: Predictions | pd.DataFrame | str | os.PathLike[str]) -> Predictions:
    if isinstance(predictions, Predictions):
        return predictions
    if isinstance(predictions, (str, Path, os.PathLike)):
        return read_predictions(predictions)
    return Predictions(predictions)


def _values(
    confusions: npt.NDArray[Any], areas: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Every metric of confusion matrices (..., K, K) and AUROCs (..., K): (..., 1) overall, (..., K) by class."""
    return {
        "accuracy": rates.accuracy(confusions)[..., None],
        "balanced_accuracy": rates.balanced_accuracy(confusions)[..., None],
        "macro_f1": rates.macro_f1(confusions)[..., None],
        "macro_auroc": macro_auroc(areas)[..., None],
        "sensitivity": rates.sensitivity(confusions),
        "specificity": rates.specificity(confusions),
        "ppv": rates.ppv(confusions),
        "npv": rates.npv(confusions),
        "f1": rates.f1(confusions),
        "auroc": areas,
    }


def _estimates(
    counts: npt.NDArray[np.int64],
    areas: npt.NDArray[np.float64],
    drawn: Replicates,
    by_group: npt.NDArray[np.int64],
    rests: dict[str, list[Influence]],
    *,
    method: IntervalMethod,
) -> dict[str, list[Estimate]]:
    values = _values(counts, areas)
    if method == "patient-bootstrap":
        replicated = _values(drawn.confusions, drawn.aurocs)
    else:
        replicated = {"macro_auroc": macro_auroc(drawn.aurocs)[..., None], "auroc": drawn.aurocs}
    everything = int(counts.sum())
    found: dict[str, list[Estimate]] = {}
    for name, points in values.items():
        n = _PROPORTIONS[name](counts)[1] if name in _PROPORTIONS else np.full(len(points), everything)
        trials = np.atleast_1d(n).astype(np.int64)
        if name in replicated:
            found[name] = [
                _bootstrapped(
                    float(value), replicated[name][:, index], int(size), len(by_group),
                    freedom(rests[name][index]) if name in rests else None,
                )
                for index, (value, size) in enumerate(zip(points, trials, strict=True))
            ]  # fmt: skip
            continue
        low, high, called = _of_counts(name, by_group, method)
        found[name] = [
            Estimate(value=float(v), low=float(a), high=float(b), n=int(size), method=called)
            for v, a, b, size in zip(points, low, high, trials, strict=True)
        ]
    return found


def _of_counts(
    name: str, by_group: npt.NDArray[np.int64], method: IntervalMethod
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], str]:
    """Bounds of what the confusion matrices of the groups tell, (1,) overall or (K,) by class, and their name."""
    exact = method == "exact"
    bounds: Interval = clopper_pearson if exact else jeffreys if name in _MEANS else wilson
    k, n = (np.asarray(one, np.float64) for one in _PROPORTIONS[_MEANS.get(name, name)](by_group))
    of_f1 = _MEANS.get(name, name) == "f1"
    if name in _MEANS:
        joined = mean_share_interval(bounds, k, n, LEVEL, f1=of_f1)
        return np.array(joined[:1]), np.array(joined[1:]), "joined"
    low, high = clustered_interval(bounds, k.sum(axis=0), n.sum(axis=0), effective_size(k, n, LEVEL), LEVEL)
    if of_f1:
        low, high = f1_of_overlap(low), f1_of_overlap(high)
    return np.atleast_1d(low), np.atleast_1d(high), "clopper-pearson" if exact else "wilson"


def _delong(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> Estimate:
    found = delong_interval(positive, scores, level=LEVEL)
    return Estimate(value=found.value, low=found.low, high=found.high, n=len(scores), method="delong")


def _bootstrapped(
    value: float, replicates: npt.NDArray[np.float64], n: int, groups: int, degrees: float | None
) -> Estimate:
    low, high, undefined = bootstrap_interval(value, replicates, groups=groups, level=LEVEL, freedom=degrees)
    return Estimate(value=value, low=low, high=high, n=n, method="bootstrap", undefined_replicates=undefined)


def _notes(
    table: Predictions,
    split: str | None,
    groups: int,
    intervals: IntervalMethod,
    replicates: int,
    found: list[Estimate],
) -> tuple[str, ...]:
    notes = list(_of_the_table(table, split))
    if groups < len(table):
        several = "groups (patients)" if groups > 1 else "group (patient)"
        note = f"{len(table)} pictures come from {groups} {several}"
        if replicates:
            note += ", which the bootstrap draws whole"
        if intervals != "patient-bootstrap":
            note += (
                "; intervals of rates, F1 and their means are those of the effective sample size, which the likeness "
                "of such pictures lowers"
            )
        if intervals == "exact" and table.probabilities is not None:
            note += "; DeLong's take pictures as independent and are too narrow: patient-bootstrap does not"
        notes.append(note)
    if groups < 2:
        said = ["it counts as one picture"] if len(table) > 1 else []
        said += ["bootstrap intervals are undefined"] if replicates else []
        notes += [f"one group only: {', and '.join(said)}"] if said else []
    if any(one.method == "delong" and np.isnan(one.low) and not np.isnan(one.value) for one in found):
        notes.append(
            "DeLong's interval is undefined where an AUROC is 0 or 1, or rests on one picture of a side"
        )
    if groups > 1 and any(
        one.method == "bootstrap" and np.isnan(one.low) and one.value in {0, 1} for one in found
    ):
        notes.append(
            "the bootstrap's interval is undefined where a value is 0 or 1: no replicate differs from it, "
            "which is no certainty"
        )
    return tuple(notes)


def _of_the_table(table: Predictions, split: str | None) -> Iterator[str]:
    """What a table lacks, and how its predictions are read."""
    if split is not None and not table.splits:
        yield "the table names no split: all rows are judged"
    soft = table.probabilities
    if soft is None:
        yield "the table has no probabilities: AUROC is undefined"
    elif "prediction" in table.frame:
        other = int((soft.argmax(axis=1) != table.predicted).sum())
        if other:
            yield f"the table's own prediction is not the most probable class in {other} rows; it is what counts"
    else:
        tied = int(((soft == soft.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
        if tied:
            yield f"in {tied} rows several classes are the most probable: the first of them counts"
    counts = np.bincount(table.labels, minlength=len(table.classes))
    absent = [name for name, count in zip(table.classes, counts, strict=True) if not count]
    if absent:
        its, it = ("its", "it") if len(absent) == 1 else ("their", "them")
        said = {table.classes[index] for index in np.unique(table.predicted)}
        zero = " and ".join(name for name in absent if name in said)
        yield (
            f"no picture is of class {' or '.join(absent)}: {its} sensitivity and AUROC are undefined, and the means "
            f"of those over the classes leave {it} out"
            + (f"; macro F1 counts {zero}, which some pictures are called, as 0" if zero else "")
        )
