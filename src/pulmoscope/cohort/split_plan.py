"""Which split is asked for: ``auto``, ``predefined``, ``patient:0.7,0.15,0.15``, ``kfold:5``, ``test``, ``none``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from pulmoscope.errors import CohortError

DEFAULT_FRACTIONS = (0.7, 0.15, 0.15)
_EXPECTED = "auto, predefined, patient:0.7,0.15,0.15, kfold:5, test (all rows, to judge a model on) or none"


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """A split as asked for.

    Args:
        kind: auto, predefined, patient, kfold, test or none.
        fractions: Of train, val and test, for ``patient``.
        folds: For ``kfold``.
    """

    kind: str
    fractions: tuple[float, float, float] = DEFAULT_FRACTIONS
    folds: int = 5

    @property
    def text(self) -> str:
        """The plan as the user writes it."""
        if self.kind == "patient":
            return "patient:" + ",".join(f"{one:g}" for one in self.fractions)
        return f"kfold:{self.folds}" if self.kind == "kfold" else self.kind

    @property
    def draws(self) -> bool:
        """Whether the split is drawn here, by groups, instead of given by the sources."""
        return self.kind in {"patient", "kfold"}


def parse_split(text: str) -> SplitPlan:
    """Read a split as the user writes it.

    Raises:
        CohortError: It is none of the known forms.
    """
    kind, _, rest = text.strip().partition(":")
    kind, rest = kind.strip().casefold(), rest.strip()
    if kind in {"auto", "predefined", "test", "none"} and not rest:
        return SplitPlan(kind=kind)
    if kind == "patient":
        return SplitPlan(kind=kind, fractions=_fractions(text, rest) if rest else DEFAULT_FRACTIONS)
    if kind == "kfold" and (not rest or rest.isdecimal()):
        folds = int(rest or 5)
        if not 2 <= folds <= 100:
            raise CohortError(f"split {text!r}: {folds} folds", code="E_SPLIT", expected="2 to 100 folds")
        return SplitPlan(kind=kind, folds=folds)
    raise CohortError(f"cannot read the split {text!r}", code="E_SPLIT", expected=_EXPECTED, got=repr(text))


def choose(plan: SplitPlan, frame: pd.DataFrame) -> SplitPlan:
    """Settle ``auto`` (predefined when every row has its part, else by patient) and check ``predefined``.

    Raises:
        CohortError: A predefined split is asked for and rows have no part.
    """
    without = frame["split"].isna()
    complete = not without.any() and set(frame["split"].unique()) != {"train"}
    if plan.kind == "auto":
        return SplitPlan(kind="predefined" if complete else "patient")
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


def _fractions(text: str, rest: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in rest.split(","))
    except ValueError:
        raise CohortError(
            f"split {text!r}: three fractions are needed", code="E_SPLIT", expected="patient:0.7,0.15,0.15"
        ) from None
    fractions = (train, val, test)
    if not all(math.isfinite(one) and one >= 0 for one in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise CohortError(
            f"split {text!r}: the fractions must not be negative and must add up to 1",
            code="E_SPLIT",
            expected="patient:0.7,0.15,0.15",
            got=f"a sum of {sum(fractions):g}",
        )
    if train == 0 or test == 0:
        raise CohortError(f"split {text!r}: train and test need a share", code="E_SPLIT", got=rest)
    return fractions
