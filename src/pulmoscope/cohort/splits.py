"""Train, validation and test, or folds: never through a group, stratified, repeatable by seed in any row order."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulmoscope.cohort.allocate import allocate
from pulmoscope.cohort.gate import LeakReport, check_split, leaking_groups
from pulmoscope.errors import CohortError

__all__ = [
    "PARTS",
    "LeakReport",
    "SplitPlan",
    "assign_folds",
    "carve_validation",
    "check_split",
    "leaking_groups",
    "parse_split",
    "split_patients",
]

PARTS = ("train", "val", "test")
_FORMS = "auto, predefined, patient:TRAIN,VAL,TEST (fractions that sum to 1), kfold:K, or kfold-pictures:K, which leaks"
_log = logging.getLogger("pulmoscope")


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """How a cohort is to be split.

    Attributes:
        kind: ``auto`` (predefined if every source has a split, else patient), ``predefined``, ``patient``, ``kfold``,
            or ``kfold-pictures``: folds by picture, as many publications had them, to measure what the leak is worth.
        fractions: Shares of train, val and test for ``patient`` and ``auto``.
        folds: Number of folds for ``kfold`` and ``kfold-pictures``, else 0.
    """

    kind: Literal["auto", "predefined", "patient", "kfold", "kfold-pictures"]
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    folds: int = 0

    def __str__(self) -> str:
        if self.kind == "patient":
            return "patient:" + ",".join(f"{share:g}" for share in self.fractions)
        return f"{self.kind}:{self.folds}" if self.folds else self.kind


def parse_split(text: str) -> SplitPlan:
    """Read a split as the command line and recipes write it.

    Raises:
        CohortError: E_SPLIT, with every mistake.

    >>> parse_split("patient:0.8,0.1,0.1").fractions
    (0.8, 0.1, 0.1)
    """
    kind, _, argument = text.strip().partition(":")
    if kind in {"auto", "predefined"} and not argument:
        return SplitPlan(kind="auto" if kind == "auto" else "predefined")
    if kind in {"kfold", "kfold-pictures"}:
        if argument.strip().isdecimal() and 2 <= int(argument) <= 1000:
            return SplitPlan(kind="kfold" if kind == "kfold" else "kfold-pictures", folds=int(argument))
        raise _split_error("the number of folds is wrong", f"{kind}:K with K from 2 to 1000", text)
    if kind != "patient":
        raise _split_error("there is no such split", _FORMS, text)
    shares: list[float] = []
    mistakes: list[str] = []
    for piece in argument.split(","):
        try:
            share = float(piece)
        except ValueError:
            mistakes.append(f"{piece.strip()!r} is not a number")
            continue
        shares.append(share)
        if not math.isfinite(share) or not 0 <= share <= 1:
            mistakes.append(f"{piece.strip()} is not between 0 and 1")
    if len(argument.split(",")) != len(PARTS):
        mistakes.append(f"{len(argument.split(','))} fractions instead of 3")
    if not mistakes and abs(sum(shares) - 1) > 1e-6:
        mistakes.append(f"they sum to {sum(shares):g} instead of 1")
    if shares and shares[0] == 0:
        mistakes.append("nothing is left for training")
    if mistakes:
        raise _split_error("the fractions are wrong: " + ", ".join(mistakes), "patient:TRAIN,VAL,TEST", text)
    return SplitPlan(kind="patient", fractions=(shares[0], shares[1], shares[2]))


def split_patients(frame: pd.DataFrame, fractions: tuple[float, float, float], seed: int) -> pd.Series:
    """Deal whole groups into train, val and test.

    The shares hold over all rows and, as far as groups allow, within every label and source. The answer depends on
    group_id, label, source and the seed alone.

    Args:
        frame: Columns group_id (no null), label and source (may be absent or null).
        fractions: Shares of train, val and test, summing to 1; 0 leaves a part empty.
        seed: Seed of the deal.

    Returns:
        ``train``, ``val`` or ``test`` for every row, index as the frame's.

    Raises:
        CohortError: E_CLASS_TOO_SMALL where a class has fewer groups than there are parts; E_SPLIT for bad
            fractions; E_EMPTY_COHORT.
    """
    shares = np.asarray(fractions, float)
    if shares.shape != (len(PARTS),) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise _split_error("the fractions are wrong", "three that sum to 1", str(fractions))
    parts = _allocate(frame, shares, seed)
    names = np.array(PARTS, object)[parts]
    return pd.Series(names, index=frame.index, name="split", dtype="str")


def assign_folds(frame: pd.DataFrame, k: int, seed: int) -> pd.Series:
    """Deal whole groups into k folds of equal size, stratified by label and source.

    Args:
        frame: As for :func:`split_patients`.
        k: Number of folds, at least 2.
        seed: Seed of the deal.

    Returns:
        Fold number from 0 to k - 1 for every row (Int64), index as the frame's.

    Raises:
        CohortError: E_CLASS_TOO_SMALL where a class has fewer than k groups; E_SPLIT; E_EMPTY_COHORT.
    """
    if k < 2:
        raise _split_error("the number of folds is wrong", "at least 2", str(k))
    return pd.Series(_allocate(frame, np.full(k, 1 / k), seed), index=frame.index, name="fold", dtype="Int64")


def carve_validation(frame: pd.DataFrame, fraction: float, seed: int) -> pd.Series:
    """Move whole groups from train to val.

    Rows that are val already stay so, test is not touched, and a group that also stands outside train stays in train.

    Args:
        frame: As for :func:`split_patients`, with split.
        fraction: Share of the training rows to move, between 0 and 1.
        seed: Seed of the deal.

    Returns:
        The new split of every row.

    Raises:
        CohortError: As :func:`split_patients`; E_SPLIT too where there is nothing to carve from.
    """
    if not 0 < fraction < 1:
        raise _split_error("the validation fraction is wrong", "between 0 and 1", str(fraction))
    split = frame["split"].astype("str")
    train = (split == "train").fillna(False).to_numpy(bool)
    elsewhere = frame["group_id"].isin(frame.loc[~train, "group_id"]).to_numpy()
    pool = train & ~elsewhere
    if not pool.any():
        raise _split_error(
            "there is no training part to carve a validation set from", "rows with split train", "none"
        )
    # The share is of all training rows, whichever of them may move.
    share = min(fraction * train.sum() / pool.sum(), 0.9)
    parts = _allocate(frame[pool], np.array([1 - share, share]), seed)
    answer = split.copy()
    answer[pool] = np.array(["train", "val"], object)[parts]
    return answer.rename("split")


def _allocate(frame: pd.DataFrame, shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    if not len(frame):
        raise CohortError(
            "there is nothing to split", code="E_EMPTY_COHORT", expected="at least one radiograph"
        )
    if frame["group_id"].isna().any():
        raise CohortError(
            "a radiograph has no group", expected="group_id in every row; group the cohort first"
        )
    groups = frame["group_id"].astype(str).to_numpy(dtype=object)
    label, source = _text(frame, "label"), _text(frame, "source")
    _refuse_small_classes(frame, int((shares > 0).sum()))
    return allocate(groups, label, source, shares, seed)


def _text(frame: pd.DataFrame, column: str) -> NDArray[np.object_]:
    if column not in frame:
        return np.full(len(frame), "", object)
    return np.asarray(frame[column].astype("str").fillna("").to_numpy(dtype=object))


def _refuse_small_classes(frame: pd.DataFrame, parts: int) -> None:
    if "label" not in frame:
        return
    groups = frame.groupby("label", observed=True)["group_id"].nunique()
    if len(groups) == 1:
        _log.warning(
            "all radiographs are of one class, %s: fit for external validation only", groups.index[0]
        )
    small = groups[groups < parts].sort_index()
    if small.empty:
        return
    listed = ", ".join(f"{name} ({count})" for name, count in small.head(10).items())
    fewest = int(small.min())
    remedy = "merge the class with another by a label scheme, leave it out with --where 'label!=NAME'"
    if fewest >= 2:
        remedy += f", or split into {fewest} parts at most (a fraction of 0 leaves a part out)"
    raise CohortError(
        f"{len(small)} class(es) have fewer patients or groups of copies than the split has parts",
        code="E_CLASS_TOO_SMALL",
        expected=f"at least {parts} groups a class",
        got=listed + (f" and {len(small) - 10} more" if len(small) > 10 else ""),
        remedy=remedy,
    )


def _split_error(what: str, expected: str, got: str) -> CohortError:
    return CohortError(what, code="E_SPLIT", expected=expected, got=got)
