"""Several predictions tables brought onto the same pictures, or one line that says where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import TableError
from pulmoscope.evaluation.cells import sorted_classes
from pulmoscope.evaluation.predictions import Predictions

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """Tables that hold the same pictures, labels, classes and groups, in the same order.

    Attributes:
        tables: Name to its rows, in the order of the first table.
        split: The part that they are of; None for all rows.
        notes: What had to be settled between them.
    """

    tables: Mapping[str, Predictions]
    split: str | None
    notes: tuple[str, ...]

    @property
    def first(self) -> Predictions:
        """Any of them serves for pictures, labels, classes and groups; this one is the first."""
        return next(iter(self.tables.values()))


def align(tables: Mapping[str, Predictions], *, split: str | None = "test") -> Aligned:
    """Bring tables onto the same pictures.

    Classes may stand in any order, and a table of hard labels takes them from the others. A table without labels is
    judged by the labels of the others. Pictures that any table puts in one group are kept together.

    Args:
        tables: Name to a table of one model; at least two.
        split: The rows to compare; None for all. A table in which no row has a split is taken whole.

    Raises:
        TableError: Fewer than two tables, several models in one, no labels at all, or tables that differ in their
            classes, pictures or labels: which, how many, and the first three.
    """
    if len(tables) < 2:
        raise TableError(
            "a comparison needs at least two models",
            code="E_TOO_FEW_MODELS",
            got=", ".join(tables) or "none",
            remedy="name another run or table, or a table with a column 'model'",
        )
    parts = {name: _part(name, table, split) for name, table in tables.items()}
    classes = _common_classes(parts)
    frames = {name: table.frame.set_index("image_id", drop=False) for name, table in parts.items()}
    (base, first), *others = frames.items()
    for name, frame in others:
        _same_pictures(base, list(first.index), name, list(frame.index))
    frames = {name: frame.loc[first.index] for name, frame in frames.items()}
    notes = []
    labelled = [name for name, frame in frames.items() if "label" in frame]
    if not labelled:
        raise TableError(
            "none of the tables has a column 'label'",
            expected="the true class of every image in at least one of them",
        )
    labels = frames[labelled[0]]["label"]
    for name in labelled[1:]:
        _same_labels(labelled[0], labels.tolist(), name, frames[name]["label"].tolist(), list(first.index))
    without = [name for name in frames if name not in labelled]
    if without:
        notes.append(f"{', '.join(without)}: no labels of its own, judged by those of {labelled[0]}")
    groups, joined = _common_groups([frame["group_id"].tolist() for frame in frames.values()])
    if joined:
        notes.append("the tables group pictures differently: what any of them puts together is kept together")
    soft = {name: table.probabilities is not None for name, table in parts.items()}
    if any(soft.values()) and not all(soft.values()):
        hard = ", ".join(name for name, has in soft.items() if not has)
        notes.append(f"{hard}: no probabilities, so AUROC and DeLong's test are undefined")
    given = {
        name: Predictions(
            frame.drop(columns="model", errors="ignore").assign(label=labels, group_id=groups),
            classes, name=name,
        )
        for name, frame in frames.items()
    }  # fmt: skip
    used = split if any(table.splits for table in tables.values()) else None
    if split is not None and any(not table.splits for table in tables.values()):
        whole = [name for name, table in tables.items() if not table.splits]
        who = ", ".join(whole) if len(whole) < len(tables) else "the tables"
        notes.append(f"no split is named in {who}: all rows are judged")
    return Aligned(tables=given, split=used, notes=tuple(notes))


def _part(name: str, table: Predictions, split: str | None) -> Predictions:
    if len(table.models) > 1:
        raise TableError(f"{name} holds {len(table.models)} models", expected="one table a model")
    return table.part(split if table.splits else None)


def _common_classes(parts: Mapping[str, Predictions]) -> tuple[str, ...]:
    """The classes in the order of the first table that names them; of hard labels alone, all that occur."""
    named = {name: table.classes for name, table in parts.items() if table.probabilities is not None}
    if not named:
        return sorted_classes(one for table in parts.values() for one in table.classes)
    base, classes = next(iter(named.items()))
    for name, table in parts.items():
        others = table.classes
        missing = [one for one in classes if one not in others] if name in named else []
        strange = [one for one in others if one not in classes]
        if missing or strange:
            raise TableError(
                f"{name} and {base} have different classes",
                code="E_CLASSES_DIFFER",
                expected=", ".join(classes),
                got=", ".join(others),
                remedy="compare models of the same classes, or rename the columns p_CLASS and the labels",
            )
    return classes


def _same_pictures(base: str, first: Sequence[str], name: str, second: Sequence[str]) -> None:
    known, given = set(first), set(second)
    if known == given:
        return
    only_first = [one for one in first if one not in given]
    only_second = [one for one in second if one not in known]
    told = "; ".join(
        f"{len(some)} only in {where} ({_shown(some)})"
        for where, some in ((base, only_first), (name, only_second))
        if some
    )
    shared = len(known & given)
    raise TableError(
        f"{name} and {base} are not of the same pictures: {told}",
        code="E_IMAGES_DIFFER",
        expected="the same image_id in every table",
        got=f"{shared} shared" if shared else "no picture shared",
        remedy="name the same part with --split, predict the same pictures with both, or use the same names for them",
    )


def _same_labels(
    base: str, first: Sequence[str], name: str, second: Sequence[str], images: Sequence[str]
) -> None:
    other = [at for at, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1]]
    if other:
        shown = ", ".join(f"{images[at]!r} {first[at]} and {second[at]}" for at in other[:3])
        raise TableError(
            f"{base} and {name} differ in the label of {len(other)} of {len(images)} pictures: {shown}"
            + (", ..." if len(other) > 3 else ""),
            code="E_LABELS_DIFFER",
            expected="one truth for every picture",
            remedy="find out which labels are right",
        )


def _common_groups(groupings: Sequence[Sequence[str]]) -> tuple[list[str], bool]:
    """The finest grouping that none of the given ones cuts, and whether it had to be made.

    The names are the first table's where its grouping serves; else a group has the name of the first table's groups
    in it that comes first in the alphabet, so that the order of rows changes nothing.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    codes = [np.unique(np.asarray(one, dtype=object), return_inverse=True) for one in groupings]
    own = list(groupings[0])
    # Groups of the first table are the nodes; two that share a group of another table are one.
    count = len(codes[0][0])
    rows, columns = [], []
    for names, other in codes[1:]:
        leader = np.full(len(names), count, np.int64)
        np.minimum.at(leader, other, codes[0][1])
        rows.append(leader[other])
        columns.append(codes[0][1])
    at, to = np.concatenate(rows), np.concatenate(columns)
    _, component = connected_components(
        coo_array((np.ones(len(at)), (at, to)), shape=(count, count)), directed=False
    )
    result = len(np.unique(component))
    # A table without groups has one a picture: nothing had to be settled with it.
    settled = any(len(names) not in (result, len(own)) for names, _ in codes)
    if result == count:
        return own, settled
    first_of = np.full(count, count, np.int64)
    np.minimum.at(first_of, component, np.arange(count))
    found = codes[0][0][first_of[component]][codes[0][1]]
    return [str(name) for name in found], settled


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
