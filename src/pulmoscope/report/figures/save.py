"""All figures of a run, into its folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import ImageError
from pulmoscope.files import write_text
from pulmoscope.imaging import decode
from pulmoscope.report.figures.confusion import draw_confusion
from pulmoscope.report.figures.distribution import draw_class_distribution
from pulmoscope.report.figures.grid import GridCell, draw_prediction_grid, select_cells
from pulmoscope.report.figures.reliability import draw_reliability
from pulmoscope.report.figures.roc import draw_roc
from pulmoscope.report.figures.training import chosen_epoch, draw_training_curves
from pulmoscope.report.inputs import ReportInputs, read_inputs
from pulmoscope.report.style import save_png


def save_figures(run_folder: str | os.PathLike[str], *, part: str = "test") -> dict[str, Path]:
    """Draw what the folder has the data for, as PNG files in its ``figures/``.

    Args:
        run_folder: A run's folder, or one of an external evaluation.
        part: The part of the data that the results are of.

    Returns:
        The files by name: ``class_distribution``, ``training_curves``, ``confusion_matrix``, ``roc``,
        ``reliability``, ``predictions_grid``. Beside the last lies a table of the pictures' ids, which are not drawn.

    Raises:
        RunError: There are no metrics, or a file cannot be read.
        StorageError: The figures cannot be written.
    """
    return draw_figures(read_inputs(Path(run_folder), part))


def draw_figures(inputs: ReportInputs) -> dict[str, Path]:
    """:func:`save_figures` of inputs that have been read."""
    target = inputs.folder / "figures"
    saved: dict[str, Path] = {}
    if inputs.cohort is not None and len(inputs.cohort.frame):
        figure = draw_class_distribution(inputs.cohort.frame, inputs.cohort.classes)
        saved["class_distribution"] = save_png(figure, target / "class_distribution.png")
    if inputs.history is not None:
        figure = draw_training_curves(inputs.history, kept_epochs(inputs))
        saved["training_curves"] = save_png(figure, target / "training_curves.png")
    confusion = inputs.scores.get("confusion")
    if confusion:
        figure = draw_confusion(confusion["counts"], confusion["labels"])
        saved["confusion_matrix"] = save_png(figure, target / "confusion_matrix.png")
    judged = inputs.judged()
    probabilities = None if judged is None else judged.probabilities
    if judged is None or probabilities is None:
        return saved
    figure = draw_roc(judged.labels, probabilities, judged.classes, inputs.scores["classes"])
    saved["roc"] = save_png(figure, target / "roc.png")
    figure = draw_reliability(judged.labels, probabilities, groups=judged.groups)
    saved["reliability"] = save_png(figure, target / "reliability.png")
    cells = grid_cells(inputs)
    if cells:
        saved["predictions_grid"] = save_png(draw_prediction_grid(cells), target / "predictions_grid.png")
        write_text(target / "predictions_grid.csv", _grid_table(cells))
    return saved


def kept_epochs(inputs: ReportInputs) -> list[tuple[str, int]]:
    """Stage and epoch whose weights the run kept, one a network: as recorded, else the lowest validation loss."""
    chosen = inputs.environment.get("chosen")
    if isinstance(chosen, dict) and {"first", "second"} <= set(chosen):
        return [
            (f"{part} {chosen[part]['stage']}", int(chosen[part]["epoch"])) for part in ("first", "second")
        ]
    if isinstance(chosen, dict) and chosen.get("stage") and chosen.get("epoch"):
        return [(str(chosen["stage"]), int(chosen["epoch"]))]
    lowest = None if inputs.history is None else chosen_epoch(inputs.history)
    return [] if lowest is None else [lowest]


def grid_cells(inputs: ReportInputs, *, count: int = 25, seed: int = 0) -> list[GridCell]:
    """The pictures of the grid, decoded; empty where predictions or cohort are missing."""
    judged = inputs.judged()
    probabilities = None if judged is None else judged.probabilities
    if judged is None or probabilities is None or inputs.cohort is None:
        return []
    ids = judged.frame["image_id"].astype(str).tolist()
    paths = dict(zip(inputs.cohort.frame["image_id"].astype(str), inputs.cohort.frame["path"], strict=True))
    cells = select_cells(
        ids, judged.labels, probabilities, judged.classes, predicted=judged.predicted, count=count, seed=seed
    )
    with ThreadPoolExecutor(max_workers=4) as pool:
        pictures = list(pool.map(_picture, [paths.get(cell.image_id) for cell in cells]))
    return [replace(cell, pixels=pixels) for cell, pixels in zip(cells, pictures, strict=True)]


def _picture(path: str | None) -> NDArray[np.float32] | None:
    """The decoded picture; None where it has gone or cannot be read, which the grid says in its place."""
    if path is None:
        return None
    try:
        return decode(path).pixels
    except ImageError:
        return None


def _grid_table(cells: Sequence[GridCell]) -> str:
    """Number in the grid, image id, true and predicted class, probability, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "image_id", "label", "predicted", "probability"])
    for number, cell in enumerate(cells, 1):
        writer.writerow([number, cell.image_id, cell.label, cell.predicted, f"{cell.probability:.6f}"])
    return text.getvalue()
