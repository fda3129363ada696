"""Is there a confusion matrix that gives all the printed numbers at once? An exact search in whole numbers.

The unknowns are the true and false positives of each class. Zero-diagonal off-diagonal cells with row sums FN_i and
column sums FP_i exist if and only if both sum to E, the wrong answers, and FN_i + FP_i <= E for every class (a case of
the max-flow min-cut theorem), so no more unknowns are needed. A single quotient within bounds is linear in them. A mean
of quotients is bounded from both sides on a box of denominators, and the box is halved until a matrix is found or none
can be left (branch and bound); before that, steps along tangents look for one near by. Each step is a small integer
programme (SciPy's HiGHS). Of two classes all matrices are tried. A matrix that is found is checked in exact fractions;
"impossible" is said only where every box is proved empty.

PyPI's mlscorecheck 1.0.3 (MIT, Fazekas and Kovacs; alpha by its own word) has the same idea. It is not used here: over
three and more classes it knows the means of accuracy, sensitivity and specificity alone, not F1, PPV or numbers of
single classes, and it names no other definition; and it brings PuLP with a solver of its own, where SciPy has one.
Where it can judge, it is the witness of our golden values (tests/evaluation/golden/make_claims.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.claims.definitions import Affine, Counts, Definition, IntArray, Term

Bounds = tuple[Fraction, Fraction]
Box = tuple[tuple[int, int], ...]

#: Far below half a unit of any printed digit, far above the solver's tolerance.
_SLACK = 1e-7
_MOST_BOXES = 40
_MOST_PAIRS = 4_000_000
_MOST_NODES = 3_000
_MOST_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A definition whose value must lie in a closed interval."""

    definition: Definition
    low: Fraction
    high: Fraction


@dataclass(frozen=True, kw_only=True)
class Found:
    """The outcome of a search.

    Attributes:
        state: ``possible`` with a matrix, ``impossible`` proved, or ``unsettled`` within the bounds of the search.
        confusion: One matrix that gives all the numbers, (K, K), rows the truth.
    """

    state: Literal["possible", "impossible", "unsettled"]
    confusion: IntArray | None = None


def search(supports: Sequence[int], wanted: Sequence[Wanted]) -> Found:
    """Look for a confusion matrix with rows that sum to ``supports`` and every wanted value in its interval.

    Args:
        supports: Pictures of each class; at least two classes.
        wanted: What must hold. A definition without quotients (MCC) is tried on the matrix found, and leaves the search
            unsettled where it does not hold there.

    Returns:
        A matrix, the proof that there is none, or neither.
    """
    if len(supports) == 2 and (supports[0] + 1) * (supports[1] + 1) <= _MOST_PAIRS:
        return _try_all(Counts(supports), wanted)
    problem = _Problem(Counts(supports), wanted)
    whole = tuple((0, problem.counts.n) for _ in range(problem.counts.size))
    boxes, doubts = [whole], False
    for _ in range(_MOST_BOXES):
        if not boxes:
            return Found(state="unsettled" if doubts else "impossible")
        box = boxes.pop()
        state, point = problem.solve(box)
        if point is None:
            doubts |= state == "unsettled"
            continue
        if problem.holds(point):
            return Found(state="possible", confusion=fill(problem.counts, point))
        if not problem.means:
            # Only the solver's tolerance or a definition without quotients is left to blame.
            doubts = True
            continue
        near = problem.approach(point, box)
        if near is not None:
            return Found(state="possible", confusion=fill(problem.counts, near))
        here = problem.called(point)
        _, leaf = problem.solve(tuple((one, one) for one in here))
        halves = _halve(box, here)
        if halves is None:
            doubts |= leaf is not None
            continue
        boxes += halves
    return Found(state="unsettled")


def reach(supports: Sequence[int], wanted: Sequence[Wanted], definition: Definition) -> Bounds | None:
    """Smallest and largest value of a definition over the matrices that satisfy ``wanted``.

    Means of quotients among ``wanted`` are left out, so the interval may be too wide, never too narrow.

    Returns:
        None where the definition's denominators are not known beforehand, or nothing satisfies ``wanted``.
    """
    counts = Counts(supports)
    terms = None if definition.terms is None else definition.terms(counts)
    if terms is None or not all(term.below.fixed for term in terms):
        return None
    problem = _Problem(counts, wanted)
    row, constant = _sum(terms)
    ends = []
    for sign in (1.0, -1.0):
        whole = tuple((0, counts.n) for _ in range(counts.size))
        state, point = problem.solve(whole, objective=sign * row, relaxed=False)
        if point is None or state != "possible":
            return None
        ends.append(constant + Fraction(float(row @ np.asarray(point, np.float64))).limit_denominator(10**9))
    return ends[0], ends[1]


def fill(counts: Counts, point: Sequence[int]) -> IntArray:
    """A confusion matrix with these true and false positives; there may be others.

    Raises:
        ValueError: There is none.
    """
    size = counts.size
    hits, over = list(point[:size]), list(point[size:])
    missed = [support - hit for support, hit in zip(counts.supports, hits, strict=True)]
    if sum(missed) != sum(over) or any(a + b > sum(over) for a, b in zip(missed, over, strict=True)):
        raise ValueError("no confusion matrix has these true and false positives")
    matrix = np.diag(np.asarray(hits, np.int64))
    while sum(missed):
        # The class with the most left on both sides goes first, so that none is left with itself alone.
        tight = max(range(size), key=lambda i: missed[i] + over[i])
        others = [i for i in range(size) if i != tight]
        if missed[tight]:
            row, column = tight, max(others, key=lambda i: (over[i], missed[i] + over[i]))
        else:
            row, column = max(others, key=lambda i: (missed[i], missed[i] + over[i])), tight
        rest = sum(missed)
        spare = min((rest - missed[i] - over[i] for i in range(size) if i not in (row, column)), default=rest)
        step = max(1, min(missed[row], over[column], spare))
        matrix[row, column] += step
        missed[row] -= step
        over[column] -= step
    return matrix


def _try_all(counts: Counts, wanted: Sequence[Wanted]) -> Found:
    """Of two classes there are (n_1 + 1)(n_2 + 1) matrices: all are tried."""
    first, second = np.indices(tuple(one + 1 for one in counts.supports)).reshape(2, -1)
    points = np.stack([first, second, counts.supports[1] - second, counts.supports[0] - first])
    for one in wanted:
        terms = None if one.definition.terms is None else one.definition.terms(counts)
        if terms is None:
            values = np.array([float(one.definition.at(point.tolist(), counts)) for point in points.T])
        else:
            values = np.zeros(points.shape[1])
            for term in terms:
                above = _row(term.above) @ points + term.above.constant
                below = _row(term.below) @ points + term.below.constant
                values += float(term.weight) * above / np.where(below == 0, np.inf, below)
        points = points[:, (values >= float(one.low) - _SLACK) & (values <= float(one.high) + _SLACK)]
    if not points.shape[1]:
        return Found(state="impossible")
    return Found(state="possible", confusion=fill(counts, points[:, points.shape[1] // 2].tolist()))


class _Problem:
    """The constraints of one search, as rows of an integer programme."""

    def __init__(self, counts: Counts, wanted: Sequence[Wanted]) -> None:
        self.counts = counts
        self.wanted = wanted
        self.rows: list[npt.NDArray[np.float64]] = []
        self.lows: list[float] = []
        self.highs: list[float] = []
        self.means: list[tuple[Wanted, tuple[Term, ...]]] = []
        size, n = counts.size, counts.n
        supports = np.asarray(counts.supports, np.float64)
        # Wrong answers counted by rows and by columns are the same.
        self._add(np.ones(2 * size), float(n), float(n))
        for i in range(size):
            # FN_i + FP_i <= E = n - sum of TP.
            row = np.zeros(2 * size)
            row[:size] += 1.0
            row[i] -= 1.0
            row[size + i] += 1.0
            self._add(row, -np.inf, n - supports[i])
        for one in wanted:
            terms = None if one.definition.terms is None else one.definition.terms(counts)
            if terms is None:
                continue
            if all(term.below.fixed for term in terms):
                row, constant = _sum(terms)
                low, high = float((one.low - constant) * n), float((one.high - constant) * n)
                self._add(row * n, low - _SLACK * n, high + _SLACK * n)
            elif len(terms) == 1:
                self._add_quotient(one, terms[0])
            else:
                self.means.append((one, terms))

    def solve(
        self,
        box: Box,
        objective: npt.NDArray[np.float64] | None = None,
        *,
        relaxed: bool = True,
        tangent_at: Sequence[int] | None = None,
    ) -> tuple[Literal["possible", "impossible", "unsettled"], tuple[int, ...] | None]:
        """One integer programme: the linear constraints, and the means as far as ``box`` of called counts bounds them.

        With ``tangent_at`` the means are replaced by their tangents there, which proves nothing but leads to a matrix.
        """
        from scipy.optimize import Bounds as VariableBounds
        from scipy.optimize import LinearConstraint, milp

        size, n = self.counts.size, self.counts.n
        rows, lows, highs = list(self.rows), list(self.lows), list(self.highs)
        for i, (low, high) in enumerate(box):
            if (low, high) != (0, n):
                row = np.zeros(2 * size)
                row[[i, size + i]] = 1.0
                rows.append(row)
                lows.append(float(low))
                highs.append(float(high))
        for one, terms in self.means if relaxed else []:
            if tangent_at is None:
                below, above = _relaxed(terms, box, size)
            else:
                below = above = _tangent(terms, tangent_at)
            rows += [above[0] * n, below[0] * n]
            lows += [float(one.low - above[1]) * n - _SLACK * n, -np.inf]
            highs += [np.inf, float(one.high - below[1]) * n + _SLACK * n]
        supports = np.asarray(self.counts.supports, np.float64)
        # HiGHS's presolve may leave an integer programme without objective undecided; a zero objective is enough.
        answer = milp(
            np.zeros(2 * size) if objective is None else objective,
            integrality=np.ones(2 * size),
            bounds=VariableBounds(np.zeros(2 * size), np.concatenate([supports, n - supports])),
            constraints=LinearConstraint(np.asarray(rows), np.asarray(lows), np.asarray(highs)),
            options={"node_limit": _MOST_NODES},
        )
        if answer.x is not None:
            point = tuple(int(one) for one in np.rint(answer.x))
            return ("possible" if answer.status == 0 else "unsettled"), point
        return ("impossible" if answer.status == 2 else "unsettled"), None

    def approach(self, point: tuple[int, ...], box: Box) -> tuple[int, ...] | None:
        """From ``point`` along tangents to a matrix that gives every wanted value; None where that leads nowhere."""
        seen = {point}
        for _ in range(_MOST_STEPS):
            _, after = self.solve(box, tangent_at=point)
            if after is None or after in seen:
                return None
            if self.holds(after):
                return after
            seen.add(after)
            point = after
        return None

    def holds(self, point: Sequence[int]) -> bool:
        """Whether the point is a matrix that gives every wanted value, in exact fractions."""
        slack = Fraction(2 * _SLACK)
        size = self.counts.size
        wrong = self.counts.n - sum(point[:size])
        if sum(point[size:]) != wrong or min(point) < 0:
            return False
        if any(self.counts.fn(i).at(point) + point[size + i] > wrong for i in range(size)):
            return False
        values = ((one, one.definition.at(point, self.counts)) for one in self.wanted)
        return all(one.low - slack <= value <= one.high + slack for one, value in values)

    def called(self, point: Sequence[int]) -> tuple[int, ...]:
        """Pictures called each class."""
        size = self.counts.size
        return tuple(point[i] + point[size + i] for i in range(size))

    def _add(self, row: npt.NDArray[np.float64], low: float, high: float) -> None:
        self.rows.append(row)
        self.lows.append(low)
        self.highs.append(high)

    def _add_quotient(self, one: Wanted, term: Term) -> None:
        """``low <= above / below <= high`` with ``below`` positive; 0 / 0 counts as 0."""
        above, below = _row(term.above), _row(term.below)
        low, high = float(one.low) - _SLACK, float(one.high) + _SLACK
        self._add(above - low * below, low * term.below.constant - term.above.constant, np.inf)
        self._add(above - high * below, -np.inf, high * term.below.constant - term.above.constant)
        if one.low > 0:
            self._add(below, 1.0 - term.below.constant, np.inf)


def _row(affine: Affine) -> npt.NDArray[np.float64]:
    return np.asarray(affine.coefficients, np.float64)


def _sum(terms: Sequence[Term]) -> tuple[npt.NDArray[np.float64], Fraction]:
    """Quotients with fixed denominators as one affine function; one with denominator 0 counts as 0."""
    row, constant = np.zeros(len(terms[0].above.coefficients)), Fraction(0)
    for term in terms:
        if term.below.constant:
            factor = term.weight / term.below.constant
            row = row + float(factor) * _row(term.above)
            constant += factor * term.above.constant
    return row, constant


def _relaxed(
    terms: Sequence[Term], box: Box, size: int
) -> tuple[tuple[npt.NDArray[np.float64], Fraction], tuple[npt.NDArray[np.float64], Fraction]]:
    """Affine functions below and above a sum of quotients wherever the called counts lie in ``box``."""
    ends = []
    for upper in (False, True):
        bounded = []
        for term in terms:
            low, high = _range(term.below, box, size)
            chosen = max(low, 1) if upper else max(high, 1)
            below = Affine(coefficients=(0,) * len(term.below.coefficients), constant=chosen)
            bounded.append(Term(above=term.above, below=below, weight=term.weight))
        ends.append(_sum(bounded))
    return ends[0], ends[1]


def _tangent(terms: Sequence[Term], point: Sequence[int]) -> tuple[npt.NDArray[np.float64], Fraction]:
    """The tangent of a sum of quotients at ``point``, as an affine function."""
    row, value = np.zeros(len(point)), 0.0
    for term in terms:
        above, below = term.above.at(point), max(term.below.at(point), 1)
        weight = float(term.weight)
        row += weight * (_row(term.above) / below - above * _row(term.below) / below**2)
        value += weight * above / below
    return row, Fraction(value - float(row @ np.asarray(point, np.float64)))


def _range(affine: Affine, box: Box, size: int) -> tuple[int, int]:
    """Range of an affine function of the called counts alone."""
    low = high = affine.constant
    for i, (least, most) in enumerate(box):
        factor = affine.coefficients[i]
        if factor != affine.coefficients[size + i]:
            raise ValueError("a denominator must be a function of the called counts")
        low += min(factor * least, factor * most)
        high += max(factor * least, factor * most)
    return low, high


def _halve(box: Box, here: Sequence[int]) -> list[Box] | None:
    """The box in two, across the side that is relatively widest; the half with ``here`` comes last, to be next."""
    sides = [(high - low) / (1 + low) if high > low else 0.0 for low, high in box]
    at = int(np.argmax(sides))
    low, high = box[at]
    if low == high:
        return None
    # Near the point found, so that its neighbourhood is closed in fast.
    middle = min(max((here[at] + (low + high) // 2) // 2, low), high - 1)
    lower = (*box[:at], (low, middle), *box[at + 1 :])
    upper = (*box[:at], (middle + 1, high), *box[at + 1 :])
    return [upper, lower] if here[at] <= middle else [lower, upper]
