"""An audit as text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulmoscope.evaluation.claims.bounds import Interval
from pulmoscope.evaluation.claims.printed import parse_printed
from pulmoscope.evaluation.claims.verdicts import Verdict

if TYPE_CHECKING:
    from pulmoscope.evaluation.claims.audit import Audit

_MARKS = {
    "consistent": "consistent", "relabelled": "RELABELLED", "impossible": "IMPOSSIBLE",
    "contradiction": "CONTRADICTION", "confounded": "CONFOUNDED", "cannot be judged": "cannot be judged",
}  # fmt: skip


def as_text(audit: Audit) -> str:
    """One line a number with its verdict, a second with the reason; alarms stand out in capitals."""
    file = audit.file
    lines = [file.title or file.name]
    lines += [file.note] if file.note else []
    width = max((len(mark) for mark in _MARKS.values()), default=0)
    before = None
    for one in audit.verdicts:
        if one.where != before:
            lines += ["", one.where]
            before = one.where
        lines.append(f"  {_MARKS[one.kind]:<{width}}  {one.what}  {one.printed}{_interval(one)}".rstrip())
        lines.append(f"  {'':<{width}}    {one.sentence}")
    return "\n".join([*lines, "", summary(audit)])


def _interval(one: Verdict) -> str:
    if one.interval is None:
        return ""
    # Of an alarm the interval is not that of the printed number.
    value = f"{show_number(one.computed, one.printed)} " if one.alarm and one.computed else ""
    return f"  {'is ' if value else ''}{value}95% {show_interval(one.interval, one.printed)}"


def show_number(bounds: tuple[float, float], printed: str) -> str:
    """A recomputed number, or where it lies, in the printed number's unit with a digit more.

    >>> show_number((0.96358, 0.96358), "97.57%")
    '96.358%'
    """
    unit = parse_printed(printed)
    low, high = (unit.show(end) for end in bounds)
    return low if low == high else f"{low} to {high}"


def summary(audit: Audit) -> str:
    """The counts in one sentence."""
    total, alarms = len(audit.verdicts), len(audit.alarms)
    kinds = ", ".join(f"{count} {kind}" for kind, count in audit.counts.items() if count)
    return f"{total} judged, {alarms} alarm{'' if alarms == 1 else 's'}: {kinds}."


def show_interval(interval: Interval, printed: str) -> str:
    """An interval in the printed number's unit, with its method.

    >>> show_interval(Interval(low=0.957, high=0.9693, method="Wilson", n=3432), "96.36%")
    '95.70-96.93% (Wilson, n=3432)'
    """
    scale, sign = (100, "%") if printed.endswith("%") else (1, "")
    places = 2 if sign else 3
    return (
        f"{scale * interval.low:.{places}f}-{scale * interval.high:.{places}f}{sign} "
        f"({interval.method}, n={interval.n})"
    )
