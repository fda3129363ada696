"""Give every radiograph its part: check that a split makes sense, draw or take it, gate it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pulmoscope.cohort import splits
from pulmoscope.cohort.dropped import dropped_rows
from pulmoscope.cohort.split_plan import Undivided, choose
from pulmoscope.cohort.splits import SplitPlan
from pulmoscope.errors import CohortError

_OTHER_WAYS = (
    "add a source, choose another label scheme, leave a class out by a filter such as label!=NAME, "
    "or take split 'test' to judge a model on this cohort"
)


@dataclass(kw_only=True)
class Splitting:
    """A cohort's rows with their parts, and what that cost."""

    frame: pd.DataFrame
    plan: SplitPlan | Undivided
    dropped: pd.DataFrame
    leaked: bool = False
    leaking_groups: int = 0
    caveats: list[str] = field(default_factory=list)

    def info(self, seed: int, val_from_train: float | None) -> dict[str, Any]:
        """Return the ``split`` part of a cohort's info."""
        return {
            "kind": str(self.plan),
            "seed": seed,
            "leaked": self.leaked,
            "leaking_groups": self.leaking_groups,
            "val_from_train": val_from_train,
        }


def assign_split(
    frame: pd.DataFrame,
    classes: tuple[str, ...],
    plan: SplitPlan | Undivided,
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
        CohortError: A class is empty, or has fewer groups than the split has parts.
        SplitLeakError: A predefined split cuts groups.
    """
    plan = choose(plan, frame)
    frame = frame.assign(fold=pd.Series(pd.NA, index=frame.index, dtype="Int64"))
    result = Splitting(frame=frame, plan=plan, dropped=dropped_rows([], [], [], []))
    _check_classes(frame, classes, plan, scheme)
    if isinstance(plan, Undivided):
        part = "test" if plan.kind == "test" else None
        frame["split"] = pd.Series(part, index=frame.index, dtype="str")
        if len(classes) == 1:
            result.caveats.append(
                f"all radiographs are of one class, {classes[0]}: fit to judge a model on, not to train one"
            )
    elif plan.kind == "patient":
        frame["split"] = splits.split_patients(frame, plan.fractions, seed)
    elif plan.folds:
        frame["split"] = pd.Series(None, index=frame.index, dtype="str")
        # By picture every picture is a group of its own; the gate below then finds what that cuts.
        alone = frame.assign(group_id=frame["image_id"])
        frame["fold"] = splits.assign_folds(
            alone if plan.kind == "kfold-pictures" else frame, plan.folds, seed
        )
    if val_from_train is not None and not frame["fold"].notna().any():
        _carve(result, val_from_train, seed)
    # The gate stands behind every road, whoever made the split.
    _pass_gate(result, allow_leak=allow_leak, drop_leaks=drop_leaks)
    if plan.kind == "predefined":
        _check_training_part(result.frame, classes)
    return result


def _pass_gate(result: Splitting, *, allow_leak: bool, drop_leaks: bool) -> None:
    frame = result.frame
    keep, report = splits.check_split(frame, allow_leak=allow_leak, drop_leaks=drop_leaks)
    result.leaked = report.leaked
    result.leaking_groups = report.groups if report.leaked else 0
    if report.dropped:
        rows = frame[~keep]
        detail = "part " + rows["split"].fillna("of a fold") + ", group " + rows["group_id"]
        result.dropped = dropped_rows(
            rows["source"], rows["image_id"], rows["path"], "E_SPLIT_LEAK", list(detail)
        )
        result.frame = frame[keep].reset_index(drop=True)
        result.caveats.append(report.sentence)


def _carve(result: Splitting, fraction: float, seed: int) -> None:
    before = int((result.frame["split"] == "val").sum())
    result.frame["split"] = splits.carve_validation(result.frame, fraction, seed).astype("str")
    carved = int((result.frame["split"] == "val").sum()) - before
    own = f", added to {before} that the split had" if before else ""
    result.caveats.append(
        f"{carved} validation pictures were carved out of the training part ({fraction:.0%} by groups){own}"
    )


def _check_classes(
    frame: pd.DataFrame, classes: tuple[str, ...], plan: SplitPlan | Undivided, scheme: str | None
) -> None:
    """Refuse what cannot be trained: an empty class, or one class alone."""
    if isinstance(plan, Undivided) or (plan.kind == "predefined" and (frame["split"] == "test").all()):
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
