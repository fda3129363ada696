"""A model's maps of chosen pictures: computed, drawn and written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import LabelError, RunError
from pulmoscope.evaluation import Predictions
from pulmoscope.evaluation.conformal import ConformalSets, fit_conformal
from pulmoscope.explanation import Explainer, Maps, method_named, pick_rows, through_layers
from pulmoscope.files import exclusive
from pulmoscope.progress import track
from pulmoscope.workflow.explain_files import RESULT, write_files
from pulmoscope.workflow.explain_result import Explained, MeanMap, followed
from pulmoscope.workflow.explain_subjects import Subject, of_files, open_model, picked, read_rows
from pulmoscope.workflow.results_folder import refuse_other_content
from pulmoscope.workflow.run import Run

SET_LEVEL = 0.9
_MEAN_OF = 40
# A picture whose probability has moved by more than precision can move it is not the picture that was judged.
_SAME_WITHIN = 0.05


def explain_pictures(
    place: str | os.PathLike[str],
    *,
    images: Sequence[Path] = (),
    picks: Sequence[str] = (),
    methods: Sequence[str] = ("grad-cam",),
    layer: str | None = None,
    target: str | None = None,
    limit: int = 8,
    split: str = "test",
    out: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Explained:
    """Explain pictures and write overlays, raw maps, ``explain.json`` and ``gallery.html``.

    Args:
        place: A run's folder or a bundle's.
        images: Files to explain instead of pictures of the run.
        picks: Kinds of pictures, see :func:`~pulmoscope.explanation.pick_rows`; the default ones if none is named.
        methods: Names of :data:`~pulmoscope.explanation.METHODS`.
        layer: A stage's name, a module's path, ``all`` for the last stage and a strip through all, None for the last.
        target: The class to explain, and the class of ``tp``, ``fn`` and ``fp``. By default the class that the model
            gives, and the true one beside it where that is another.
        limit: Pictures a gallery.
        split: Part of the run.
        out: Folder; by default ``explain`` in ``place``. It may hold an earlier explanation, nothing else.
        progress: Whether to show a bar on standard error.

    Raises:
        PulmoscopeError: An option does not fit, or a file cannot be read or written.
    """
    bundle, run = open_model(place)
    if target is not None and target not in bundle.classes:
        raise LabelError(f"the model has no class {target!r}", expected=", ".join(bundle.classes))
    chosen = [method_named(one).name for one in dict.fromkeys(methods)]
    if images and picks:
        raise RunError("--images and --pick exclude each other", code="E_USAGE")
    if run is None and not images:
        raise RunError(
            f"{place} is a model without its run, so there are no predictions to pick from",
            code="E_USAGE",
            remedy="name files with --images, or the run's folder",
        )
    if layer == "all":
        followed(chosen)
    folder = Path(place) / "explain" if out is None else Path(out)
    refuse_other_content(folder, RESULT, what="an explanation")
    explainers = {
        name: Explainer(bundle, method=name, layer=None if layer == "all" else layer) for name in chosen
    }
    with exclusive(folder):
        table = None if run is None or images else _table(run, bundle.classes, split)
        if table is None or run is None:
            subjects = of_files(images, bundle.preprocess)
        else:
            subjects = picked(
                run, bundle.preprocess, picks, split=split, limit=limit, positive=target
            )  # fmt: skip
            if not subjects.pictures:
                raise RunError(
                    "there is no picture of the kinds that were asked for",
                    code="E_PICK",
                    got=", ".join(f"{pick.name}: {pick.of}" for pick, _ in subjects.galleries),
                )
        stored = np.stack([one.stored for one in subjects.pictures])
        wanted = None if target is None else np.full(len(stored), bundle.classes.index(target), np.int64)
        maps = {name: _in_parts(explainers[name], stored, wanted, progress) for name in chosen}
        first = maps[chosen[0]]
        wrong = [] if target is not None else _wrong(subjects.pictures, bundle.classes, first.targets)
        truth = np.array([bundle.classes.index(subjects.pictures[i].label or "") for i in wrong], np.int64)
        found = Explained(
            name=Path(place).resolve().name, classes=bundle.classes, subjects=subjects, methods=chosen,
            layers={name: one.layer for name, one in explainers.items()}, maps=maps,
            truth_maps={
                name: _in_parts(explainers[name], stored[wrong], truth, progress)
                for name in chosen
                if wrong and method_named(name).by_class
            },
            truth_rows=wrong,
            beliefs=(
                through_layers(explainers[followed(chosen)], stored, first.targets) if layer == "all" else ()
            ),
            means=[] if table is None or run is None else _means(run, table, explainers[chosen[0]]),
            sets=None if run is None else _sets(run, split), split=None if table is None else split,
            moved=_moved(subjects.pictures, first.probabilities), notes=bundle.notes, explainers=explainers,
            folder=folder,
        )  # fmt: skip
        write_files(found)
    return found


def _table(run: Run, classes: tuple[str, ...], split: str) -> Predictions:
    table = run.predict(split)
    if table.classes != classes:
        raise RunError(
            f"the predictions of {run.folder} are not of its model's classes",
            expected=", ".join(classes),
            got=", ".join(table.classes),
        )
    return table


def _in_parts(
    explainer: Explainer, stored: NDArray[np.uint8], targets: NDArray[np.int64] | None, progress: bool
) -> Maps:
    """All maps, with a bar for methods that take hundreds of passes a picture."""
    if method_named(explainer.method).quick or len(stored) < 2:
        return explainer.maps(stored, targets)
    one_by_one = [
        explainer.maps(stored[i : i + 1], None if targets is None else targets[i : i + 1])
        for i in track(range(len(stored)), explainer.method, enabled=progress)
    ]
    return Maps.joined(one_by_one)


def _wrong(pictures: Sequence[Subject], classes: tuple[str, ...], targets: NDArray[np.int64]) -> list[int]:
    return [
        row
        for row, one in enumerate(pictures)
        if one.label is not None and one.label != classes[targets[row]]
    ]


def _means(run: Run, table: Predictions, explainer: Explainer) -> list[MeanMap]:
    """Mean maps of the right answers of each class, at even steps from the surest to the least sure."""
    if not method_named(explainer.method).quick:
        return []
    found = []
    for pick in pick_rows(table, ("tp",), limit=_MEAN_OF):
        name = pick.name.partition(":")[2]
        pictures, _, _ = read_rows(run, table, explainer.bundle.preprocess, [int(row) for row in pick.rows])
        if not pictures:
            continue
        stored = np.stack([one.stored for one in pictures])
        targets = np.full(len(stored), table.classes.index(name), np.int64)
        values = explainer.maps(stored, targets).values.mean(axis=0)
        grey = (stored.mean(axis=0) / 255).astype(np.float32)
        found.append(MeanMap(name=name, picture=grey, values=values, count=len(stored)))
    return found


def _sets(run: Run, split: str) -> ConformalSets | None:
    """Prediction sets fixed on the validation part; none where it is the part that is shown."""
    predictions = run.predictions
    if split == "val" or "val" not in predictions.splits:
        return None
    part = predictions.part("val")
    if part.probabilities is None:
        return None
    return fit_conformal(part.labels, part.probabilities, part.classes, level=SET_LEVEL)


def _moved(pictures: Sequence[Subject], probabilities: NDArray[np.float64]) -> list[int]:
    return [
        row
        for row, one in enumerate(pictures)
        if one.given is not None and np.abs(one.given - probabilities[row]).max() > _SAME_WITHIN
    ]
