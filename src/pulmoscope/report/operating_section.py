"""The report's section on operating points: chosen on validation, judged on test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pulmoscope.errors import PulmoscopeError, RunError
from pulmoscope.evaluation.four_counts import Diagnostic, per_thousand
from pulmoscope.evaluation.operating import Rule
from pulmoscope.evaluation.operating_table import JudgedPoint
from pulmoscope.evaluation.pooled_points import PooledPoint, pooled_points
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import Estimate
from pulmoscope.report.called_classes import called_classes
from pulmoscope.report.numbers import UNDEFINED, show_rate
from pulmoscope.report.section import Section
from pulmoscope.report.tables import Table

#: Shares of diseased for which counts are stated beside the judged part's own: screening and a clinic.
PREVALENCES = (0.01, 0.1)
_RATES = ("sensitivity", "specificity", "ppv", "npv")
_PARTS = {"test": "the test part", "external": "the external cohort"}
_RULES = (
    "by its rule (the best specificity with at least that sensitivity, the reverse, and Youden's: the largest sum of "
    "both)"
)
_ONE_MODEL = (
    f"Each threshold was chosen on the validation part {_RULES} and then fixed; the test part only judges it."
)
_FOLDS = (
    "Each fold chose its own thresholds on its own validation part; the calls on the pictures that the folds held out "
    "are counted together."
)
_KEPT = (
    f"Each threshold was chosen on the validation part of the model's own cohort {_RULES} and is kept in the "
    "model; this cohort only judges it."
)


def operating_section(tables: Sequence[Predictions]) -> Section | None:
    """Thresholds, what they give on test, and what that means for a thousand patients.

    Args:
        tables: The predictions of each model: one, or one a fold.

    Returns:
        None where a table lacks labels, probabilities, or one of ``val`` and ``test``.
    """
    usable = bool(tables) and all(
        one.has_labels and len(one.models) < 2 and {"val", "test"} <= set(one.splits) for one in tables
    )
    points = pooled_points(tables) if usable else ()
    if not points:
        return None
    return _section(points, tables[0].classes, _FOLDS if len(tables) > 1 else _ONE_MODEL, "test")


def stored_points_section(metrics: Mapping[str, Any]) -> Section | None:
    """The operating points that a model keeps, on an external cohort.

    Args:
        metrics: The content of ``metrics.json`` of an external validation.

    Returns:
        None where the file holds none.

    Raises:
        RunError: The part ``operating_points`` is damaged.
    """
    content = metrics.get("operating_points")
    if not content:
        return None
    try:
        judged = [JudgedPoint.from_dict(one) for one in content]
    except (PulmoscopeError, TypeError) as error:
        raise RunError(
            f"the part 'operating_points' of metrics.json cannot be read: {error}",
            remedy="judge the run again: pulmoscope evaluate RUN --cohort DIR",
        ) from error
    points = [
        PooledPoint(
            positive=one.point.positive, rule=one.point.rule, thresholds=(one.point.threshold,),
            validation=one.point.validation, judged=one.test, notes=one.point.notes,
        )
        for one in judged
    ]  # fmt: skip
    return _section(points, list(dict.fromkeys(point.positive for point in points)), _KEPT, "external")


def _section(points: Sequence[PooledPoint], classes: Sequence[str], how: str, part: str) -> Section:
    names = called_classes(classes)
    shown = [point for point in points if point.positive in names]
    made = [_threshold_table(shown, several=how is _FOLDS)]
    for name in names:
        own = [point for point in shown if point.positive == name and point.judged is not None]
        if own:
            made += [_rates_table(name, own, part), _patients_table(name, own, part)]
    said = [how, *_sentences(shown, classes, names, part)]
    return Section(tables=tuple(made), sentences=tuple(said), captions={}, figures={})


def _threshold_table(points: Sequence[PooledPoint], *, several: bool) -> Table:
    rows = [
        [
            f"{point.positive}, {_short(point.rule)}",
            _threshold(point.thresholds),
            _rate(point.validation.sensitivity),
            _rate(point.validation.specificity),
        ]
        for point in points
    ]
    caption = "Thresholds and what they gave where they were chosen, which flatters"
    if several:
        caption = (
            "Thresholds, from the lowest to the highest of the folds, and what they gave where they were chosen, which "
            "flatters; a picture may stand in the validation part of several folds"
        )
    return Table(
        caption=caption,
        header=["Rule", "Called from", "Validation sensitivity", "Validation specificity"],
        rows=rows,
    )


def _rates_table(name: str, points: Sequence[PooledPoint], part: str) -> Table:
    rows = []
    for point in points:
        judged = point.judged
        if judged is not None:
            ratios = [_rate(one, 2) for one in (judged.lr_positive, judged.lr_negative)]
            rows.append([_short(point.rule), *(_rate(getattr(judged, rate)) for rate in _RATES), *ratios])
    return Table(
        caption=f"{name} called against all others on {_PARTS[part]}, with 95% intervals",
        header=["Rule", "Sensitivity", "Specificity", "PPV", "NPV", "LR+", "LR−"],
        rows=rows,
    )


def _patients_table(name: str, points: Sequence[PooledPoint], part: str) -> Table:
    rows = []
    for point in points:
        for share, of in _prevalences(point.judged, part):
            if point.judged is None:
                continue
            found = per_thousand(point.judged, share)
            counts = [_rate(one, 0) for one in (found.found, found.missed, found.false_alarms, found.cleared)]
            rows.append([_short(point.rule), of, *counts, _rate(found.ppv), _rate(found.npv)])
    return Table(
        caption=f"Of a thousand patients, by the share that has {name}; 95% intervals",
        header=["Rule", "Prevalence", "Found", "Missed", "False alarms", "Cleared", "PPV", "NPV"],
        rows=rows,
    )


def _prevalences(judged: Diagnostic | None, part: str) -> list[tuple[float, str]]:
    if judged is None or not judged.total:
        return []
    own = (judged.true_positives + judged.false_negatives) / judged.total
    stated = [(share, f"{100 * share:g}%") for share in PREVALENCES]
    return [(own, f"{100 * own:.1f}% ({part})"), *stated] if 0 < own < 1 else stated


def _sentences(
    points: Sequence[PooledPoint], classes: Sequence[str], names: Sequence[str], part: str
) -> list[str]:
    said = []
    left = [name for name in classes if name not in names]
    if left:
        said.append(
            f"Not shown as a class to call: {', '.join(left)}; pulmoscope operating gives every class."
        )
    for point in points:
        wanted, judged = point.rule.target, point.judged
        if judged is None:
            said.append(f"{point.positive}, {point.rule}: no threshold could be chosen, so it is not judged.")
        elif wanted is not None:
            rate: Estimate = getattr(judged, point.rule.kind)
            if rate.high < wanted:
                said.append(
                    f"{point.positive}: the {point.rule.kind} of at least {wanted:g} that was chosen on validation is "
                    f"not kept on {_PARTS[part]}: {_rate(rate)}."
                )
    said += [
        f"{point.positive}, {point.rule}: {note}."
        for point in points
        for note in point.notes
        if "share the" not in note
    ]
    said.append(
        "Counts for other prevalences take for granted that the patients there look like these. PPV and NPV at a "
        "prevalence take it as known, so their intervals are not those of the predictive values above. Where patients "
        "have several pictures, intervals are those of the effective sample size."
    )
    return said


def _threshold(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return UNDEFINED
    low, high = (f"{value:.3f}" if math.isfinite(value) else "nobody" for value in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"


def _short(rule: Rule) -> str:
    """As a table's row names it: ``sensitivity ≥ 0.95``, ``Youden``."""
    return rule.kind.capitalize() if rule.target is None else f"{rule.kind} ≥ {rule.target:g}"


def _rate(one: Estimate, digits: int = 3) -> str:
    return show_rate(one.as_dict(), digits)
