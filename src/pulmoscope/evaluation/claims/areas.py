"""AUCs: no confusion matrix has one, but it can give away a number that is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from pulmoscope.evaluation.claims.bounds import Interval, auc_interval, definition_interval
from pulmoscope.evaluation.claims.definitions import IntArray
from pulmoscope.evaluation.claims.feasible import Wanted, reach, search
from pulmoscope.evaluation.claims.readings import definitions_of
from pulmoscope.evaluation.claims.schema import Claim, ClaimTable
from pulmoscope.evaluation.claims.verdicts import Verdict

# The other numbers must leave the balanced accuracy within so many units of the printed last digit: a match would say
# nothing where it could be anything.
_NARROW = 4
_FINE = Fraction(1, 1000)


def judge_areas(
    table: ClaimTable,
    places: Sequence[int],
    wanted: tuple[Wanted, ...],
    matrix: IntArray | None,
    example: IntArray | None = None,
) -> dict[int, Verdict]:
    """Judge the AUC claims at ``places``.

    Args:
        table: With its class counts.
        places: Of the AUC claims.
        wanted: What the other numbers demand of the matrix.
        matrix: The printed matrix; None where only counts are known.
        example: A matrix that fits the other numbers, for the interval of what the number is instead.
    """
    if not places:
        return {}
    spans = {place: _balanced(table, table.claims[place], wanted, matrix) for place in places}
    matching = all(span is not None and _meets(table.claims[place], span[1]) for place, span in spans.items())
    telling = len(places) > 1 or table.claims[places[0]].printed.unit <= _FINE
    if matching and telling and matrix is None:
        claims = [(table.claims[place].printed.rounded, spans[place]) for place in places]
        more = tuple(
            Wanted(definition=definitions_of(table)[span[0]], low=low, high=high)
            for (low, high), span in claims
            if span is not None
        )
        matching = search(table.supports or (), (*wanted, *more)).state == "possible"
    verdicts = {}
    for place, span in spans.items():
        claim = table.claims[place]
        if matching and telling and span is not None:
            verdicts[place] = Verdict(
                where=table.name, what=claim.title, printed=claim.value, kind="relabelled", fits=(span[0],),
                sentence=f"It is no area under a curve: {_source(matrix)} the "
                f"{definitions_of(table)[span[0]].words}, (sensitivity + specificity) / 2, which is "
                f"{_show(claim, span[1])}.",
                computed=(float(span[1][0]), float(span[1][1])),
                interval=definition_interval(
                    definitions_of(table)[span[0]], span[1], table.supports or (),
                    example if matrix is None else matrix,
                ),
            )  # fmt: skip
        else:
            verdicts[place] = _unjudged(table, claim, matrix)
    return verdicts


def _balanced(
    table: ClaimTable, claim: Claim, wanted: tuple[Wanted, ...], matrix: IntArray | None
) -> tuple[str, tuple[Fraction, Fraction]] | None:
    """The balanced accuracy of hard labels that the claim may be, where the other numbers pin it down."""
    if claim.of is not None:
        names = [f"ovr_balanced_accuracy:{claim.of}"]
    else:
        names = ["balanced_accuracy"] if len(table.classes) == 2 else [
            "mean_ovr_balanced_accuracy", "balanced_accuracy"
        ]  # fmt: skip
    for name in names:
        definition = definitions_of(table)[name]
        if matrix is not None:
            value = definition.of(matrix)
            span: tuple[Fraction, Fraction] | None = (value, value)
        else:
            span = reach(table.supports or (), wanted, definition)
        narrow = span is not None and span[1] - span[0] <= _NARROW * claim.printed.unit
        if span is not None and narrow and _meets(claim, span):
            return name, span
    return None


def _unjudged(table: ClaimTable, claim: Claim, matrix: IntArray | None) -> Verdict:
    interval = _interval(table, claim)
    kind, sentence = "cannot be judged", "No confusion matrix has an AUC: it needs the scores, or the curve."
    if matrix is not None and len(table.classes) == 2:
        # The curve rises through the point of the labels, if they are the scores cut at one threshold.
        a, b = (definitions_of(table)[f"sensitivity:{name}"].of(matrix) for name in table.classes)
        low, high = a * b, 1 - (1 - a) * (1 - b)
        printed = claim.printed.cut
        if printed[1] < low or printed[0] > high:
            kind = "impossible"
            sentence = (
                f"A curve through the matrix's point has an area from {_show(claim, (low, high))}, "
                "if the labels are the scores cut at one threshold."
            )
    return Verdict(
        where=table.name, what=claim.title, printed=claim.value,
        kind="impossible" if kind == "impossible" else "cannot be judged", sentence=sentence, interval=interval,
    )  # fmt: skip


def _interval(table: ClaimTable, claim: Claim) -> Interval | None:
    """Hanley and McNeil's, for a class against the rest; of a mean over classes there is none."""
    counts: Mapping[str, int] = dict(zip(table.classes, table.supports or (), strict=False))
    name = claim.of or table.positive or (next(iter(counts), None) if len(counts) == 2 else None)
    if name is None or name not in counts:
        return None
    return auc_interval(float(claim.printed.value), counts[name], sum(counts.values()) - counts[name])


def _source(matrix: IntArray | None) -> str:
    return "it equals" if matrix is not None else "by the numbers beside it, it equals"


def _meets(claim: Claim, span: tuple[Fraction, Fraction]) -> bool:
    low, high = claim.printed.rounded
    slack = Fraction(1, 10**7)
    return span[0] <= high + slack and span[1] >= low - slack


def _show(claim: Claim, span: tuple[Fraction, Fraction]) -> str:
    low, high = (claim.printed.show(end) for end in span)
    return low if low == high else f"{low} to {high}"
