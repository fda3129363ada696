"""The report's section on uncertainty: conformal sets, and what leaving unsure pictures unanswered gains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pulmoscope.evaluation.conformal_table import ConformalReport, Coverage, conformal_report
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import Estimate, show_level
from pulmoscope.evaluation.selective_table import JudgedAbstention, SelectiveReport, selective_report
from pulmoscope.report.figures.coverage_by_class import draw_coverage
from pulmoscope.report.figures.risk_coverage import CurvePoint, draw_risk_coverage
from pulmoscope.report.numbers import UNDEFINED, show_number, show_rate
from pulmoscope.report.section import Section
from pulmoscope.report.style import save_png
from pulmoscope.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What :func:`uncertainty_section` gives.
UncertaintySection = Section

_PARTS = {"val": "validation"}
#: How near a coverage should be to its target, as a share: two points.
NEAR = 0.02


def uncertainty_section(predictions: Predictions, *, level: float = 0.9) -> UncertaintySection | None:
    """Tables, sentences and figures from a table with validation and test pictures.

    Args:
        predictions: One model's, with labels and a column ``split``.
        level: Wanted coverage of conformal sets, in (0, 1).

    Returns:
        None where the table has no probabilities, no labels, or lacks one of ``val`` and ``test``.
    """
    if not predictions.has_labels or predictions.probabilities is None or len(predictions.models) > 1:
        return None
    if not {"val", "test"} <= set(predictions.splits):
        return None
    sets, selective = conformal_report(predictions, level=level), selective_report(predictions)
    return Section(
        tables=(coverage_table(sets), abstention_table(selective)),
        sentences=(*coverage_sentences(sets), *selective_sentences(selective), *table_notes(sets, selective)),
        captions={
            "conformal_coverage": (
                "How often conformal sets, fixed on validation, hold the true class of test pictures.",
                "; ".join(f"{name} {_rate(one.seen)}" for name, one in _rows(sets, "by-class")),
            ),
            "risk_coverage": (
                "Error among the answered test pictures as more are answered, the surest first. Open marks are "
                "thresholds chosen on validation.",
                f"Error {show_number(selective.curve.risk_at(0.5))} with half of the pictures answered, "
                f"{show_number(selective.curve.at_random)} with all.",
            ),
        },
        figures=_figures(sets, selective),
    )


def draw_uncertainty(sets: ConformalReport, selective: SelectiveReport, folder: Path) -> dict[str, Path]:
    """Draw the section's figures as ``folder/NAME.png``.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    figures = _figures(sets, selective)
    return {name: save_png(draw(), folder / f"{name}.png") for name, draw in figures.items()}


def _figures(sets: ConformalReport, selective: SelectiveReport) -> dict[str, Callable[[], Figure]]:
    points = [
        CurvePoint(label=str(one.chosen), coverage=one.test.coverage.value, risk=1 - one.test.accuracy.value)
        for one in selective.points
    ]
    return {
        "conformal_coverage": lambda: draw_coverage(sets),
        "risk_coverage": lambda: draw_risk_coverage(
            selective.curve, pictures=selective.pictures, points=points
        ),
    }


def coverage_table(sets: ConformalReport) -> Table:
    """A row for all pictures and one a class: coverage and size of both kinds of sets."""
    marginal, by_class = dict(_rows(sets, "marginal")), dict(_rows(sets, "by-class"))
    rows = [
        [
            name,
            f"{one.seen.n:,}",
            _rate(one.seen),
            _range(one),
            show_number(one.mean_size, 2),
            _rate(by_class[name].seen),
            _range(by_class[name]),
            show_number(by_class[name].mean_size, 2),
        ]
        for name, one in marginal.items()
    ]
    return Table(
        caption=f"Conformal sets of level {sets.level:g}, fixed on {sets.chosen_on}, judged on {sets.judged_on}: "
        "coverage with exact 95% intervals, and the range expected if the two parts are alike",
        header=[
            "Class", "Pictures", "One threshold: coverage", "expected", "classes a set", "One a class: coverage",
            "expected", "classes a set",
        ],
        rows=rows,
    )  # fmt: skip


def abstention_table(selective: SelectiveReport) -> Table:
    """A row a threshold: what it was to do, and what it does on the judged pictures."""
    rows = [
        [
            str(one.chosen)[0].upper() + str(one.chosen)[1:],
            f"{one.chosen.threshold:.3f}" if math.isfinite(one.chosen.threshold) else _every(one),
            _rate(one.test.coverage),
            _rate(one.test.accuracy),
            _rate(one.test.left_accuracy),
        ]
        for one in selective.points
    ]
    return Table(
        caption=f"Leaving unsure pictures unanswered: thresholds of the top probability chosen on "
        f"{selective.chosen_on}, judged on {selective.judged_on}, with 95% intervals",
        header=["Chosen to", "Answer from", "Answered", "Right among the answered", "Right among the rest"],
        rows=rows,
    )


def coverage_sentences(sets: ConformalReport) -> tuple[str, ...]:
    """What the sets hold, which class gets less or more than promised, and where chance is too large to tell."""
    marginal, by_class = sets.kinds["marginal"], sets.kinds["by-class"]
    seen = marginal.overall
    chosen_on, judged_on = _PARTS.get(sets.chosen_on, sets.chosen_on), sets.judged_on
    level = show_level(sets.level)
    why = f": there no class is as likely as the true one was in {level} of the {chosen_on} pictures"
    why = why if marginal.empty.value > 0 else ""
    told = [
        f"A conformal set lists the classes that the model cannot rule out. Sets fixed on {chosen_on} to hold the true "
        f"class of {level} of pictures hold it in {_percent(seen.seen)} of the {judged_on} pictures; a set "
        f"has {show_number(seen.mean_size, 2)} classes in the mean, {_percent(marginal.single)} have one, "
        f"{_percent(marginal.empty)} none{why}."
    ]
    broken = {name: one for name, one in by_class.by_class.items() if one.as_promised is False}
    if broken:
        shown = "; ".join(
            f"{name} gets {_percent(one.seen)}, where {_range(one, percent=True)} is expected"
            for name, one in broken.items()
        )
        told.append(
            f"A threshold of its own promises {level} to each class, and that does not hold: {shown}. Chance "
            f"does this to a class in 5 of 100 tests; else the {chosen_on} and {judged_on} pictures of "
            f"{', '.join(broken)} do not look alike to the model, and what is fixed on {chosen_on} need not hold on "
            f"{judged_on}, or anywhere else."
        )
    noisy = [
        name
        for name, one in by_class.by_class.items()
        if one.as_promised and max(sets.level - one.range_low, one.range_high - sets.level) > NEAR
    ]
    if noisy:
        told.append(
            f"With a threshold of its own {', '.join(noisy)} may well have the coverage promised, but these pictures "
            f"are too few to tell whether it is within {100 * NEAR:g} points: chance alone moves it further."
        )
    return (
        *told,
        *(f"{note[0].upper()}{note[1:]}." for note in (*marginal.rule.notes, *by_class.rule.notes)),
    )


def selective_sentences(selective: SelectiveReport) -> tuple[str, ...]:
    """Whether how unsure the model is tells its mistakes."""
    wrong, curve = selective.wrong, selective.curve
    if math.isnan(wrong.value):
        lacking = "no answer is wrong" if not selective.mistakes else "no answer is right"
        return (f"On {selective.judged_on} {lacking}: whether the model knows when it errs cannot be told.",)
    interval = "" if math.isnan(wrong.low) else f" ({wrong.low:.3f}-{wrong.high:.3f})"
    return (
        f"The top probability tells the {selective.mistakes} wrong answers from the right ones with an AUROC of "
        f"{wrong.value:.3f}{interval}; the area under the risk-coverage curve is {curve.area:.4f}, "
        f"{curve.at_random:.4f} where confidence says nothing and {curve.at_best:.4f} at best.",
    )


def table_notes(sets: ConformalReport, selective: SelectiveReport) -> tuple[str, ...]:
    """What a reader of the numbers must know, each a sentence."""
    said = dict.fromkeys((*sets.notes, *(note for one in selective.points for note in one.chosen.notes)))
    return tuple(f"{note[0].upper()}{note[1:]}." for note in said)


def _rows(sets: ConformalReport, kind: str) -> Sequence[tuple[str, Coverage]]:
    judged = next(one for name, one in sets.kinds.items() if name == kind)
    return [("All", judged.overall), *judged.by_class.items()]


def _every(one: JudgedAbstention) -> str:
    return "all are answered" if one.chosen.threshold < 0 else "none is answered"


def _rate(one: Estimate) -> str:
    return show_rate(one.as_dict())


def _percent(one: Estimate) -> str:
    if math.isnan(one.value):
        return UNDEFINED
    return f"{one.value:.1%} ({one.low:.1%}-{one.high:.1%})"


def _range(one: Coverage, *, percent: bool = False) -> str:
    if not one.promised:
        return "" if one.seen.n else UNDEFINED
    form = ".1%" if percent else ".3f"
    return f"{one.range_low:{form}}-{one.range_high:{form}}"
