"""Claims of a report that gives no class counts: little can be said, and that is the finding."""

from __future__ import annotations

import math
from fractions import Fraction

from pulmoscope.evaluation.claims.bounds import Interval, proportion_interval
from pulmoscope.evaluation.claims.printed import Printed
from pulmoscope.evaluation.claims.schema import Claim, ClaimTable
from pulmoscope.evaluation.claims.verdicts import Kind, Verdict

_LARGEST = 10_000


def judge_without_counts(claim: Claim, table: ClaimTable) -> Verdict:
    """One claim where the classes' sizes are not known; of an accuracy the number of pictures is enough."""
    printed, n = claim.printed, table.n
    plain = claim.says == "accuracy" and claim.of is None
    fits: tuple[str, ...] = ()
    interval: Interval | None = None
    kind: Kind = "cannot be judged"
    if plain and n is not None:
        interval = proportion_interval(*printed.rounded, n) or proportion_interval(*printed.cut, n)
        if interval is None:
            k = min(int(printed.value * n), n - 1)
            near = " and ".join(f"{one}/{n} is {printed.show(Fraction(one, n))}" for one in (k, k + 1))
            kind, sentence = "impossible", f"No whole number of {n} pictures gives it: {near}."
        else:
            kind, fits = "consistent", ("accuracy",)
            sentence = f"As the share of right answers, a whole number of {n} pictures gives it."
    elif n is not None:
        sentence = "The report does not say how many pictures each class has."
    elif plain:
        least = smallest_n(printed)
        sentence = "The report does not say on how many pictures, so it has no interval"
        if least is not None and least > 1:
            sentence += f"; {least} pictures would be enough to give it"
        ends = (
            proportion_interval(printed.value, printed.value, 100) if printed.value * 100 % 1 == 0 else None
        )
        if ends is not None:
            sentence += (
                f"; of 100 its 95% interval would be {printed.show(ends.low)} to {printed.show(ends.high)}"
            )
        sentence += "."
    else:
        sentence = "The report does not say on how many pictures."
    return Verdict(
        where=table.name, what=claim.title, printed=claim.value, kind=kind, sentence=sentence, fits=fits,
        interval=interval,
    )  # fmt: skip


def smallest_n(printed: Printed) -> int | None:
    """The fewest pictures of which a whole number gives the printed share, as far as 10,000; None beyond.

    >>> from pulmoscope.evaluation.claims.printed import parse_printed
    >>> smallest_n(parse_printed("0.95"))  # 18 of 19
    19
    """
    low, high = printed.rounded
    return next((n for n in range(1, _LARGEST + 1) if math.ceil(low * n) <= math.floor(high * n)), None)
