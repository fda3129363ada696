"""Claims beside a printed confusion matrix: every number can be worked out."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from pulmoscope.evaluation.claims.bounds import definition_interval
from pulmoscope.evaluation.claims.definitions import IntArray
from pulmoscope.evaluation.claims.readings import definitions_of, mistaken, proper
from pulmoscope.evaluation.claims.schema import Claim, ClaimTable
from pulmoscope.evaluation.claims.verdicts import Verdict


def check_matrix(table: ClaimTable) -> tuple[IntArray, Verdict | None]:
    """The matrix with the truth in its rows, and a verdict where it does not agree with the class counts."""
    matrix = np.asarray(table.confusion, np.int64)
    counts = list(table.classes.values())
    known = all(one is not None for one in counts)
    rows, columns = matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    if not known or rows == counts:
        return matrix, None
    listed = ", ".join(map(str, counts))
    turned = columns == counts
    return matrix.T if turned else matrix, Verdict(
        where=table.name,
        what="confusion matrix",
        printed="",
        kind="relabelled" if turned else "impossible",
        sentence=f"Its columns, not its rows, sum to the class counts {listed}: the truth stands in the columns."
        if turned
        else f"Its rows sum to {', '.join(map(str, rows))}, but the class counts are {listed}.",
    )


def judge_with_matrix(claim: Claim, table: ClaimTable, matrix: IntArray) -> Verdict:
    """One claim against the matrix."""
    known, printed = definitions_of(table), claim.printed
    supports = matrix.sum(axis=1).tolist()

    def fitting(names: tuple[str, ...], bounds: tuple[Fraction, Fraction]) -> tuple[str, ...]:
        slack = Fraction(1, 10**9)
        values = ((name, known[name].of(matrix)) for name in names)
        return tuple(name for name, value in values if bounds[0] - slack <= value <= bounds[1] + slack)

    own = proper(claim, table)
    for bounds, how in ((printed.rounded, ""), (printed.cut, ", with further digits cut off, not rounded")):
        fits = fitting(own, bounds)
        if fits:
            first = known[fits[0]]
            value = first.of(matrix)
            return Verdict(
                where=table.name, what=claim.title, printed=claim.value, kind="consistent", fits=fits,
                sentence=f"The matrix gives {printed.show(value)}, the {first.words}{how}.",
                interval=definition_interval(first, (value, value), supports, matrix),
                computed=(float(value), float(value)),
            )  # fmt: skip
    mine = known[own[0]]
    value = mine.of(matrix)
    others = mistaken(claim, table)
    fits = fitting(others, printed.rounded) or fitting(others, printed.cut)
    truth = f"the {mine.words}, is {printed.show(value)} by the matrix"
    if fits:
        sentence = f"It is the {known[fits[0]].words}{_also(fits, table)}. What it is called, {truth}."
    else:
        sentence = f"What it is called, {truth}, and no other definition fits."
    return Verdict(
        where=table.name, what=claim.title, printed=claim.value, kind="relabelled" if fits else "impossible",
        fits=fits, sentence=sentence, interval=definition_interval(mine, (value, value), supports, matrix),
        computed=(float(value), float(value)),
    )  # fmt: skip


def _also(fits: tuple[str, ...], table: ClaimTable) -> str:
    known = definitions_of(table)
    words = [known[name].words for name in fits[1:3]]
    return f" (so is the {' and the '.join(words)})" if words else ""
