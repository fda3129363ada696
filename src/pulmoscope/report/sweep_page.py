"""The page of a sweep: the trials, what they can bear and the chosen one, in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulmoscope.files import write_text
from pulmoscope.report.page import PageFigure, template
from pulmoscope.report.tables import Table

_TEXTS = {
    "boxes": (
        "The objective of all completed trials by each value of each parameter: a point a trial, the box from the "
        "first to the third quartile with the median; the diamond is the mean, its bars one standard deviation.",
        "Box plots of the objective by parameter; means and deviations stand in the table.",
    ),
    "importance": (
        "Share of the objective's variance over the trials that each parameter explains by itself. A share says "
        "nothing of how large the variance is.",
        "Bars of each parameter's importance.",
    ),
    "parallel": (
        "Each line is a trial: its parameters from left to right, then its objective. The best are dark and thick.",
        "Parallel coordinates of the trials; the table of trials holds the same numbers.",
    ),
    "curves": (
        "Loss and accuracy by epoch of the best trials, and of those that were stopped early (all but the first of "
        "them thin); training left, validation right. Training values are of augmented pictures, so they may lie below "
        "validation.",
        "Loss and accuracy by epoch of the best trials.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class SweepPage:
    """What the page says, as text.

    Attributes:
        title: The recipe's name.
        subtitle: Trials, sampler, seed, version.
        leaked: A warning, where patients stand on both sides of the split.
        description: Of the recipe.
        changed: Settings that are not the recipe's, each with the recipe's own in brackets.
        says: What the numbers can bear, sentence by sentence.
        chosen: Parameters of the chosen trial.
        top: The best trials.
        by_value: Mean and deviation by value of each parameter.
        importance: How importance was measured; empty where it was not.
        test: The chosen trial on the test part; empty where there is none.
        nested: The outer folds; None without.
        failures: Trials that failed and why.
        caveats: Of the cohort.
        facts: Cohort, validation part, machine, command.
    """

    title: str
    subtitle: str
    leaked: str
    description: str
    changed: Sequence[str]
    says: Sequence[str]
    chosen: Sequence[tuple[str, str]]
    top: Table
    by_value: Table
    importance: str
    test: Sequence[Table]
    nested: Table | None
    failures: Sequence[tuple[str, str]]
    caveats: Sequence[str]
    facts: Sequence[tuple[str, str]]


def write_sweep_page(path: str | os.PathLike[str], page: SweepPage, figures: Mapping[str, Path]) -> Path:
    """Write the page to ``path``, whole or not at all.

    Args:
        path: An HTML file.
        page: What it says. Text is escaped; the page has no scripts, and its content policy forbids them and any
            network.
        figures: PNG files to embed: ``boxes``, ``importance``, ``parallel``, ``curves``, as far as there are.

    Raises:
        StorageError: It cannot be written.
    """
    target = Path(path)
    drawn = {
        name: PageFigure(
            data=base64.b64encode(file.read_bytes()).decode("ascii"),
            caption=_TEXTS[name][0],
            alt=_TEXTS[name][1],
        )
        for name, file in figures.items()
    }
    write_text(target, template("sweep.html.j2").render(page=page, figures=drawn))
    return target
