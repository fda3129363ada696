"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pulmoscope.evaluation import reliability
from pulmoscope.files import write_text
from pulmoscope.report.caveats import find_caveats
from pulmoscope.report.figures.grid import explain_choice, select_cells
from pulmoscope.report.figures.save import draw_figures, kept_epochs
from pulmoscope.report.inputs import ReportInputs, read_inputs
from pulmoscope.report.method import method_facts, source_facts, split_facts
from pulmoscope.report.numbers import show_count, show_rate, show_share, show_stage, value_of
from pulmoscope.report.page_sections import PageSection, page_sections
from pulmoscope.report.tables import (
    HEADLINES,
    Table,
    class_table,
    comparison_table,
    data_tables,
    dropped_table,
    fold_table,
    settings_table,
)

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = Path(__file__).parent / "templates"
_PARTS = {"test": "test", "val": "validation", "train": "training"}


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """A figure as the page embeds it.

    Attributes:
        data: The PNG, base64.
        caption: What it shows, under the figure.
        alt: What it shows, for those who cannot see it, with the numbers that matter.
    """

    data: str
    caption: str
    alt: str


def write_report(run_folder: str | os.PathLike[str], *, part: str = "test") -> Path:
    """Draw the figures of a run's folder and write its ``report.html``.

    The page holds its figures and styles, has no scripts and asks nothing of any network; its content policy forbids
    both. Text from data is escaped. What the folder does not hold (an external evaluation was not trained) is left out.

    Args:
        run_folder: A run's folder, or one of an external evaluation: ``metrics.json`` and what else there is.
        part: The part of the data that the results are of.

    Raises:
        RunError: There are no metrics of that part, or a file cannot be read.
        StorageError: The page cannot be written.
    """
    inputs = read_inputs(Path(run_folder), part)
    sections = page_sections(inputs)
    figures = draw_figures(inputs)
    for section in sections:
        figures |= section.content.draw(inputs.folder / "figures")
    target = inputs.folder / "report.html"
    write_text(target, render_page(inputs, figures, sections))
    return target


def render_page(
    inputs: ReportInputs, figures: Mapping[str, Path], sections: Sequence[PageSection] = ()
) -> str:
    """The page of ``inputs`` with the PNG ``figures`` by name, those of ``sections`` too."""
    return template("report.html.j2").render(**_context(inputs, figures, sections))


def template(name: str) -> Template:
    """One of the page templates: everything put into it is escaped, and what is missing is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _context(
    inputs: ReportInputs, figures: Mapping[str, Path], sections: Sequence[PageSection]
) -> dict[str, Any]:
    scores, cohort, metrics = inputs.scores, inputs.cohort, inputs.metrics
    frame = None if cohort is None else cohort.frame
    info: Mapping[str, Any] = {} if cohort is None else cohort.info
    judged = inputs.judged()
    probabilities = None if judged is None else judged.probabilities
    ece = None
    if judged is not None and probabilities is not None:
        ece = reliability(judged.labels, probabilities).ece
    parts = [name for name in ("val", "test", "train") if isinstance(metrics.get(name), Mapping)]
    folds = metrics.get("folds") or []
    caveats = find_caveats(
        frame=frame, info=info, scores=scores, validation=metrics.get("val"), ece=ece,
        trained=inputs.history is not None, part=inputs.part,
    )  # fmt: skip
    groups = None if judged is None else len(set(judged.groups))
    settings = [
        settings_table(inputs.recipe, "The resolved recipe", skip=("name", "description", "published")),
    ] if inputs.recipe else []  # fmt: skip
    environment = {
        k: v for k, v in inputs.environment.items() if k not in ("command", "chosen", "classes", "cohort")
    }
    fingerprint = inputs.environment.get("cohort") or (None if cohort is None else cohort.fingerprint())
    return {
        "title": str(inputs.recipe.get("name") or inputs.folder.resolve().name),
        "folder": inputs.folder.resolve().name,
        "description": str(inputs.recipe.get("description") or ""),
        "part": _PARTS.get(inputs.part, inputs.part),
        "finished": _time(inputs.environment.get("finished")),
        "version": str(inputs.environment.get("pulmoscope") or ""),
        "external": (info.get("split") or {}).get("kind") == "external",
        "caveats": [caveat for caveat in caveats if caveat.level != "danger"],
        "leaked": [caveat for caveat in caveats if caveat.level == "danger"],
        "counts": _counts(scores, groups, folds),
        "headlines": [
            {"title": title, "rate": show_rate(scores.get(key)), "meaning": meaning}
            for key, title, meaning in HEADLINES
        ],
        "reference": _reference(scores),
        "classes": class_table(scores),
        "figures": _embed(_texts(inputs, ece) | _captions(sections), figures),
        "sections": sections,
        "folds": fold_table(folds, inputs.part) if folds else None,
        "comparison": comparison_table(metrics, parts) if len(parts) > 1 else None,
        "published": _published(inputs),
        "sources": source_facts(info, frame),
        "data": [] if cohort is None or frame is None else data_tables(frame, cohort.classes),
        "dropped": dropped_table(info.get("dropped") or {}),
        "where": [str(item) for item in info.get("where") or []],
        "split": split_facts(info, frame),
        "method": method_facts(inputs, kept_epochs(inputs)),
        "settings": settings,
        "environment": settings_table(environment, "Versions and machine") if environment else None,
        "command": str(inputs.environment.get("command") or ""),
        "seed": inputs.environment.get("seed"),
        "fingerprint": str(fingerprint or ""),
    }


def _time(stamp: object) -> str:
    """An ISO 8601 stamp to the minute, as people write it."""
    try:
        moment = datetime.fromisoformat(str(stamp))
    except ValueError:
        return ""
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip()


def _counts(scores: Mapping[str, Any], groups: int | None, folds: Sequence[Any]) -> str:
    text = f"{show_count(scores.get('n'))} pictures"
    if groups is not None:
        text += f" in {groups:,} groups (a patient's pictures, or copies, are one group)"
    return text + (
        f", pooled over {len(folds)} folds, each judged by a model that had not seen it" if folds else ""
    )


def _reference(scores: Mapping[str, Any]) -> str:
    """What the accuracy is to be measured against: always answering the commonest class."""
    supports = {name: int(value_of(rates.get("support")) or 0) for name, rates in scores["classes"].items()}
    total = sum(supports.values())
    if not total:
        return ""
    name = max(supports, key=lambda key: supports[key])
    return (
        f"For comparison: always answering “{name}” would give an accuracy of {supports[name] / total:.3f}."
    )


def _published(inputs: ReportInputs) -> Table | None:
    """Numbers that a published report prints, where the recipe is of a published system."""
    rows = [
        [
            str(item.get("metric")),
            str(item.get("split")),
            show_rate(item.get("value")),
            str(item.get("source")),
        ]
        for item in inputs.recipe.get("published") or []
        if isinstance(item, Mapping)
    ]
    header = ["Metric", "Part", "Published", "Source"]
    return (
        Table(
            caption="What the published report of this system prints", header=header, rows=rows, numeric=False
        )
        if rows
        else None
    )


def _captions(sections: Sequence[PageSection]) -> dict[str, tuple[str, str]]:
    return {name: text for section in sections for name, text in section.content.captions.items()}


def _embed(texts: Mapping[str, tuple[str, str]], figures: Mapping[str, Path]) -> dict[str, PageFigure]:
    return {
        name: PageFigure(
            data=base64.b64encode(path.read_bytes()).decode("ascii"),
            caption=texts[name][0],
            alt=texts[name][1],
        )
        for name, path in figures.items()
    }


def _texts(inputs: ReportInputs, ece: float | None) -> dict[str, tuple[str, str]]:
    """Caption and alternative text of every figure."""
    scores = inputs.scores
    areas = "; ".join(f"{name} {show_rate(rates.get('auroc'))}" for name, rates in scores["classes"].items())
    shown = "undefined" if ece is None or np.isnan(ece) else f"{ece:.3f}"
    kept = " ".join(f"Epoch {epoch} of {show_stage(stage)} was kept." for stage, epoch in kept_epochs(inputs))
    stages = [] if inputs.history is None else list(dict.fromkeys(inputs.history["stage"].astype(str)))
    order = ", then ".join(show_stage(stage) for stage in stages)
    return {
        "class_distribution": (
            "Number of pictures by part of the split and class, the bars in the order of the legend."
            + (" The hatch shows the source." if _several_sources(inputs) else ""),
            "Bars of the number of pictures; the same counts stand in the tables of this section.",
        ),
        "training_curves": (
            f"Loss, accuracy and AUROC by epoch: {order}. {kept} "
            "Training values are of augmented pictures, so they may lie below validation.",
            f"Curves of training and validation loss, accuracy and AUROC. {kept}",
        ),
        "confusion_matrix": (
            "Rows are true classes, columns predicted ones; the percentage is of the row, so the diagonal holds the "
            f"sensitivities. {_confusions(scores)}",
            f"Confusion matrix; {_confusions(scores) or 'no wrong prediction.'}",
        ),
        "roc": (
            "Each class against the rest: sensitivity against the false-positive rate as the threshold falls.",
            f"ROC curves. AUROC: {areas}.",
        ),
        "reliability": (
            "Top: the share of right answers among pictures given about the same probability; on the diagonal the "
            f"probabilities mean what they say. Expected calibration error (ECE) {shown}. "
            "Bottom: pictures in each bin.",
            f"Reliability diagram, expected calibration error {shown}.",
        ),
        "predictions_grid": (
            "True class, → predicted class (its probability). Wrong predictions have a thick red frame and a cross. "
            f"{_choice(inputs)} File names are kept out of this page; figures/predictions_grid.csv has them by number.",
            "Grid of radiographs with true and predicted classes.",
        ),
    }  # fmt: skip


def _several_sources(inputs: ReportInputs) -> bool:
    return inputs.cohort is not None and inputs.cohort.frame["source"].nunique() > 1


def _confusions(scores: Mapping[str, Any]) -> str:
    """The two largest confusions in words."""
    confusion = scores.get("confusion")
    if not confusion:
        return ""
    counts = np.asarray(confusion["counts"], dtype=np.int64)
    labels, sums = confusion["labels"], counts.sum(axis=1)
    off = counts.copy()
    np.fill_diagonal(off, 0)
    places = [np.unravel_index(place, off.shape) for place in np.argsort(-off, axis=None, kind="stable")[:2]]
    said = [
        f"{off[i, j]:,} of {sums[i]:,} {labels[i]} taken for {labels[j]} ({show_share(int(off[i, j]), int(sums[i]))})"
        for i, j in places
        if off[i, j]
    ]
    return f"Most common: {'; '.join(said)}." if said else ""


def _choice(inputs: ReportInputs) -> str:
    judged = inputs.judged()
    probabilities = None if judged is None else judged.probabilities
    if judged is None or probabilities is None:
        return ""
    ids = judged.frame["image_id"].astype(str).tolist()
    cells = select_cells(ids, judged.labels, probabilities, judged.classes, predicted=judged.predicted)
    return explain_choice(cells, int((judged.predicted != judged.labels).sum()), len(judged))
