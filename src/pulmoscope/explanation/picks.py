"""Which pictures of a predictions table are worth looking at: galleries by outcome, drawn without a favourite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import Predictions

DEFAULT_PICKS = ("tp", "errors", "confident-wrong", "least-sure")
_KINDS = "tp, fn, fp (of a class: tp:CLASS), errors, confident-wrong, least-sure, TRUE>PREDICTED"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pick:
    """Pictures of one kind.

    Attributes:
        name: As asked for, with its class: ``tp:covid``, ``covid>pneumonia``.
        title: For a heading.
        rows: Chosen rows of the table, from the surest answer to the least sure (``least-sure``: the other way).
        of: How many there are of the kind.
        how: How they were chosen, in words.
    """

    name: str
    title: str
    rows: NDArray[np.int64]
    of: int
    how: str


def pick_rows(
    table: Predictions, wanted: Sequence[str] = DEFAULT_PICKS, *, limit: int = 8, positive: str | None = None
) -> tuple[Pick, ...]:
    """Choose pictures by kind. Kinds of which there is no picture come back empty, so that it can be said.

    ``tp``, ``fn`` and ``fp`` are of one class against the rest; ``errors`` is every cell of the confusion matrix off
    its diagonal that has pictures; ``confident-wrong`` are the wrong answers with the highest probability;
    ``least-sure`` those whose two leading probabilities are closest. From each cell as many are shown as the limit
    allows, at even steps from the surest to the least sure.

    Args:
        table: Probabilities and true labels of one model.
        wanted: Kinds, in the order of the galleries.
        limit: Pictures a gallery, at least 1.
        positive: The class of ``tp``, ``fn`` and ``fp`` where none is named; None for each class in turn.

    Raises:
        PulmoscopeError: A kind or class is unknown, or the table has labels only.
    """
    probabilities = table.probabilities
    if probabilities is None:
        raise PulmoscopeError(
            "pictures are picked by their probabilities, and the table has predicted labels only",
            code="E_PICK",
        )
    if limit < 1:
        raise PulmoscopeError("the limit of a gallery", code="E_USAGE", expected="at least 1", got=str(limit))
    truth, said = table.labels, table.predicted
    sureness = probabilities[np.arange(len(said)), said]
    leading = np.sort(probabilities, axis=1)[:, -2:]
    found: list[Pick] = []
    for one in wanted:
        if one == "confident-wrong":
            rows = np.flatnonzero(truth != said)
            first = rows[np.argsort(-sureness[rows], kind="stable")][:limit]
            how = "the surest wrong answers"
            found.append(Pick(name=one, title="Confidently wrong", rows=first, of=len(rows), how=how))
        elif one == "least-sure":
            first = np.argsort(leading[:, 1] - leading[:, 0], kind="stable")[:limit]
            how = "the two leading classes closest"
            found.append(Pick(name=one, title="Least sure", rows=first, of=len(said), how=how))
        else:
            for name, title, chosen in _cells(one, table.classes, truth, said, positive):
                rows = np.flatnonzero(chosen)
                rows = rows[np.argsort(-sureness[rows], kind="stable")]
                steps = np.linspace(0, max(0, len(rows) - 1), min(limit, len(rows))).round().astype(int)
                how = (
                    "all of them" if len(rows) <= limit else "at even steps from the surest to the least sure"
                )
                found.append(Pick(name=name, title=title, rows=rows[steps], of=len(rows), how=how))
    return tuple(found)


def _cells(
    wanted: str,
    classes: Sequence[str],
    truth: NDArray[np.int64],
    said: NDArray[np.int64],
    positive: str | None,
) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Name, title and members (N,) of each cell that ``wanted`` means."""
    kind, colon, named = wanted.partition(":")
    if kind in ("tp", "fn", "fp"):
        asked = [named] if colon else [positive] if positive is not None else list(classes)
        return [(f"{kind}:{name}", *_outcome(kind, name, classes, truth, said)) for name in asked]
    if wanted == "errors":
        return [
            (f"{true}>{given}", f"{true} taken for {given}", (truth == i) & (said == j))
            for i, true in enumerate(classes)
            for j, given in enumerate(classes)
            if i != j and ((truth == i) & (said == j)).any()
        ]
    if ">" not in wanted:
        raise PulmoscopeError(f"there is no pick {wanted!r}", code="E_PICK", expected=_KINDS)
    # A class's own name may hold the sign.
    pairs = [(true, given) for true in classes for given in classes if wanted == f"{true}>{given}"]
    if not pairs:
        for name in wanted.split(">", 1):
            _check_class(name, classes)
    true, given = pairs[0]
    title = f"{true} taken for {given}" if true != given else f"{true}, recognised"
    return [(wanted, title, (truth == classes.index(true)) & (said == classes.index(given)))]


def _outcome(
    kind: str, name: str, classes: Sequence[str], truth: NDArray[np.int64], said: NDArray[np.int64]
) -> tuple[str, NDArray[np.bool_]]:
    _check_class(name, classes)
    index = classes.index(name)
    if kind == "tp":
        return f"True positives of {name}", (truth == index) & (said == index)
    if kind == "fn":
        return f"False negatives of {name}", (truth == index) & (said != index)
    return f"False positives of {name}", (truth != index) & (said == index)


def _check_class(name: str, classes: Sequence[str]) -> None:
    if name not in classes:
        raise PulmoscopeError(
            f"there is no class {name!r} to pick", code="E_PICK", expected=", ".join(classes)
        )
