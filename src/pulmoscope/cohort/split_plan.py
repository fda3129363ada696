"""From the split as asked for (:class:`pulmoscope.cohort.splits.SplitPlan`) to the split of these rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pulmoscope.cohort.splits import SplitPlan, parse_split
from pulmoscope.errors import CohortError


@dataclass(frozen=True, kw_only=True)
class Undivided:
    """No split at all: ``test`` puts every row in the test part, to judge a model on; ``none`` in no part."""

    kind: Literal["test", "none"]

    def __str__(self) -> str:
        return self.kind


def read_plan(text: str) -> SplitPlan | Undivided:
    """Read ``test`` or ``none`` besides what :func:`pulmoscope.cohort.splits.parse_split` reads.

    Raises:
        CohortError: E_SPLIT.
    """
    plain = text.strip()
    if plain == "test":
        return Undivided(kind="test")
    if plain == "none":
        return Undivided(kind="none")
    # The shares may be left out: "patient" and "kfold" have usual ones.
    return parse_split({"patient": "patient:0.7,0.15,0.15", "kfold": "kfold:5"}.get(plain, text))


def choose(plan: SplitPlan | Undivided, frame: pd.DataFrame) -> SplitPlan | Undivided:
    """Settle ``auto`` and check ``predefined``.

    ``auto`` is predefined where every row has its part and they are not all train; else a split by patient;
    a cohort of one class can only be judged on, so there ``auto`` is ``test``.

    Raises:
        CohortError: E_SPLIT: a predefined split is asked for and rows have no part.
    """
    without = frame["split"].isna()
    if plan.kind == "auto":
        if not without.any() and set(frame["split"].unique()) != {"train"}:
            return SplitPlan(kind="predefined")
        return Undivided(kind="test") if frame["label"].nunique() == 1 else SplitPlan(kind="patient")
    if plan.kind == "predefined" and without.any():
        sources = ", ".join(sorted(frame.loc[without, "source"].unique()))
        raise CohortError(
            f"{int(without.sum())} of {len(frame)} radiographs have no part in a predefined split",
            code="E_SPLIT",
            expected="folders train, val and test, or a column split",
            got=f"none in {sources}",
            remedy="ask for a split by patient: patient:0.7,0.15,0.15",
        )
    return plan
