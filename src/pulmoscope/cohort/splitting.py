"""Give every radiograph its part: check that a split makes sense, draw or take it, gate it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pulmoscope.cohort import splits
from pulmoscope.cohort.dropped import dropped_rows
from pulmoscope.cohort.split_plan import SplitPlan, choose
from pulmoscope.errors import CohortError

#: Where a row of a cut group stays when leaks are dropped: the test set is the dearest.
_DEAREST = ("test", "val", "train")
_OTHER_WAYS = (
    "add a source, choose another label scheme, or take split 'test' to judge a model on this cohort"
)


@dataclass(kw_only=True)
class Splitting:
    """A cohort's rows with their parts, and what that cost."""

    frame: pd.DataFrame
    plan: SplitPlan
    dropped: pd.DataFrame
    leaked: bool = False
    leaking_groups: int = 0
    caveats: list[str] = field(default_factory=list)

    def info(self, seed: int, val_from_train: float | None) -> dict[str, Any]:
        """Return the ``split`` part of a cohort's info."""
        return {
            "kind": self.plan.text,
            "seed": seed,
            "leaked": self.leaked,
            "leaking_groups": self.leaking_groups,
            "val_from_train": val_from_train,
        }


def assign_split(
    frame: pd.DataFrame,
    classes: tuple[str, ...],
    plan: SplitPlan,
    *,
    seed: int = 0,
    val_from_train: float | None = None,
    allow_leak: bool = False,
    drop_leaks: bool = False,
    scheme: str | None = None,
) -> Splitting:
    """Give every row ``split`` or ``fold`` after ``plan``.

    Args:
        frame: Rows with group_id, label, source, image_id and the sources' own split.
        classes: Class names.
        plan: The split as asked for.
        seed: Of drawn splits and of the carved validation set.
        val_from_train: Fraction of the training part that moves to validation, by groups. With k folds it is
            only recorded: training carves it out of each fold's own training part.
        allow_leak: Go on with a predefined split that cuts groups.
        drop_leaks: Leave the rows of cut groups out of all parts but the one nearest to the test.
        scheme: The label scheme's name, for messages.

    Raises:
        CohortError: A class is empty or has a single group where a model would be trained.
        SplitLeakError: A predefined split cuts groups.
    """
    if val_from_train is not None and not 0 < val_from_train < 1:
        raise CohortError(
            "the validation fraction does not fit",
            code="E_SPLIT",
            expected="more than 0, less than 1",
            got=f"{val_from_train:g}",
        )
    plan = choose(plan, frame)
    frame = frame.assign(fold=pd.Series(pd.NA, index=frame.index, dtype="Int64"))
    result = Splitting(frame=frame, plan=plan, dropped=dropped_rows([], [], [], []))
    _check_classes(frame, classes, plan, scheme)
    if plan.kind == "test":
        frame["split"] = "test"
    elif plan.kind == "none":
        frame["split"] = pd.Series(None, index=frame.index, dtype="str")
    elif plan.kind == "patient":
        frame["split"] = splits.split_patients(frame, plan.fractions, seed).astype("str")
    elif plan.kind == "kfold":
        frame["split"] = pd.Series(None, index=frame.index, dtype="str")
        frame["fold"] = splits.assign_folds(frame, plan.folds, seed).astype("Int64")
    else:
        _take_predefined(result, allow_leak=allow_leak, drop_leaks=drop_leaks)
        _check_training_part(result.frame, classes)
    if val_from_train is not None and (result.frame["split"] == "train").any():
        _carve(result, val_from_train, seed)
    return result


def _take_predefined(result: Splitting, *, allow_leak: bool, drop_leaks: bool) -> None:
    leaks = splits.leaking_groups(result.frame)
    if leaks.empty:
        return
    if drop_leaks:
        _drop_leaks(result)
        return
    splits.gate(result.frame, allow_leak=allow_leak)
    result.leaked = True
    result.leaking_groups = len(leaks)


def _drop_leaks(result: Splitting) -> None:
    frame = result.frame
    rank = frame["split"].map({part: rank for rank, part in enumerate(_DEAREST)})
    best = rank.groupby(frame["group_id"]).transform("min")
    leaks = rank > best
    rows = frame[leaks]
    detail = "part " + rows["split"] + ", group " + rows["group_id"]
    result.dropped = dropped_rows(rows["source"], rows["image_id"], rows["path"], "E_SPLIT_LEAK", detail)
    result.frame = frame[~leaks].reset_index(drop=True)
    result.caveats.append(
        f"{len(rows)} pictures were left out because their patient or a copy stands in another part of the split"
    )


def _carve(result: Splitting, fraction: float, seed: int) -> None:
    before = int((result.frame["split"] == "val").sum())
    result.frame["split"] = splits.carve_validation(result.frame, fraction, seed).astype("str")
    carved = int((result.frame["split"] == "val").sum()) - before
    own = f", added to {before} that the split had" if before else ""
    result.caveats.append(
        f"{carved} validation pictures were carved out of the training part ({fraction:.0%} by groups){own}"
    )


def _check_classes(
    frame: pd.DataFrame, classes: tuple[str, ...], plan: SplitPlan, scheme: str | None
) -> None:
    """Refuse what cannot be trained: an empty class, one class, a class that a drawn split cannot share out."""
    only_judged = plan.kind in {"test", "none"} or (frame["split"] == "test").all()
    if only_judged and not plan.draws:
        return
    counts = frame["label"].value_counts()
    empty = [name for name in classes if not counts.get(name, 0)]
    if empty:
        raise CohortError(
            f"no radiograph is left in class {', '.join(map(repr, empty))}",
            code="E_EMPTY_CLASS",
            expected=f"pictures for each class{f' of {scheme}' if scheme else ''}: {', '.join(classes)}",
            got=", ".join(f"{name} {counts.get(name, 0)}" for name in classes),
            remedy=_OTHER_WAYS,
        )
    if len(classes) < 2:
        raise CohortError(
            f"all {len(frame)} radiographs are in one class, {classes[0]!r}",
            code="E_ONE_CLASS",
            expected="two classes to train on",
            remedy=_OTHER_WAYS,
        )
    if not plan.draws:
        return
    groups = frame.groupby("label")["group_id"].nunique()
    single = [name for name in classes if groups.get(name, 0) < 2]
    if single:
        raise CohortError(
            f"class {', '.join(map(repr, single))} has a single patient or group: no split can share it out",
            code="E_ONE_PATIENT",
            expected="at least two patients in every class",
            remedy="leave the class out with a label scheme, add a source, or take split 'none' or 'test'",
        )


def _check_training_part(frame: pd.DataFrame, classes: tuple[str, ...]) -> None:
    train = frame.loc[frame["split"] == "train", "label"]
    if train.empty:
        return
    missing = [name for name in classes if not (train == name).any()]
    if missing:
        raise CohortError(
            f"the training part holds no picture of class {', '.join(map(repr, missing))}",
            code="E_EMPTY_CLASS",
            expected=", ".join(classes),
            remedy="ask for a split by patient: patient:0.7,0.15,0.15",
        )
