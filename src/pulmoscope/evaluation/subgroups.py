"""Every metric in every subgroup with its interval, the lowest of them named, and the gaps between them tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import TableError
from pulmoscope.evaluation.bootstrap import draw_weights, group_codes
from pulmoscope.evaluation.confusion import ratio
from pulmoscope.evaluation.influence import BY_INFLUENCE, named_influence
from pulmoscope.evaluation.intervals import difference_interval
from pulmoscope.evaluation.level_test import level_test
from pulmoscope.evaluation.mean_gap import mean_gap
from pulmoscope.evaluation.metrics import evaluate
from pulmoscope.evaluation.paired import holm
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import Estimate, Evaluation
from pulmoscope.evaluation.subgroup_levels import SubgroupLevels
from pulmoscope.files import or_null

#: A level is small with fewer pictures, and its rate is small with fewer pictures of the class that the rate needs.
FEWEST_PICTURES = 30
FEWEST_OF_CLASS = 10
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """One level of a column.

    Attributes:
        column: Such as ``view``.
        level: Such as ``AP``; missing values are ``unknown``.
        n: Pictures.
        groups: Groups (patients) they come from.
        support: Pictures of each class.
        estimates: Metric (as ``sensitivity:covid``) to its value and interval; undefined (NaN) where the level lacks a
            class that the metric needs. A mean over the classes needs every class of the whole table.
        small: Metrics that rest on too few pictures: fewer than 30 in the level, or fewer than 10 of the class that
            the rate needs. They are shown, and neither named as lowest nor tested.
    """

    column: str
    level: str
    n: int
    groups: int
    support: Mapping[str, int]
    estimates: Mapping[str, Estimate]
    small: frozenset[str]

    @property
    def lacks(self) -> tuple[str, ...]:
        """Classes that no picture of the level is of."""
        return tuple(name for name, count in self.support.items() if not count)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "level": self.level, "n": self.n, "groups": self.groups, "support": dict(self.support),
            "metrics": {
                name: one.as_dict() | {"n": one.n, "method": one.method, "small": name in self.small}
                for name, one in self.estimates.items()
            },
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The lowest and the highest level of a column by one metric, small ones left out.

    Attributes:
        column: Such as ``view``.
        metric: ``accuracy``, ``balanced_accuracy``, ``macro_auroc``, ``sensitivity:CLASS``, ``specificity:CLASS`` or
            ``auroc:CLASS``.
        levels: How many levels were compared.
        lowest: The level with the lowest value, the first where several share it.
        highest: The level with the highest.
        lowest_value: Its metric.
        highest_value: Its metric.
        difference: Highest minus lowest, at least 0.
        low: Lower bound of its 95% interval over groups, by bootstrap for rates; NaN with fewer than two groups in a
            level, and where a rate is 0 or 1: no replicate of it differs, so the bootstrap has no spread to go by. With
            more than two levels the two were picked because they lie apart, so the difference is larger than it would
            be elsewhere.
        high: Upper bound.
        p: That all the levels compared have one value, which allows for the pick: of rates a permutation test
            (:func:`level_test`), of means over the classes Student's t (:func:`mean_gap`), NaN where that has no
            spread.
        holm_p: After Holm, over all gaps tested.
        same_classes: Whether the levels compared hold the same classes among the pictures that the rate is of; where
            not, the gap may come from the classes alone.
    """

    column: str
    metric: str
    levels: int
    lowest: str
    highest: str
    lowest_value: float
    highest_value: float
    difference: float
    low: float
    high: float
    p: float
    holm_p: float
    same_classes: bool

    @property
    def differs(self) -> bool:
        """Whether the levels differ, at a chance of 5% that any of all gaps is said to by accident."""
        return self.holm_p < ALPHA

    def as_dict(self) -> dict[str, Any]:
        """For JSON; undefined is null."""
        found = {
            key: or_null(value) if isinstance(value, float) else value for key, value in asdict(self).items()
        }
        return found | {"differs": self.differs}


@dataclass(frozen=True, kw_only=True, eq=False)
class Subgroups:
    """What was found.

    Attributes:
        overall: The evaluation of all pictures.
        classes: Class names in their order.
        split: The part that was judged; None for all rows.
        columns: Column to its levels.
        gaps: One a column and metric of which at least two levels are not small.
        permutations: Of each test.
        notes: What a reader must know.
    """

    overall: Evaluation
    classes: tuple[str, ...]
    split: str | None
    columns: Mapping[str, tuple[Subgroup, ...]]
    gaps: tuple[Gap, ...]
    permutations: int
    notes: tuple[str, ...]

    def metrics(self) -> dict[str, Estimate]:
        """Every metric of all pictures, in the order they are shown."""
        return metrics_of(self.overall)

    def shown(self) -> tuple[str, ...]:
        """The metrics that a table shows: of two classes the specificity and the AUROC of one say no more."""
        doubled = ("specificity:", "auroc:") if len(self.classes) == 2 else ()
        return tuple(name for name in self.metrics() if not name.startswith(doubled))

    def lowest(self, column: str, metric: str) -> Subgroup | None:
        """The level with the lowest value among those not small; None where fewer than two can be compared."""
        fit = [
            one for one in self.columns[column]
            if metric not in one.small and not np.isnan(one.estimates[metric].value)
        ]  # fmt: skip
        return min(fit, key=lambda one: one.estimates[metric].value) if len(fit) > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        worst = {
            column: {
                name: one.level for name in self.metrics() if (one := self.lowest(column, name)) is not None
            }
            for column in self.columns
        }
        return {
            "n": self.overall.n,
            "groups": self.overall.groups,
            "split": self.split,
            "classes": list(self.classes),
            "overall": {name: one.as_dict() for name, one in self.metrics().items()},
            "small": {"fewer_pictures_than": FEWEST_PICTURES, "fewer_of_class_than": FEWEST_OF_CLASS},
            "columns": {name: [one.as_dict() for one in levels] for name, levels in self.columns.items()},
            "lowest": worst,
            "gaps": [one.as_dict() for one in self.gaps],
            "test": {
                "method": "permutation over groups; Student's t over groups for balanced accuracy and AUROCs",
                "permutations": self.permutations,
                "correction": "holm",
            },
            "notes": list(self.notes),
            "research_use_only": True,
        }


def metrics_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """The metrics that subgroups are judged by, under the names of :func:`replicated_metric`."""
    found = {name: getattr(evaluation, name) for name in ("accuracy", "balanced_accuracy", "macro_auroc")}
    for name in ("sensitivity", "specificity", "auroc"):
        found |= {f"{name}:{label}": getattr(rates, name) for label, rates in evaluation.classes.items()}
    return found


def evaluate_subgroups(
    predictions: Predictions,
    levels: SubgroupLevels,
    *,
    intervals: str = "default",
    replicates: int = 1000,
    permutations: int = 2000,
    seed: int = 0,
) -> Subgroups:
    """Judge predictions in every level of every column.

    Args:
        predictions: N rows of one model and one part, with labels.
        levels: Of the same rows, from :func:`~pulmoscope.evaluation.subgroup_levels.subgroup_levels`.
        intervals: As in :func:`~pulmoscope.evaluation.evaluate`.
        replicates: Of the bootstrap, of metrics and of gaps.
        permutations: Of each test.
        seed: Of both.

    Raises:
        TableError: The rows do not fit, or as :func:`~pulmoscope.evaluation.evaluate`.
    """
    if any(len(column) != len(predictions) for column in levels.columns.values()):
        raise TableError("the levels do not fit the predictions", expected=f"{len(predictions)} rows")
    overall = evaluate(predictions, split=None, intervals=intervals, replicates=replicates, seed=seed)
    needed = [name for name, rates in overall.classes.items() if rates.support]
    found: dict[str, tuple[Subgroup, ...]] = {}
    for column, names in levels.columns.items():
        cells = np.asarray(names, object)
        found[column] = tuple(
            _judge(column, level, _rows(predictions, cells == level), needed,
                   intervals=intervals, replicates=replicates, seed=seed)
            for level in levels.order[column]
        )  # fmt: skip
    gaps = _gaps(predictions, levels, found, replicates=replicates, permutations=permutations, seed=seed)
    return Subgroups(
        overall=overall, classes=predictions.classes,
        split=predictions.splits[0] if len(predictions.splits) == 1 else None,
        columns=found, gaps=gaps, permutations=permutations,
        notes=(*levels.notes, *_notes(found, needed), *overall.notes),
    )  # fmt: skip


def _rows(predictions: Predictions, chosen: npt.NDArray[np.bool_]) -> Predictions:
    return Predictions(predictions.frame[chosen], predictions.classes, name=predictions.name)


def _judge(
    column: str, level: str, rows: Predictions, needed: Sequence[str],
    *, intervals: str, replicates: int, seed: int,
) -> Subgroup:  # fmt: skip
    result = evaluate(rows, split=None, intervals=intervals, replicates=replicates, seed=seed)
    support = {name: rates.support for name, rates in result.classes.items()}
    estimates, small = metrics_of(result), set()
    for metric, one in estimates.items():
        kind, _, label = metric.partition(":")
        negatives = result.n - support.get(label, 0)
        rests_on = {
            "accuracy": result.n,
            "sensitivity": support.get(label, 0),
            "specificity": negatives,
            "auroc": min(support.get(label, 0), negatives),
        }.get(kind, min(support[name] for name in needed))
        if kind in ("balanced_accuracy", "macro_auroc") and not rests_on:
            # The mean over fewer classes is another number: it is not put beside the others.
            nan = float("nan")
            estimates[metric] = Estimate(value=nan, low=nan, high=nan, n=one.n, method=one.method)
        if result.n < FEWEST_PICTURES or (kind != "accuracy" and rests_on < FEWEST_OF_CLASS):
            small.add(metric)
    return Subgroup(
        column=column, level=level, n=result.n, groups=result.groups, support=support, estimates=estimates,
        small=frozenset(small),
    )  # fmt: skip


def _tested(classes: Sequence[str]) -> list[str]:
    """The metrics whose gaps are tested.

    Of two classes the specificity of one is the sensitivity of the other, and both share the macro AUROC.
    """
    kinds = ("sensitivity",) if len(classes) == 2 else ("sensitivity", "specificity", "auroc")
    means = ("accuracy", "balanced_accuracy", "macro_auroc")
    return [*means, *(f"{kind}:{label}" for kind in kinds for label in classes)]


def _gaps(
    predictions: Predictions, levels: SubgroupLevels, found: Mapping[str, Sequence[Subgroup]],
    *, replicates: int, permutations: int, seed: int,
) -> tuple[Gap, ...]:  # fmt: skip
    truth, said, soft = predictions.labels, predictions.predicted, predictions.probabilities
    codes, count = group_codes(predictions.groups)
    gaps: list[dict[str, Any]] = []
    for column, subgroups in found.items():
        place = {one.level: at for at, one in enumerate(subgroups)}
        level = np.array([place[name] for name in levels.columns[column]], np.int64)
        for metric in _tested(predictions.classes):
            fit = [
                one for one in subgroups
                if metric not in one.small and not np.isnan(one.estimates[metric].value)
            ]  # fmt: skip
            if len(fit) < 2:
                continue
            lowest = min(fit, key=lambda one: one.estimates[metric].value)
            highest = max(fit, key=lambda one: one.estimates[metric].value)
            if metric.partition(":")[0] in BY_INFLUENCE:
                rows = [level == place[one.level] for one in fit]
                own = [soft if soft is None else soft[each] for each in rows]
                moved = [
                    named_influence(
                        metric, truth[each], said[each], part, codes[each], count, predictions.classes
                    )
                    for each, part in zip(rows, own, strict=True)
                ]
                found_gap = mean_gap(
                    [one.estimates[metric].value for one in fit],
                    [one for one in moved if one is not None],
                    [np.bincount(codes[each], minlength=count) > 0 for each in rows],
                )
                low, high, p = found_gap.low, found_gap.high, found_gap.p
            else:
                within, right = _counted(metric, predictions.classes, truth, said)
                within = within & np.isin(level, [place[one.level] for one in fit])
                p = level_test(
                    right[within], level[within], codes[within], permutations=permutations, seed=seed
                )
                ends = [within & (level == place[one.level]) for one in (lowest, highest)]
                low, high = _interval(ends, right, codes, count, replicates, seed)
            values = [one.estimates[metric].value for one in (lowest, highest)]
            gaps.append({
                "column": column, "metric": metric, "levels": len(fit), "lowest": lowest.level,
                "highest": highest.level, "lowest_value": values[0], "highest_value": values[1],
                "difference": values[1] - values[0], "low": low, "high": high, "p": p,
                "same_classes": len({_classes_of(metric, one) for one in fit}) == 1,
            })  # fmt: skip
    adjusted = holm([one["p"] for one in gaps])
    return tuple(Gap(**one, holm_p=float(p)) for one, p in zip(gaps, adjusted, strict=True))


def _classes_of(metric: str, level: Subgroup) -> frozenset[str]:
    """The classes among a level's pictures that a rate is of."""
    kind, _, label = metric.partition(":")
    held = {name for name, count in level.support.items() if count}
    if kind in BY_INFLUENCE:
        return frozenset(held)
    return frozenset(held & {label} if kind == "sensitivity" else held - {label})


def _counted(
    metric: str, classes: Sequence[str], truth: npt.NDArray[np.int64], said: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which pictures a rate is of, and which of them count as right, both (N,)."""
    kind, _, label = metric.partition(":")
    if kind == "accuracy":
        return np.ones(len(truth), bool), truth == said
    at = list(classes).index(label)
    return (truth == at, said == at) if kind == "sensitivity" else (truth != at, said != at)


def _interval(
    ends: Sequence[npt.NDArray[np.bool_]], right: npt.NDArray[np.bool_], codes: npt.NDArray[np.int64],
    groups: int, replicates: int, seed: int,
) -> tuple[float, float]:  # fmt: skip
    """Interval of the second rate minus the first, over groups drawn together for both.

    Student's t has the degrees of freedom of the level with fewer groups.
    """
    # A rate of 0 or 1 is the same in every replicate: what is left would be the other level's spread alone.
    if groups < 2 or any(right[end].all() or not right[end].any() for end in ends):
        return float("nan"), float("nan")
    columns = [
        np.bincount(codes[end], right[end] if hits else None, groups)
        for end in ends
        for hits in (True, False)
    ]
    counts = np.stack(columns, axis=1).astype(np.float64)
    sums = np.array(
        [drawn @ counts for drawn in draw_weights(groups, replicates, np.random.default_rng(seed))]
    )
    differences = ratio(sums[:, 2], sums[:, 3]) - ratio(sums[:, 0], sums[:, 1])
    whole = counts.sum(axis=0)
    value = float(whole[2] / whole[3] - whole[0] / whole[1])
    fewest = min(len(np.unique(codes[end])) for end in ends)
    low, high, _, _ = difference_interval(value, differences, groups=fewest)
    return low, high


def _notes(found: Mapping[str, Sequence[Subgroup]], needed: Sequence[str]) -> list[str]:
    notes = []
    for column, subgroups in found.items():
        lacking = [
            f"{one.level} has no {', '.join(missing)}" for one in subgroups
            if (missing := [name for name in one.lacks if name in needed])
        ]  # fmt: skip
        if lacking:
            notes.append(f"{column}: {'; '.join(lacking)}: what needs it is undefined there")
    every = (one for levels in found.values() for level in levels for one in level.estimates.values())
    if any(not np.isnan(one.value) and np.isnan(one.low) for one in every):
        notes.append(
            "a value without an interval has nothing to go by: no replicate differs, as at 0 or 1, or there is "
            "one patient"
        )
    return notes
