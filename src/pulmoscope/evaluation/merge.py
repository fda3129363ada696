"""Classes of a model summed to the coarser ones of another label scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulmoscope.errors import LabelError
from pulmoscope.evaluation.predictions import Predictions


def merge_classes(predictions: Predictions, parents: Mapping[str, str]) -> Predictions:
    """Sum the probabilities of classes that belong together.

    What a model decides is then the most probable of the sums, which need not hold the most probable single class. A
    column ``prediction`` is a decision already made: it takes the name of the class that it belongs to.

    Args:
        predictions: Of the model, with its own classes.
        parents: Class of the model to the class it belongs to; the others stay as they are.

    Returns:
        The same rows with the coarser classes, in the order in which their first member stands.

    Raises:
        LabelError: A class is none of the model's, a name would be both a class of its own and a sum, or fewer than two
            classes are left.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"image_id": ["a"], "covid": [0.35], "viral": [0.25], "normal": [0.4]})
    >>> table = Predictions(frame, ("covid", "viral", "normal"))
    >>> merge_classes(table, {"covid": "pneumonia", "viral": "pneumonia"}).probabilities.round(2).tolist()
    [[0.6, 0.4]]
    """
    classes = merged_classes(predictions.classes, parents)
    of = {name: parents.get(name, name) for name in predictions.classes}
    frame = predictions.frame
    kept = frame[[name for name in frame if name not in {f"p_{one}" for one in of}]].copy()
    for column in ("label", "prediction"):
        if column in kept:
            kept[column] = kept[column].map(of)
    if predictions.probabilities is not None:
        for parent in classes:
            members = [f"p_{name}" for name, target in of.items() if target == parent]
            # A sum of probabilities may pass 1 by rounding.
            kept[f"p_{parent}"] = frame[members].sum(axis=1).clip(0.0, 1.0)
    return Predictions(kept, classes, name=predictions.name)


def merged_classes(classes: Sequence[str], parents: Mapping[str, str]) -> tuple[str, ...]:
    """The coarser classes, in the order in which their first member stands.

    Raises:
        LabelError: As :func:`merge_classes`.
    """
    strangers = [name for name in parents if name not in classes]
    if strangers:
        raise LabelError(
            f"the model has no class {', '.join(strangers)}", expected=", ".join(classes),
            remedy="map classes of the model to those of the cohort: MODEL=COHORT",
        )  # fmt: skip
    mixed = sorted({target for target in parents.values() if target in classes and target not in parents})
    if mixed:
        raise LabelError(
            f"{', '.join(mixed)} would be both a class of its own and a sum of others",
            remedy=f"map it too, as in {mixed[0]}={mixed[0]}",
        )
    found = tuple(dict.fromkeys(parents.get(name, name) for name in classes))
    if len(found) < 2:
        raise LabelError(
            "all classes are mapped to one: nothing is left to tell apart", expected="at least 2"
        )
    return found


def parents_in(
    classes: Sequence[str], hierarchy: Mapping[str, Sequence[str]] | None, wanted: Sequence[str]
) -> dict[str, str]:
    """What a label scheme's hierarchy says of classes that a cohort has and the model does not.

    Args:
        classes: The model's.
        hierarchy: Node to its children, classes or nodes; None for none.
        wanted: The cohort's classes.

    Returns:
        Class of the model to the node it lies under, for each node that the cohort has as a class; empty where the
        hierarchy does not say it all, or the cohort has a node and a class below it, which could not be told apart.

    >>> parents_in(("normal", "viral", "covid"), {"infected": ("viral", "covid")}, ("normal", "infected"))
    {'viral': 'infected', 'covid': 'infected'}
    """
    found: dict[str, str] = {}
    for node in wanted:
        if node in classes:
            continue
        below = _leaves(node, hierarchy or {}, depth=0)
        if not below or any(name not in classes or name in wanted or name in found for name in below):
            return {}
        found |= dict.fromkeys(below, node)
    return found


def _leaves(node: str, hierarchy: Mapping[str, Sequence[str]], *, depth: int) -> list[str]:
    """The classes under a node; empty for what is no node. Nodes that contain each other are not followed for ever."""
    if depth > len(hierarchy):
        return []
    return [
        leaf
        for child in hierarchy.get(node, ())
        for leaf in ([child] if child not in hierarchy else _leaves(child, hierarchy, depth=depth + 1))
    ]
