"""Claims beside class counts alone: they must all come from one confusion matrix, and the search says whether they can.

Where they cannot, the smallest change that mends the table is looked for: one number under another definition, then one
metric throughout (the same mistake in every row), then one number left out. An alarm is raised only on what is proved,
and only if no digit that was cut off instead of rounded explains it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from pulmoscope.evaluation.claims.bounds import definition_interval
from pulmoscope.evaluation.claims.definitions import Counts, IntArray
from pulmoscope.evaluation.claims.feasible import Found, Wanted, reach, search
from pulmoscope.evaluation.claims.readings import definitions_of, mistaken, proper
from pulmoscope.evaluation.claims.schema import Claim, ClaimTable
from pulmoscope.evaluation.claims.verdicts import Verdict

#: Place of a claim in its table -> name of the definition that it is read as.
Readings = Mapping[int, str]
_MOST_COMBINATIONS = 24
_MOST_MISTAKEN = 12


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What the search makes of a table.

    Attributes:
        verdicts: One for each claim, by its place.
        wanted: What the numbers demand of the matrix, those at fault left out.
        confusion: One matrix that fits; None where none was found.
    """

    verdicts: Mapping[int, Verdict]
    wanted: tuple[Wanted, ...] = ()
    confusion: IntArray | None = None


@dataclass(frozen=True, kw_only=True)
class _Fit:
    state: Literal["possible", "impossible", "unsettled"]
    readings: Readings
    confusion: IntArray | None = None
    cut: bool = False


class _Table:
    """The searches of one table, each done once."""

    def __init__(self, table: ClaimTable, places: Sequence[int]) -> None:
        self.table = table
        self.claims = {place: table.claims[place] for place in places}
        self.known = definitions_of(table)
        self.supports = table.supports or ()
        self.done: dict[tuple[tuple[tuple[int, str], ...], bool], Found] = {}

    def wanted(self, readings: Readings, cut: bool) -> tuple[Wanted, ...]:
        found = []
        for place, name in readings.items():
            printed = self.claims[place].printed
            low, high = printed.cut if cut else printed.rounded
            found.append(Wanted(definition=self.known[name], low=low, high=high))
        return tuple(found)

    def search(self, readings: Readings, cut: bool) -> Found:
        key = (tuple(sorted(readings.items())), cut)
        if key not in self.done:
            self.done[key] = search(self.supports, self.wanted(readings, cut))
        return self.done[key]

    def fit(self, places: Sequence[int], fixed: Readings | None = None) -> _Fit:
        """The first way to read the claims that a matrix gives; digits rounded, and if need be cut off."""
        fixed = fixed or {}
        doubts = False
        for cut in (False, True):
            for readings in self._combinations(places, fixed):
                found = self.search(readings, cut)
                doubts |= found.state == "unsettled"
                if found.state == "possible":
                    return _Fit(state="possible", readings=readings, confusion=found.confusion, cut=cut)
            if doubts:
                break
        return _Fit(state="unsettled" if doubts else "impossible", readings={})

    def _combinations(self, places: Sequence[int], fixed: Readings) -> list[Readings]:
        """Ways to read the claims, the same for all that are called alike; ``fixed`` as given."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for place in places:
            if place not in fixed:
                groups.setdefault(proper(self.claims[place], self.table), []).append(place)
        found: list[Readings] = []
        for chosen in itertools.islice(itertools.product(*groups), _MOST_COMBINATIONS):
            readings = dict(fixed)
            for name, members in zip(chosen, groups.values(), strict=True):
                readings |= dict.fromkeys(members, name)
            found.append(readings)
        return found


def judge_with_counts(table: ClaimTable, places: Sequence[int]) -> Settled:
    """Judge the claims at ``places``, none of them an AUC, of a table whose class counts are known."""
    if not places:
        return Settled(verdicts={})
    one = _Table(table, places)
    fit = one.fit(places)
    if fit.state == "possible":
        return _settle(one, fit, {})
    if fit.state == "unsettled":
        return Settled(verdicts={place: _unsettled(one, place) for place in places})
    return _mend(one, list(places))


def _mend(one: _Table, places: list[int]) -> Settled:
    """No matrix gives all the numbers: find what is at fault."""
    groups: dict[str, list[int]] = {}
    for place in places:
        groups.setdefault(one.claims[place].says, []).append(place)
    singles = [[place] for place in places]
    several = [members for members in groups.values() if 1 < len(members) < len(places)]
    culprits: list[tuple[list[int], _Fit]] = []
    for units in (singles, several):
        for unit in units:
            rest = [place for place in places if place not in unit]
            fit = one.fit(rest) if rest else _Fit(state="possible", readings={})
            if fit.state == "possible":
                culprits.append((unit, fit))
        if culprits:
            break
    mended = [(rank, unit, fit) for unit, _ in culprits if (found := _relabel(one, unit, places)) is not None
              for rank, fit in [found]]  # fmt: skip
    if mended:
        _, unit, fit = min(mended, key=lambda option: option[0])
        others = [place for other, _ in culprits for place in other if place not in unit]
        return _settle(one, fit, {place: _relabelled(one, place, fit, others, places) for place in unit})
    if culprits:
        # Each may be the wrong one; what all of them share is what stays.
        blamed = sorted({place for unit, _ in culprits for place in unit})
        rest = [place for place in places if place not in blamed]
        fit = culprits[0][1] if len(culprits) == 1 else one.fit(rest) if rest else culprits[0][1]
        return _settle(one, fit, {place: _impossible(one, place, blamed, fit) for place in blamed})
    kept: list[int] = []
    for place in places:
        if one.fit([*kept, place]).state == "possible":
            kept.append(place)
    dropped = [place for place in places if place not in kept]
    fit = one.fit(kept)
    return _settle(one, fit, {place: _impossible(one, place, dropped, fit) for place in dropped})


def _relabel(one: _Table, unit: Sequence[int], places: Sequence[int]) -> tuple[int, _Fit] | None:
    """Another definition for the claims of ``unit``, the same for all, that mends the table; with its rank."""
    options = [mistaken(one.claims[place], one.table)[:_MOST_MISTAKEN] for place in unit]
    first = [name.partition(":")[0] for name in options[0]] if len(unit) > 1 else list(options[0])
    for rank, name in enumerate(dict.fromkeys(first)):
        if len(unit) == 1:
            readings = {unit[0]: name}
        else:
            chosen = [
                next((own for own in names if own.partition(":")[0] == name), None) for names in options
            ]
            if None in chosen:
                continue
            readings = {place: str(own) for place, own in zip(unit, chosen, strict=True)}
        fit = one.fit(places, readings)
        if fit.state == "possible":
            return rank, fit
    return None


def _settle(one: _Table, fit: _Fit, faulty: Mapping[int, Verdict]) -> Settled:
    verdicts = dict(faulty)
    for place, name in fit.readings.items():
        if place not in verdicts:
            verdicts[place] = _consistent(one, place, name, fit)
    return Settled(verdicts=verdicts, wanted=one.wanted(fit.readings, fit.cut), confusion=fit.confusion)


def _consistent(one: _Table, place: int, name: str, fit: _Fit) -> Verdict:
    claim, definition = one.claims[place], one.known[name]
    printed = claim.printed
    together = "a confusion matrix gives it and the numbers beside it" if len(fit.readings) > 1 else (
        "a confusion matrix gives it"
    )  # fmt: skip
    note = ""
    if fit.confusion is not None and not _within(definition.of(fit.confusion), printed.rounded):
        note = ", if further digits were cut off, not rounded"
    return Verdict(
        where=one.table.name, what=claim.title, printed=claim.value, kind="consistent", fits=(name,),
        sentence=f"As the {definition.words}, {together}{note}.",
        interval=definition_interval(
            definition, printed.cut if note else printed.rounded, one.supports, fit.confusion
        ),
    )  # fmt: skip


def _relabelled(one: _Table, place: int, fit: _Fit, others: Sequence[int], places: Sequence[int]) -> Verdict:
    claim, definition = one.claims[place], one.known[fit.readings[place]]
    own = one.known[proper(claim, one.table)[0]]
    truth = reach(one.supports, one.wanted(fit.readings, fit.cut), own)
    is_then = f", and the {own.words} is then {_span(claim, truth)}" if truth else ""
    beside = " together with the numbers beside it" if len(places) > 1 else ""
    sentence = f"No confusion matrix gives it as the {own.words}{beside}; as the {definition.words} one does{is_then}."
    if others:
        sentence += f" Without this, one of these would be wrong: {_listed(one, others)}."
    return Verdict(
        where=one.table.name, what=claim.title, printed=claim.value, kind="relabelled",
        fits=(fit.readings[place],), sentence=sentence, computed=_floats(truth),
        interval=definition_interval(own, truth, one.supports, fit.confusion) if truth else None,
    )  # fmt: skip


def _impossible(one: _Table, place: int, blamed: Sequence[int], fit: _Fit) -> Verdict:
    claim = one.claims[place]
    own = one.known[proper(claim, one.table)[0]]
    truth = reach(one.supports, one.wanted(fit.readings, fit.cut), own) if len(blamed) == 1 else None
    if one.fit([place]).state == "impossible":
        listed = " / ".join(map(str, one.supports))
        sentence = (
            f"No confusion matrix with {listed} pictures gives it as the {own.words}{_nearest(one, claim)}."
        )
    elif len(blamed) == 1:
        sentence = (
            "No confusion matrix gives it together with the numbers beside it, which agree with each other"
        )
        sentence += f": they give {_span(claim, truth)}." if truth else "."
    else:
        sentence = f"No confusion matrix gives all the numbers: at least one of these is wrong: {_listed(one, blamed)}."
    return Verdict(
        where=one.table.name, what=claim.title, printed=claim.value, kind="impossible", sentence=sentence,
        computed=_floats(truth),
        interval=definition_interval(own, truth, one.supports, fit.confusion) if truth else None,
    )  # fmt: skip


def _unsettled(one: _Table, place: int) -> Verdict:
    claim = one.claims[place]
    alone = one.fit([place])
    name = proper(claim, one.table)[0]
    if alone.state == "impossible":
        return _impossible(one, place, [place], alone)
    return Verdict(
        where=one.table.name, what=claim.title, printed=claim.value, kind="cannot be judged",
        sentence="The search found neither a confusion matrix that gives all the numbers nor the proof that none does.",
        interval=definition_interval(one.known[name], claim.printed.rounded, one.supports, None),
    )  # fmt: skip


def _nearest(one: _Table, claim: Claim) -> str:
    """The two nearest values of a proportion whose denominator is known."""
    definition = one.known[proper(claim, one.table)[0]]
    terms = definition.terms(Counts(one.supports)) if definition.terms else ()
    if len(terms) != 1 or not terms[0].below.fixed or not terms[0].below.constant:
        return ""
    n, printed = terms[0].below.constant, claim.printed
    k = min(int(printed.value * n), n - 1)
    return (
        f": {k}/{n} is {printed.show(Fraction(k, n))} and {k + 1}/{n} is {printed.show(Fraction(k + 1, n))}"
    )


def _listed(one: _Table, places: Sequence[int]) -> str:
    return "; ".join(f"{one.claims[place].title} {one.claims[place].value}" for place in places)


def _span(claim: Claim, bounds: tuple[Fraction, Fraction]) -> str:
    low, high = (claim.printed.show(end) for end in bounds)
    return low if low == high else f"{low} to {high}"


def _floats(bounds: tuple[Fraction, Fraction] | None) -> tuple[float, float] | None:
    return None if bounds is None else (float(bounds[0]), float(bounds[1]))


def _within(value: Fraction, bounds: tuple[Fraction, Fraction]) -> bool:
    slack = Fraction(1, 10**7)
    return bounds[0] - slack <= value <= bounds[1] + slack
