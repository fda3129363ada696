"""Can a model's maps be believed? Every check of every method, on a sample of the pictures of a run."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pulmoscope
from pulmoscope.errors import RunError
from pulmoscope.explanation import Explainer, method_named
from pulmoscope.explanation.agreement import agreement
from pulmoscope.explanation.alternatives import centred, elsewhere
from pulmoscope.explanation.faithfulness import ModelScore, faithfulness, gain
from pulmoscope.explanation.group_mean import mean_over_groups
from pulmoscope.explanation.localisation import (
    area_share,
    iou_by_chance,
    pointing,
    pointing_by_chance,
    share_inside,
    top_iou,
)
from pulmoscope.explanation.sanity import Changed, changed, levels, randomisation_check, randomised
from pulmoscope.explanation.scorecard import RULES, MethodRow, Versus
from pulmoscope.explanation.similarity import empty
from pulmoscope.files import exclusive, write_json
from pulmoscope.models import Bundle
from pulmoscope.progress import track
from pulmoscope.report.scorecard_page import MapStrip, write_scorecard_page
from pulmoscope.workflow.explain_subjects import open_model
from pulmoscope.workflow.results_folder import refuse_other_content
from pulmoscope.workflow.scorecard_pictures import Sample, marked_pictures, sample_pictures

RESULT = "scorecard.json"
PAGE = "scorecard.html"
DEFAULT_METHODS = ("grad-cam", "grad-cam++", "layer-cam", "hires-cam", "eigen-cam")
DEFAULT_PICTURES = 60
_log = logging.getLogger("pulmoscope")
# Random networks a step of the cascade; slow methods are asked once.
_DRAWS, _DRAWS_OF_SLOW = 3, 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Scorecard:
    """What was found.

    Attributes:
        name: Of the run.
        split: The part whose pictures were explained.
        pictures: Of each class, by name.
        groups: Groups (patients) that they are from.
        rows: One a method.
        facts: Pictures with lung and lesion masks, and the other networks.
        unread: Name and reason of each picture that could not be read.
        strips: One picture's map a method, through the cascade.
        folder: Where it was written.
    """

    name: str
    split: str
    pictures: Mapping[str, int]
    groups: int
    rows: Sequence[MethodRow]
    facts: Mapping[str, Any]
    unread: Sequence[tuple[str, str]]
    strips: Sequence[MapStrip] = field(repr=False)
    folder: Path

    def as_dict(self) -> dict[str, Any]:
        """The content of ``scorecard.json``."""
        return {
            "pulmoscope": pulmoscope.__version__,
            "use": "Research use only. Not a medical device.",
            "model": self.name, "split": self.split, "pictures": dict(self.pictures), "groups": self.groups,
            "rules": list(RULES), "facts": dict(self.facts), "methods": [row.as_dict() for row in self.rows],
            "unread": [{"image": name, "error": reason} for name, reason in self.unread],
        }  # fmt: skip

    def __str__(self) -> str:
        """Verdicts and remarks for the command line."""
        lines = [
            f"model     {self.name}",
            f"pictures  {sum(self.pictures.values())} of {self.split}, {self.groups} groups",
        ]
        for row in self.rows:
            lines += ["", row.sentence, *(f"  {one}" for one in row.remarks)]
        lines += [f"not read: {name}: {reason}" for name, reason in self.unread]
        return "\n".join([*lines, "", f"written: {self.folder / PAGE}"])


def score_methods(
    place: str | os.PathLike[str],
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    pictures: int = DEFAULT_PICTURES,
    split: str = "test",
    masks: str | os.PathLike[str] | None = None,
    lesions: str | os.PathLike[str] | None = None,
    other: str | os.PathLike[str] | None = None,
    shuffled: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Scorecard:
    """Judge explanation methods on a run's model; write ``scorecard.json`` and ``scorecard.html``.

    Nothing is chosen here: thresholds are fixed in :mod:`pulmoscope.explanation.scorecard`, and the verdict may be read
    of any part.

    Args:
        place: A run's folder.
        methods: Names of :data:`~pulmoscope.explanation.METHODS`.
        pictures: How many are explained, stratified by class; as many again where lungs or lesions are known.
        split: Part of the run.
        masks: Folder of lung masks named like the pictures; by default those of the cohort's ``mask_path``.
        lesions: Folder of lesion masks named like the pictures.
        other: A run of the same recipe with another seed.
        shuffled: A run of the same recipe trained on shuffled labels.
        out: Folder; by default ``scorecard`` in ``place``. It may hold an earlier scorecard, nothing else.
        progress: Whether to show a bar on standard error.

    Raises:
        PulmoscopeError: An option does not fit, or a file cannot be read or written.
    """
    bundle, run = open_model(place)
    if run is None:
        raise RunError(
            f"{place} is a model without its run, so there are no pictures to judge its maps on",
            code="E_USAGE",
            remedy="name the run's folder",
        )
    names = list(dict.fromkeys(method_named(one).name for one in methods))
    folder = Path(place) / "scorecard" if out is None else Path(out)
    refuse_other_content(folder, RESULT, PAGE, what="a scorecard")
    table = run.predict(split)
    if table.classes != bundle.classes:
        raise RunError(
            f"the predictions of {run.folder} are not of its model's classes",
            expected=", ".join(bundle.classes),
            got=", ".join(table.classes),
        )
    with exclusive(folder):
        sample = sample_pictures(run, table, bundle.preprocess, pictures)
        lungs = marked_pictures(run, table, bundle.preprocess, pictures, masks=masks)
        known = (
            None
            if lesions is None
            else marked_pictures(run, table, bundle.preprocess, pictures, masks=lesions)
        )
        judge = _Judge(
            explainers={name: Explainer(bundle, method=name) for name in names},
            sample=sample,
            lungs=lungs,
            lesions=known,
            others={name: Explainer(_alike(other, bundle), method=name) for name in names} if other else {},
            shuffled={name: Explainer(_alike(shuffled, bundle), method=name) for name in names}
            if shuffled
            else {},
        )
        rows = [judge.row(name) for name in track(names, "scorecard", enabled=progress)]
        found = Scorecard(
            name=Path(place).resolve().name, split=split, groups=len(set(sample.groups.tolist())),
            pictures={name: int((sample.labels == i).sum()) for i, name in enumerate(bundle.classes)},
            rows=rows, strips=[judge.strip(name) for name in names], folder=folder,
            unread=list(dict.fromkeys(
                (*sample.unread, *(lungs.unread if lungs else ()), *(known.unread if known else ()))
            )),
            facts={
                "lung_masks": len(lungs) if lungs else 0,
                "lesion_masks": int(known.marks.any(axis=(1, 2)).sum()) if known else 0,
                "other": None if other is None else Path(other).resolve().name,
                "shuffled": None if shuffled is None else Path(shuffled).resolve().name,
            },
        )  # fmt: skip
        (folder / RESULT).unlink(missing_ok=True)
        write_scorecard_page(folder / PAGE, found.as_dict(), found.strips)
        write_json(folder / RESULT, found.as_dict())
    return found


class _Judge:
    """All checks of one method after the other; maps of all methods are made once.

    Args:
        explainers: By method.
        sample: The pictures of every check but those of place.
        lungs: With lung masks.
        lesions: With lesion masks.
        others: Explainers of another training, or none.
        shuffled: Of a training on shuffled labels, or none.
    """

    def __init__(
        self,
        *,
        explainers: Mapping[str, Explainer],
        sample: Sample,
        lungs: Sample | None,
        lesions: Sample | None,
        others: Mapping[str, Explainer],
        shuffled: Mapping[str, Explainer],
    ) -> None:
        self.explainers, self.sample, self.lungs, self.lesions = explainers, sample, lungs, lesions
        self.others, self.shuffled = others, shuffled
        made = {}
        for name, one in explainers.items():
            _log.info("%s: maps of %d pictures", method_named(name).title, len(sample.stored))
            made[name] = one.maps(sample.stored)
        # Of every method, network and check the class is the one that the model gives.
        self.targets = next(iter(made.values())).targets
        self.maps = {name: one.values for name, one in made.items()}
        # Only the order of a map's pixels counts, so a centred blob is the same opponent for every method.
        first, every = next(iter(explainers.values())), np.ones_like(next(iter(self.maps.values())))
        self.pictures = sample.stored.astype(np.float32) / np.float32(255)
        self.score = ModelScore(first)
        self.centred = faithfulness(self.score, self.pictures, centred(every), self.targets)

    def row(self, name: str) -> MethodRow:
        """Everything about one method."""
        explainer, values, sample = self.explainers[name], self.maps[name], self.sample
        method, groups = method_named(name), sample.groups
        _log.info("%s: deletion, insertion, ROAD, random weights", method.title)
        asked = ~empty(values)
        own, moved = (
            faithfulness(self.score, self.pictures, one, self.targets) for one in (values, elsewhere(values))
        )
        gains = {
            "elsewhere": gain(own, moved, groups, asked=asked),
            "centred": gain(own, self.centred, groups, asked=asked),
        }
        beside = {one: agreement(values, maps, groups) for one, maps in self.maps.items() if one != name}
        return MethodRow(
            method=name, title=method.title, layer=explainer.layer, empty=float(1 - asked.mean()),
            deletion=mean_over_groups(np.where(asked, own.deletion, np.nan), groups),
            insertion=mean_over_groups(np.where(asked, own.insertion, np.nan), groups),
            road=mean_over_groups(np.where(asked, own.road, np.nan), groups),
            gains=gains,
            randomised=randomisation_check(
                explainer.network, lambda: explainer.maps(sample.stored, self.targets).values, groups=groups,
                draws=_DRAWS if method.quick else _DRAWS_OF_SLOW,
            ),
            shuffled=self._shuffled(name),
            agreement=beside,
            other=agreement(values, self._of(self.others[name], name), groups) if self.others else None,
            lesions=self._on_lesions(name), lungs=self._in_lungs(name),
        )  # fmt: skip

    def strip(self, name: str) -> MapStrip:
        """The map of one picture as more and more weights are random."""
        explainer, values = self.explainers[name], self.maps[name]
        there = np.flatnonzero(~empty(values))
        at = int(there[0]) if len(there) else 0
        stored, target = self.sample.stored[at : at + 1], self.targets[at : at + 1]
        maps = [("as trained", values[at])]
        for level in levels(explainer.network):
            with randomised(explainer.network, level.paths, seed=0):
                maps.append((f"random: {level.name}", explainer.maps(stored, target).values[0]))
        return MapStrip(
            title=method_named(name).title, picture=stored[0].astype(np.float32) / np.float32(255), maps=maps
        )

    def _of(self, explainer: Explainer, name: str) -> NDArray[np.float32]:
        """Maps of another network for the same classes, by name."""
        mine, theirs = self.explainers[name].bundle.classes, explainer.bundle.classes
        targets = np.array([theirs.index(mine[one]) for one in self.targets], np.int64)
        return explainer.maps(self.sample.stored, targets).values

    def _shuffled(self, name: str) -> Changed | None:
        if not self.shuffled:
            return None
        other = self._of(self.shuffled[name], name)
        return changed("shuffled labels", self.maps[name], [other], self.sample.groups)

    def _on_lesions(self, name: str) -> dict[str, Versus]:
        """Maps of the true class against the lesions."""
        if self.lesions is None:
            return {}
        marks, groups = self.lesions.marks, self.lesions.groups
        values = self.explainers[name].maps(self.lesions.stored, self.lesions.labels).values
        return {
            "pointing": _versus(pointing(values, marks), pointing_by_chance(values, marks), groups),
            "inside": _versus(share_inside(values, marks), area_share(values, marks), groups),
            "iou": _versus(top_iou(values, marks), iou_by_chance(values, marks), groups),
        }

    def _in_lungs(self, name: str) -> Versus | None:
        """Maps of the class that the model gives against the lungs: where it looked for its answer."""
        if self.lungs is None:
            return None
        values = self.explainers[name].maps(self.lungs.stored).values
        return _versus(
            share_inside(values, self.lungs.marks), area_share(values, self.lungs.marks), self.lungs.groups
        )


def _versus(value: NDArray[np.float64], chance: NDArray[np.float64], groups: NDArray[np.str_]) -> Versus:
    return Versus(
        value=mean_over_groups(value, groups),
        chance=mean_over_groups(chance, groups),
        gain=mean_over_groups(value - chance, groups),
    )


def _alike(place: str | os.PathLike[str], bundle: Bundle) -> Bundle:
    """Another run's model, which must see the same pixels and know the same classes."""
    found, _ = open_model(place)
    if set(found.classes) != set(bundle.classes):
        raise RunError(
            f"{place} has other classes", expected=", ".join(bundle.classes), got=", ".join(found.classes)
        )
    if found.preprocess.store_key() != bundle.preprocess.store_key():
        raise RunError(
            f"{place} sees its pictures otherwise prepared, so maps cannot be laid side by side",
            expected="the same preprocess",
        )
    return found
