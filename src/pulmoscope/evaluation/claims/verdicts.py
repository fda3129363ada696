"""What can be said of a printed number, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pulmoscope.evaluation.claims.bounds import Interval

Kind = Literal["consistent", "relabelled", "impossible", "contradiction", "confounded", "cannot be judged"]

#: The verdicts that raise an alarm.
ALARMS: tuple[Kind, ...] = ("relabelled", "impossible", "contradiction", "confounded")

MEANINGS: dict[Kind, str] = {
    "consistent": "a confusion matrix gives this and the numbers beside it",
    "relabelled": "it is not what it is called: another definition fits",
    "impossible": "no confusion matrix gives it",
    "contradiction": "the report contradicts itself",
    "confounded": "class and origin go together, so the one may pass for the other",
    "cannot be judged": "the report does not give what is needed, or no confusion matrix has it",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One number, or one statement, judged.

    Attributes:
        where: The table or part of the file.
        what: What the report calls it.
        printed: As printed; empty for a statement.
        kind: The verdict.
        sentence: Why.
        fits: Names of the definitions that fit.
        interval: 95% interval of the number under what fits; of the recomputed one where it is impossible.
        computed: What the number should be, where it can be told: lowest and highest.
    """

    where: str
    what: str
    printed: str
    kind: Kind
    sentence: str
    fits: tuple[str, ...] = ()
    interval: Interval | None = None
    computed: tuple[float, float] | None = None

    @property
    def alarm(self) -> bool:
        """Whether something is wrong."""
        return self.kind in ALARMS

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        interval = self.interval
        return {
            "where": self.where,
            "what": self.what,
            "printed": self.printed,
            "verdict": self.kind,
            "alarm": self.alarm,
            "fits": list(self.fits),
            "interval": None
            if interval is None
            else {"low": interval.low, "high": interval.high, "method": interval.method, "n": interval.n},
            "computed": None if self.computed is None else list(self.computed),
            "sentence": self.sentence,
        }
