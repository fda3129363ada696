"""The report's section on calibration: do the probabilities mean what they say?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pulmoscope.errors import TableError
from pulmoscope.evaluation.calibration_summary import CalibrationSummary, calibration_summary
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.recalibrate import fit_calibrator
from pulmoscope.report.figures.calibration_pair import draw_calibration_pair
from pulmoscope.report.inputs import ModelPredictions
from pulmoscope.report.numbers import show_number, show_rate
from pulmoscope.report.section import Section
from pulmoscope.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROWS = (
    ("ece_width", "ECE, bins of equal width"),
    ("ece_mass", "ECE, bins of equal mass"),
    ("brier", "Brier score, all classes"),
    ("log_loss", "Log loss"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pair:
    """Judged pictures before and after a calibration.

    Attributes:
        before: As the network gives them.
        after: After the calibration; None where there is none to show.
        title: Of the calibration.
        stored: Whether the model answers with ``after``.
    """

    before: Predictions
    after: Predictions | None = None
    title: str = ""
    stored: bool = False


def calibration_section(
    judged: Predictions, models: Sequence[ModelPredictions], *, part: str = "test"
) -> Section | None:
    """ECE, Brier score and its parts, before and after the calibration that is stored, else after temperature scaling.

    Args:
        judged: What is reported on, with labels.
        models: What each model answered: one, or one a fold.
        part: The split that is judged. Without a calibration, temperature scaling is fitted on each model's validation
            part and shown on the test part; nothing is fitted where another part is judged.

    Returns:
        None where there are no probabilities.
    """
    if judged.probabilities is None:
        return None
    pair = _stored(judged, models, part) or _fitted(judged, models, part) or _Pair(before=judged)
    before = calibration_summary(pair.before)
    after = None if pair.after is None else calibration_summary(pair.after)
    if before is None:
        return None
    final = after if pair.stored and after is not None else before
    captions: dict[str, tuple[str, str]] = {}
    figures = {}
    if pair.after is not None and after is not None:
        captions["calibration_pair"] = (
            f"As trained, and {pair.title}. Points: share that is right among pictures given about the same "
            "probability, as many pictures in each bin, with 95% intervals; on the dashed line probabilities mean what "
            "they say. Below: how often each probability is given.",
            f"Reliability before and after. Expected calibration error, equal mass: {before.ece_mass.value:.3f} and "
            f"{after.ece_mass.value:.3f}.",
        )
        figures["calibration_pair"] = lambda: _draw(pair)
    return Section(
        tables=(_summary_table(before, after, pair), _parts_table(final)),
        sentences=tuple(_sentences(before, after, pair, part)),
        captions=captions,
        figures=figures,
    )


def _stored(judged: Predictions, models: Sequence[ModelPredictions], part: str) -> _Pair | None:
    """Before and after the calibrations that the models keep; a model without one counts as it is."""
    methods = {model.method for model in models if model.method is not None and model.raw is not None}
    if not methods or any(part not in (model.raw or model.table).splits for model in models):
        return None
    raw = _joined([(model.raw or model.table).part(part) for model in models])
    return _Pair(before=raw, after=judged, title=f"after {' or '.join(sorted(methods))}", stored=True)


def _fitted(judged: Predictions, models: Sequence[ModelPredictions], part: str) -> _Pair | None:
    """What temperature scaling would do."""
    if part != "test" or not models or any(not {"val", "test"} <= set(one.table.splits) for one in models):
        return None
    mended = []
    for model in models:
        test = model.table.part("test")
        try:
            temperature = fit_calibrator(model.table, "temperature")
        except TableError:
            return None
        frame = test.frame
        frame[[f"p_{name}" for name in test.classes]] = temperature.apply(test.probabilities)  # type: ignore[arg-type]
        mended.append(Predictions(frame, test.classes))
    return _Pair(before=judged, after=_joined(mended), title="if scaled by a temperature")


def _joined(tables: Sequence[Predictions]) -> Predictions:
    return Predictions(pd.concat([one.frame for one in tables], ignore_index=True), tables[0].classes)


def _draw(pair: _Pair) -> Figure:
    if pair.after is None:
        raise ValueError("there is no calibration to draw")
    title = pair.title[:1].upper() + pair.title[1:]
    return draw_calibration_pair(
        pair.before.labels,
        pair.before.probabilities,  # type: ignore[arg-type]
        pair.after.probabilities,  # type: ignore[arg-type]
        groups=pair.before.groups,
        titles=("As trained", title),
    )


def _summary_table(before: CalibrationSummary, after: CalibrationSummary | None, pair: _Pair) -> Table:
    rows = [[title, *_cells(name, before, after)] for name, title in _ROWS]
    chance = ["ECE of exact probabilities, by chance"]
    chance += [show_number(one.ece_by_chance) for one in (before, after) if one is not None]
    header = ["", "As trained"]
    if after is not None:
        header.append(pair.title[:1].upper() + pair.title[1:])
    return Table(
        caption="Calibration, with 95% intervals; 0 is best",
        header=header,
        rows=[*rows, chance],
        numeric=True,
    )


def _cells(name: str, *summaries: CalibrationSummary | None) -> list[str]:
    return [show_rate(getattr(one, name).as_dict()) for one in summaries if one is not None]


def _parts_table(found: CalibrationSummary) -> Table:
    rows: list[Sequence[str]] = [
        [
            name,
            show_number(one.score, 4),
            show_number(one.reliability, 4),
            show_number(one.resolution, 4),
            show_number(one.uncertainty, 4),
        ]
        for name, one in found.by_class.items()
    ]
    return Table(
        caption="Brier score of each class against the rest, and what it is made of: reliability (miscalibration, 0 is "
        "best) less resolution (how far the bins are told apart, larger is better) plus uncertainty (of the data)",
        header=["Class", "Brier score", "Reliability", "Resolution", "Uncertainty"],
        rows=rows,
    )


def _sentences(
    before: CalibrationSummary, after: CalibrationSummary | None, pair: _Pair, part: str
) -> list[str]:
    final = after if pair.stored and after is not None else before
    said = []
    if pair.stored:
        said.append(
            f"The model answers with calibrated probabilities ({pair.title.removeprefix('after ')}), fitted on "
            "validation alone; every number of this page is of them, but for the columns “as trained”."
        )
    elif after is not None:
        said.append(
            "The model is not calibrated: its probabilities are those of the network. The right column shows what a "
            "temperature fitted on validation (on that of each fold, if there are folds) would do; pulmoscope "
            "calibrate stores one."
        )
    else:
        lacking = (
            "it is the part that it would be fitted on"
            if part == "val"
            else "here is no validation part to fit it on"
        )
        said.append(f"No calibration is shown beside it: {lacking}.")
    if after is not None:
        change = after.ece_mass.value - before.ece_mass.value
        worse = change > 0 and after.log_loss.value > before.log_loss.value
        if worse:
            said.append(
                "On these pictures ECE and log loss are larger after it: what was fitted on validation does not carry "
                "over, as where the two parts differ in their mix of classes or in their pictures."
            )
    if final.ece_mass.low == 0:
        said.append(
            f"An ECE of {final.ece_mass.value:.3f} cannot be told apart from chance: probabilities that are exactly "
            f"right would show {final.ece_by_chance:.3f} in the mean on {final.n:,} pictures."
        )
    return said
