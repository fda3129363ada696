"""Train a cascade: two networks apart, each on its own pictures, joined to one."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RecipeError
from pulmoscope.files import make_folder
from pulmoscope.models import CascadeClassifier, CascadeSpec, Classifier, WeightsOrigin, input_statistics
from pulmoscope.training import Examples, Fitted, Recipe, fit
from pulmoscope.training.history import EpochRow, write_history
from pulmoscope.training.selection import class_metric
from pulmoscope.workflow.parts import Parts

log = logging.getLogger("pulmoscope")
_CLOSE = (
    0.05  # of mean and deviation on the [0, 1] scale; published weights differ by 0.1 and more, or hardly
)


@dataclass(frozen=True, kw_only=True)
class FittedCascade:
    """What training a cascade leaves, as :class:`pulmoscope.training.Fitted` does; ``chosen`` has a stage each."""

    network: CascadeClassifier
    selected: CascadeClassifier | None
    spec: CascadeSpec
    origin: WeightsOrigin
    rows: list[EpochRow]
    chosen: dict[str, Any]
    pictures: int


class Routing(NamedTuple):
    """Which classes each stage tells apart.

    Attributes:
        node: The class of the first stage that the second takes apart.
        first: Classes of the first stage: those outside the node, in the cohort's order, then the node.
        second: The node's children, in the cohort's order.
    """

    node: str
    first: tuple[str, ...]
    second: tuple[str, ...]


def fit_cascade(recipe: Recipe, parts: Parts, *, folder: Path, seed: int, progress: bool) -> FittedCascade:
    """Train both stages under ``folder/stages`` and join them.

    The first stage learns from every picture, the second from those of the node's children alone; each chooses its own
    epoch on its own part of the validation pictures.

    Raises:
        RecipeError: Neither the recipe nor the cohort says which classes stand below which node.
    """
    classes = tuple(parts.cohort.classes)
    routing = find_routing(recipe, parts.cohort)
    _warn_of_other_inputs(recipe)
    class_metric(recipe.stage("first").train.select, routing.first)
    class_metric(recipe.stage("second").train.select, routing.second)
    fitted: dict[str, Fitted] = {}
    own: tuple[str, ...]
    name: Literal["first", "second"]
    for name, own in (("first", routing.first), ("second", routing.second)):
        fitted[name] = fit(
            recipe.stage(name),
            train=_examples(parts, "train", classes, own),
            val=_examples(parts, "val", classes, own),
            classes=own,
            folder=make_folder(folder / "stages" / name),
            seed=seed,
            progress=progress,
        )
    first, second = fitted["first"], fitted["second"]
    spec = CascadeSpec(
        first=first.spec,
        second=second.spec,
        node=routing.node,
        classes=classes,
        routing="soft" if recipe.cascade is None else recipe.cascade.routing,
    )
    rows = [replace(row, stage=f"{part} {row.stage}") for part, one in fitted.items() for row in one.rows]
    write_history(folder / "history.csv", rows)
    selected = None
    if first.selected is not None or second.selected is not None:
        # One stage may have been trained again on validation pictures: what judges them has it as it was chosen.
        selected = _join(spec, first.selected or first.network, second.selected or second.network)
    return FittedCascade(
        network=_join(spec, first.network, second.network),
        selected=selected,
        spec=spec,
        origin=_origin(first.origin, second.origin),
        rows=rows,
        pictures=first.pictures,
        chosen={"first": first.chosen, "second": second.chosen},
    )


def _warn_of_other_inputs(recipe: Recipe) -> None:
    """Both stages get one input; weights that learned on another one start worse, and nothing else would say so."""
    given = (np.mean(recipe.preprocess.mean), np.mean(recipe.preprocess.std))
    for name in ("first", "second"):
        model = recipe.stage(name).model
        if model.weights == "random":
            continue
        mean, std = input_statistics(model.backbone, model.weights)
        wanted = (np.mean(mean), np.mean(std))
        if max(abs(a - b) for a, b in zip(given, wanted, strict=True)) > _CLOSE:
            log.warning(
                "the %s stage's weights expect mean %.3f and deviation %.3f, the recipe gives %.3f and %.3f: "
                "set preprocess.mean and preprocess.std",
                *(name, *wanted, *given),
            )


def find_routing(recipe: Recipe, cohort: Cohort) -> Routing:
    """Which classes stand below the node: as the recipe says, else as the cohort's label scheme does."""
    classes = tuple(cohort.classes)
    hierarchy = cohort.info.get("hierarchy") or {}
    cascade = recipe.cascade
    if cascade is None:
        raise RecipeError(f"the recipe {recipe.name} has no cascade")
    node = cascade.node or (next(iter(hierarchy)) if len(hierarchy) == 1 else None)
    children = cascade.children or tuple(hierarchy.get(node, ()))
    inside = tuple(name for name in classes if name in children)
    outside = tuple(name for name in classes if name not in children)
    if node is None or len(inside) < 2 or len(inside) != len(set(children)) or not outside or node in classes:
        raise RecipeError(
            "the cascade does not fit the cohort's classes",
            code="E_HIERARCHY",
            expected="cascade.node, a name that is no class, and cascade.children: two or more classes but not all",
            got=f"node {node}, children {', '.join(children) or 'none'}, classes {', '.join(classes)}",
            remedy="build the cohort with a label scheme that has a hierarchy (--labels normal-infected), or set both",
        )
    return Routing(node, (*outside, node), inside)


def _examples(parts: Parts, split: str, classes: tuple[str, ...], own: tuple[str, ...]) -> Examples:
    """The pictures of a part that a stage sees; a class that is not the stage's own is in its node."""
    whole = parts.examples(split)
    # The first stage's last class is the node, which is no class of the cohort; the second's are all its own.
    rest = -1 if set(own) <= set(classes) else len(own) - 1
    codes = np.array([own.index(name) if name in own else rest for name in classes])
    labels = codes[whole.labels]
    kept = labels >= 0
    return Examples(store=whole.store, rows=whole.rows[kept], labels=labels[kept])


def _join(spec: CascadeSpec, first: Classifier, second: Classifier) -> CascadeClassifier:
    joined = CascadeClassifier(spec)
    joined.first.load_state_dict(first.state_dict())
    joined.second.load_state_dict(second.state_dict())
    return joined.eval()


def _origin(first: WeightsOrigin, second: WeightsOrigin) -> WeightsOrigin:
    if first == second:
        return first
    licences = {one.licence for one in (first, second)}
    return WeightsOrigin(
        name=f"{first.name}, then {second.name}",
        source=f"first stage: {first.source}; second stage: {second.source}",
        licence=licences.pop() if len(licences) == 1 else None,
    )
