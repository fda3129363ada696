"""Internal against external in words: what changed, what is class mix, what is left, and the text for the terminal."""

from __future__ import annotations

import math

from pulmoscope.evaluation.compare_words import UNDEFINED, metric_title
from pulmoscope.evaluation.text_table import aligned
from pulmoscope.evaluation.transport_result import Bounds, CalibrationShift, MetricShift, Transport

RULE = (
    "difference: external minus internal; class mix: what the internal test alone would change with the external "
    "shares of the classes; rest: what is left; 95% intervals by bootstrap over groups on each side, not corrected for "
    "their number"
)


def show_bounds(one: Bounds, *, signed: bool = False) -> str:
    """A number with its interval, as ``0.812 (0.745-0.866)`` or ``-0.031 (-0.052 to -0.010)``."""
    if math.isnan(one.value):
        return UNDEFINED
    if not signed:
        return f"{one.value:.3f}" + ("" if math.isnan(one.low) else f" ({one.low:.3f}-{one.high:.3f})")
    if one.low == one.high == 0:
        # Such as the class mix of a sensitivity: no bootstrap is needed to know that there is none.
        return _signed(one.value)
    return _signed(one.value) + (
        "" if math.isnan(one.low) else f" ({_signed(one.low)} to {_signed(one.high)})"
    )


def shift_sentence(one: MetricShift) -> str:
    """Which way a metric went, if that can be told, and what of it is class mix."""
    name = metric_title(one.metric)
    verdict = {-1: "is lower there", 0: "cannot be told apart", 1: "is higher there"}[one.difference.sign]
    text = (
        f"{name[0].upper()}{name[1:]} {verdict}: internal {show_bounds(one.internal)}, external "
        f"{show_bounds(one.external)}, difference {show_bounds(one.difference, signed=True)}"
    )
    if one.class_mix.value or one.class_mix.low or one.class_mix.high:
        text += (
            f", of which class mix {show_bounds(one.class_mix, signed=True)} and the rest "
            f"{show_bounds(one.rest, signed=True)}"
        )
    return text + "."


def calibration_sentence(one: CalibrationShift) -> str:
    """Whether a class is promised more or less often there than it occurs."""
    verdict = {
        -1: "gets too little probability there",
        0: "gets about as much probability there as it occurs",
        1: "gets too much probability there",
    }[one.external.sign]
    return (
        f"Class {one.label} {verdict}: {one.external_mean:.3f} on average, {one.external_share:.3f} of the pictures, "
        f"{show_bounds(one.external, signed=True)}; internal {show_bounds(one.internal, signed=True)}."
    )


def reading(found: Transport) -> str | None:
    """What the parts say together; None where accuracy or AUROC is not compared."""
    accuracy, ranking = found.shift("accuracy"), found.shift("macro_auroc")
    if accuracy is None or ranking is None:
        return None
    if ranking.rest.sign < 0:
        return "Discrimination is lost there: the macro AUROC falls by more than the class mix explains."
    if accuracy.rest.sign < 0:
        return (
            "Accuracy is lost beyond the class mix, and no loss of the macro AUROC can be told: thresholds and "
            "calibration may no longer fit, or the cohort is too small to show a loss of discrimination."
        )
    if accuracy.difference.sign < 0 and accuracy.class_mix.sign < 0:
        return "The accuracy falls with the class mix; no loss beyond it can be told."
    return "No loss of accuracy or of the macro AUROC beyond the class mix can be told; that is not proof of none."


def transport_sentences(found: Transport) -> tuple[str, ...]:
    """The reading, the overall metrics, each class's sensitivity and AUROC, and its calibration in the large."""
    said = reading(found)
    wanted = ["accuracy", "balanced_accuracy", "macro_auroc"]
    wanted += [f"{kind}:{label}" for kind in ("sensitivity", "auroc") for label in found.compared]
    by_name = {one.metric: one for one in found.shown()}
    shifts = [by_name[name] for name in wanted if name in by_name]
    return (
        *([said] if said else []),
        *(shift_sentence(one) for one in shifts),
        *(calibration_sentence(one) for one in found.calibration),
    )


def transport_text(found: Transport) -> str:
    """For the terminal."""
    rows = [["", "internal test", "external", "difference", "class mix", "rest"]]
    rows.append(["pictures compared", str(found.internal_n), str(found.external_n), "", "", ""])
    for name, inside, outside in zip(
        found.compared, found.internal_shares, found.external_shares, strict=True
    ):
        rows.append(
            [f"share of {name}", f"{inside:.3f}", f"{outside:.3f}", _signed(outside - inside), "", ""]
        )
    for one in found.shown():
        parts = (show_bounds(part, signed=True) for part in (one.difference, one.class_mix, one.rest))
        rows.append([metric_title(one.metric), show_bounds(one.internal), show_bounds(one.external), *parts])
    notes = [f"note: {note}" for note in (RULE, *found.notes)]
    return "\n".join([*aligned(rows), "", *transport_sentences(found), "", *notes])


def _signed(value: float) -> str:
    """With its sign; what rounds to nothing has none."""
    shown = f"{value:+.3f}"
    return "0.000" if float(shown) == 0 else shown
