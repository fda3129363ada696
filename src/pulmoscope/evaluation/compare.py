"""Models compared on the same pictures: every pair by every test, corrected for how many there are.

Three habits keep the numbers honest. A pair is judged picture by picture and patient by patient, never by whether two
intervals overlap. Each kind of test is corrected by Holm over all pairs. And a margin is met only where the interval of
the difference says so: that two models cannot be told apart does not make them equally good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation.align import Aligned, align
from pulmoscope.evaluation.bootstrap import draw_weights, group_codes, resample
from pulmoscope.evaluation.comparison import (
    Comparison,
    Corrected,
    MetricDifference,
    NonInferiority,
    Pair,
    Standing,
)
from pulmoscope.evaluation.delong import DeLong, delong_paired
from pulmoscope.evaluation.effect_tests import sign_flip_p
from pulmoscope.evaluation.influence import Influence, named_influence
from pulmoscope.evaluation.metrics import LEVEL, evaluate
from pulmoscope.evaluation.named import named_estimates
from pulmoscope.evaluation.paired import (
    McNemar,
    Metric,
    holm,
    mcnemar,
    paired_difference,
    paired_freedom,
    replicated_metric,
)
from pulmoscope.evaluation.paired_score import paired_score_interval
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import Evaluation

FloatArray = npt.NDArray[np.float64]

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
REPLICATES = 2000


def compare_predictions(
    tables: Mapping[str, Predictions],
    *,
    split: str | None = "test",
    metrics: Sequence[str] = METRICS,
    margin: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Comparison:
    """Compare models pair by pair.

    Args:
        tables: Name to predictions of one model, at least two, on the same pictures.
        split: The rows to compare; None for all.
        metrics: Names of :func:`~pulmoscope.evaluation.replicated_metric`; the first decides the leaderboard.
        margin: In (0, 1): a model that is worse by less is called non-inferior. None to leave that out.
        replicates: Of the bootstrap of differences, at least 1; a model's own interval is that of
            :func:`~pulmoscope.evaluation.evaluate`.
        seed: Of the bootstrap: all models see the same draws.

    Raises:
        TableError: The tables do not fit together: see :func:`~pulmoscope.evaluation.align`.
        PulmoscopeError: An option is out of range, or there is no such metric.
    """
    together = align(tables, split=split)
    first = together.first
    chosen = tuple(dict.fromkeys(metrics))
    kernels = _kernels(chosen, first.classes)
    pairs = list(combinations(together.tables, 2))
    if replicates < 1:
        raise PulmoscopeError(
            "too few replicates", code="E_OPTION", expected="1 or more", got=str(replicates)
        )
    if margin is not None and not 0 < margin < 1:
        raise PulmoscopeError(
            "the margin is out of range", code="E_OPTION", expected="between 0 and 1, as in 0.02",
            got=str(margin),
        )  # fmt: skip
    codes, groups = group_codes(first.groups)
    judged = {
        # With the default number of replicates, so that a table has one interval in every command.
        name: evaluate(table, split=None, seed=seed)
        for name, table in together.tables.items()
    }
    drawn = _draw(together, kernels, codes, groups, replicates=replicates, seed=seed)
    compared = _pairs(together, pairs, drawn, codes, groups)
    leaderboard = _leaderboard(chosen[0], compared, judged, together.tables)
    notes = (*together.notes, *_same(together, pairs), *_notes(compared, chosen, groups, len(first)))
    settled = () if margin is None else _non_inferiority(compared, chosen, groups, len(first), margin)
    return Comparison(
        split=together.split, classes=first.classes, pictures=len(first), groups=groups, metrics=chosen,
        models=judged, pairs=compared, leaderboard=leaderboard, margin=margin, non_inferiority=settled, level=LEVEL,
        replicates=replicates, seed=seed, notes=notes,
    )  # fmt: skip


def paired_tests(
    first: Predictions, second: Predictions, *, metrics: Sequence[str], replicates: int, seed: int
) -> Pair:
    """The tests of :func:`compare_predictions` of one pair alone, whose models are not judged."""
    together = align({"first": first, "second": second}, split=None)
    codes, groups = group_codes(together.first.groups)
    kernels = _kernels(metrics, together.first.classes)
    drawn = _draw(together, kernels, codes, groups, replicates=replicates, seed=seed)
    return _pairs(together, [("first", "second")], drawn, codes, groups)[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """One metric of one model: its value, that in each replicate, (B,), and what each group adds to it."""

    value: float
    replicates: FloatArray
    influence: Influence | None


def _kernels(metrics: Sequence[str], classes: Sequence[str]) -> dict[str, Metric]:
    if not metrics:
        raise PulmoscopeError("no metric to compare by", code="E_OPTION", expected="at least one")
    try:
        return {name: replicated_metric(name, classes) for name in metrics}
    except ValueError as error:
        raise PulmoscopeError(str(error), code="E_OPTION") from None


def _draw(
    together: Aligned,
    kernels: Mapping[str, Metric],
    codes: npt.NDArray[np.int64],
    groups: int,
    *,
    replicates: int,
    seed: int,
) -> dict[str, dict[str, _Drawn]]:
    """Every metric of every model."""
    return {
        name: _draw_one(table, kernels, codes, groups, replicates=replicates, seed=seed)
        for name, table in together.tables.items()
    }


def _draw_one(
    table: Predictions,
    kernels: Mapping[str, Metric],
    codes: npt.NDArray[np.int64],
    groups: int,
    *,
    replicates: int,
    seed: int,
) -> dict[str, _Drawn]:
    """Every metric of one model. The same seed gives every model the same groups, and no draw has to be kept."""
    truth, predicted, probabilities = table.labels, table.predicted, table.probabilities
    classes = len(table.classes)
    point = resample(
        [np.ones(groups, np.int64)], truth=truth, predicted=predicted, probabilities=probabilities,
        groups=codes, classes=classes,
    )  # fmt: skip
    many = resample(
        draw_weights(groups, replicates, np.random.default_rng(seed)), truth=truth, predicted=predicted,
        probabilities=probabilities, groups=codes, classes=classes,
    )  # fmt: skip
    return {
        name: _Drawn(
            value=float(of(point)[0]), replicates=np.asarray(of(many), np.float64),
            influence=named_influence(name, truth, predicted, probabilities, codes, groups, table.classes),
        )
        for name, of in kernels.items()
    }  # fmt: skip


def _pairs(
    together: Aligned,
    pairs: Sequence[tuple[str, str]],
    drawn: Mapping[str, Mapping[str, _Drawn]],
    codes: npt.NDArray[np.int64],
    groups: int,
) -> tuple[Pair, ...]:
    """Every test of every pair; Holm's correction over all tests of a kind."""
    right = {name: table.predicted == table.labels for name, table in together.tables.items()}
    tested = [mcnemar(right[a], right[b]) for a, b in pairs]
    exact, mid = holm([one.exact_p for one in tested]), holm([one.mid_p for one in tested])
    differences: list[dict[str, MetricDifference]] = [{} for _ in pairs]
    for metric in next(iter(drawn.values())):
        found = [
            _difference(metric, drawn[a][metric], drawn[b][metric], right[a], right[b], codes, groups)
            for a, b in pairs
        ]
        for at, corrected in enumerate(holm([one.p for one in found])):
            differences[at][metric] = replace(found[at], holm_p=float(corrected))
    delong = _delong(together, pairs)
    return tuple(
        Pair(
            first=a, second=b, mcnemar=tested[at], exact_holm=float(exact[at]), mid_holm=float(mid[at]),
            differences=differences[at], delong=delong[at],
        )
        for at, (a, b) in enumerate(pairs)
    )  # fmt: skip


def _difference(
    metric: str,
    first: _Drawn,
    second: _Drawn,
    right_first: npt.NDArray[np.bool_],
    right_second: npt.NDArray[np.bool_],
    codes: npt.NDArray[np.int64],
    groups: int,
) -> MetricDifference:
    found = paired_difference(
        first.value, second.value, first.replicates, second.replicates, groups=groups, level=LEVEL,
        freedom=paired_freedom(first.influence, second.influence),
    )  # fmt: skip
    p, test = found.p, "bootstrap"
    if metric == "accuracy":
        more = right_second.astype(np.int64) - right_first
        p, test = sign_flip_p(np.bincount(codes, more, groups).round().astype(np.int64)), "sign-flip"
    return MetricDifference(
        first=found.first, second=found.second, difference=found.difference, low=found.low, high=found.high,
        p=p, holm_p=float("nan"), test=test, undefined_replicates=found.undefined_replicates,
    )  # fmt: skip


def _delong(together: Aligned, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Corrected]]:
    truth, classes = together.first.labels, together.first.classes
    scores = {name: table.probabilities for name, table in together.tables.items()}
    # Two classes share one AUROC: a second test of it would only cost in the correction.
    judged = classes[1:] if len(classes) == 2 else classes
    told: list[tuple[int, str, DeLong]] = []
    for at, (a, b) in enumerate(pairs):
        first, second = scores[a], scores[b]
        if first is None or second is None:
            continue
        for name in judged:
            of = classes.index(name)
            told.append((at, name, delong_paired(truth == of, first[:, of], second[:, of], level=LEVEL)))
    found: list[dict[str, Corrected]] = [{} for _ in pairs]
    for (at, name, one), corrected in zip(told, holm([one.p for _, _, one in told]), strict=True):
        found[at][name] = Corrected(told=one, holm_p=float(corrected))
    return found


def _leaderboard(
    metric: str,
    pairs: Sequence[Pair],
    judged: Mapping[str, Evaluation],
    tables: Mapping[str, Predictions],
) -> tuple[Standing, ...]:
    shown = {
        name: named_estimates(tables[name], (metric,), evaluation=one)[metric] for name, one in judged.items()
    }
    values = {name: one.value for name, one in shown.items()}
    # From the highest down, the undefined last; equal values stay in the order given.
    order = sorted(values, key=lambda name: -values[name] if not np.isnan(values[name]) else np.inf)
    best = order[0]
    better = dict.fromkeys(values, 0)
    to_best: dict[str, MetricDifference] = {}
    for one in pairs:
        found = one.differences[metric]
        if found.told_apart and found.difference:
            better[one.first if found.difference > 0 else one.second] += 1
        if best in (one.first, one.second):
            other = one.first if one.second == best else one.second
            to_best[other] = found if one.second == other else _turned(found)
    places = []
    for name in order:
        known, beside = not np.isnan(values[name]), to_best.get(name)
        places.append(
            Standing(
                name=name, value=values[name], low=shown[name].low, high=shown[name].high,
                rank=1 + better[name] if known else None,
                like_best=known and (beside is None or not beside.told_apart),
                to_best=beside if known else None,
            )
        )  # fmt: skip
    return tuple(places)


def _turned(one: MetricDifference) -> MetricDifference:
    return replace(
        one, first=one.second, second=one.first, difference=-one.difference, low=-one.high, high=-one.low
    )


def _non_inferiority(
    pairs: Sequence[Pair], metrics: Sequence[str], groups: int, pictures: int, margin: float
) -> tuple[NonInferiority, ...]:
    found = []
    for metric in metrics:
        for one in pairs:
            for turned in (False, True):
                told = _turned(one.differences[metric]) if turned else one.differences[metric]
                names = (one.first, one.second) if turned else (one.second, one.first)
                bound, method = _lower_bound(metric, told, one.mcnemar, turned, groups, pictures)
                found.append(
                    NonInferiority(
                        candidate=names[0], reference=names[1], metric=metric, difference=told.difference, bound=bound,
                        holds=None if np.isnan(bound) else bool(bound > -margin), method=method,
                    )
                )  # fmt: skip
    return tuple(found)


def _lower_bound(
    metric: str, told: MetricDifference, counts: McNemar, turned: bool, groups: int, pictures: int
) -> tuple[float, str]:
    """Lower bound of the two-sided 95% interval, which is that of the one-sided 97.5% one, and its method."""
    if metric == "accuracy" and groups == pictures:
        first, second = counts.only_first, counts.only_second
        low, high = paired_score_interval(first, second, pictures, level=LEVEL)
        return (-high if turned else low), "score"
    # Where no replicate differs there is nothing to bound: few pictures, or two models that never disagree.
    return told.low, "bootstrap"


def _same(together: Aligned, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The pairs that give every picture the same class or probabilities: no doubt is left of what they share."""
    found: dict[str, list[str]] = {"probabilities": [], "class": []}
    for a, b in pairs:
        one, other = together.tables[a], together.tables[b]
        if not np.array_equal(one.predicted, other.predicted):
            continue
        soft = one.probabilities, other.probabilities
        same = soft[0] is not None and soft[1] is not None and np.array_equal(soft[0], soft[1])
        found["probabilities" if same else "class"].append(f"{a} and {b}")
    return [
        f"{'; '.join(named)} give every picture the same {what}" for what, named in found.items() if named
    ]


def _notes(pairs: Sequence[Pair], metrics: Sequence[str], groups: int, pictures: int) -> list[str]:
    notes = [
        "that two models cannot be told apart does not show that they are equally good: their interval says how far "
        "apart they may be"
    ]
    if len(pairs) > 1:
        notes.append(
            f"p-values are corrected by Holm over the {len(pairs)} pairs of each metric; intervals are not, nor are "
            f"metrics corrected among each other: {metrics[0]} decides"
        )
    if groups < pictures:
        notes.append(
            f"{pictures} pictures come from {groups} groups (patients): the sign-flip test and the bootstrap respect "
            "that, McNemar's and DeLong's tests take pictures as independent"
        )
    if groups < 2:
        notes.append("one group only: bootstrap intervals and their p-values are undefined")
    return notes
