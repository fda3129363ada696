"""What a printed number may be: every definition as a function of a confusion matrix, and as a sum of quotients.

All of them depend on the matrix through 2 K whole numbers alone: the true and the false positives of each class, TP_i
and FP_i, the pictures n_i of each class being known. A definition is a sum of quotients of affine functions of these,
which is what :mod:`~pulmoscope.evaluation.claims.feasible` searches with; MCC alone is not.

A quotient without a denominator counts as 0 here, as scikit-learn prints it; in an evaluation of ours it is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Affine:
    """``constant + coefficients . (TP_1 ... TP_K, FP_1 ... FP_K)``, all whole numbers."""

    coefficients: tuple[int, ...]
    constant: int = 0

    def __add__(self, other: Affine) -> Affine:
        return self._join(other, 1)

    def __sub__(self, other: Affine) -> Affine:
        return self._join(other, -1)

    def __mul__(self, factor: int) -> Affine:
        return Affine(
            coefficients=tuple(factor * one for one in self.coefficients), constant=factor * self.constant
        )

    def at(self, point: Sequence[int]) -> int:
        """Its value."""
        return self.constant + sum(a * int(x) for a, x in zip(self.coefficients, point, strict=True))

    @property
    def fixed(self) -> bool:
        """Whether it is a constant."""
        return not any(self.coefficients)

    def _join(self, other: Affine, sign: int) -> Affine:
        both = zip(self.coefficients, other.coefficients, strict=True)
        return Affine(
            coefficients=tuple(a + sign * b for a, b in both),
            constant=self.constant + sign * other.constant,
        )


@dataclass(frozen=True, kw_only=True)
class Term:
    """``weight * above / below``."""

    above: Affine
    below: Affine
    weight: Fraction = Fraction(1)


class Counts:
    """The affine functions that definitions are made of, for classes of known size.

    Args:
        supports: Pictures of each class, n_1 ... n_K.
    """

    def __init__(self, supports: Sequence[int]) -> None:
        self.supports = tuple(int(one) for one in supports)
        self.size = len(self.supports)
        self.n = sum(self.supports)

    def fixed(self, value: int) -> Affine:
        """A constant."""
        return Affine(coefficients=(0,) * (2 * self.size), constant=value)

    def tp(self, i: int) -> Affine:
        """Pictures of class i that are called so."""
        return self._one(i)

    def fp(self, i: int) -> Affine:
        """Pictures of other classes that are called i."""
        return self._one(self.size + i)

    def fn(self, i: int) -> Affine:
        """Pictures of class i that are called otherwise."""
        return self.fixed(self.supports[i]) - self.tp(i)

    def tn(self, i: int) -> Affine:
        """Pictures of other classes that are not called i."""
        return self.fixed(self.n - self.supports[i]) - self.fp(i)

    def called(self, i: int) -> Affine:
        """Pictures that are called i."""
        return self.tp(i) + self.fp(i)

    def hits(self) -> Affine:
        """Right answers."""
        total = self.fixed(0)
        for i in range(self.size):
            total = total + self.tp(i)
        return total

    def _one(self, place: int) -> Affine:
        return Affine(coefficients=tuple(int(k == place) for k in range(2 * self.size)))


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One thing that a number may be.

    Attributes:
        name: As in ``macro_f1`` and ``f1:covid``.
        words: What it is, in a sentence's middle.
        terms: Its quotients for classes of given sizes; None where it is no such sum.
        index: The class it is of; None over all.
    """

    name: str
    words: str
    terms: Callable[[Counts], tuple[Term, ...]] | None
    index: int | None = None

    @property
    def family(self) -> str:
        """The name without the class."""
        return self.name.partition(":")[0]

    def at(self, point: Sequence[int], counts: Counts) -> Fraction:
        """Its value for true and false positives (TP_1 ... TP_K, FP_1 ... FP_K)."""
        if self.terms is None:
            return Fraction(_mcc(point, counts)).limit_denominator(10**12)
        total = Fraction(0)
        for term in self.terms(counts):
            below = term.below.at(point)
            if below:
                total += term.weight * Fraction(term.above.at(point), below)
        return total

    def of(self, confusion: npt.ArrayLike) -> Fraction:
        """Its value for a confusion matrix (K, K), rows the truth.

        >>> overall_definitions(3)["mean_ovr_accuracy"].of([[8, 2, 0], [0, 10, 0], [1, 0, 9]])
        Fraction(14, 15)
        """
        matrix = np.asarray(confusion, np.int64)
        return self.at(point_of(matrix), Counts(matrix.sum(axis=1).tolist()))


def point_of(confusion: IntArray) -> tuple[int, ...]:
    """(TP_1 ... TP_K, FP_1 ... FP_K) of a confusion matrix."""
    hits = np.diagonal(confusion)
    return tuple(int(one) for one in (*hits, *(confusion.sum(axis=0) - hits)))


#: Of one class against the rest: name -> words and quotients.
_BY_CLASS: dict[str, tuple[str, Callable[[Counts, int], tuple[Term, ...]]]] = {
    "sensitivity": ("sensitivity (recall)", lambda c, i: _share(c.tp(i), c.fixed(c.supports[i]))),
    "specificity": ("specificity", lambda c, i: _share(c.tn(i), c.fixed(c.n - c.supports[i]))),
    "ppv": ("PPV (precision)", lambda c, i: _share(c.tp(i), c.called(i))),
    "npv": ("NPV", lambda c, i: _share(c.tn(i), c.fixed(c.n) - c.called(i))),
    "f1": ("F1", lambda c, i: _share(c.tp(i) * 2, c.called(i) + c.fixed(c.supports[i]))),
    "ovr_accuracy": ("accuracy against the rest", lambda c, i: _share(c.tp(i) + c.tn(i), c.fixed(c.n))),
    "ovr_balanced_accuracy": (
        "balanced accuracy of hard labels",
        lambda c, i: (
            *_share(c.tp(i), c.fixed(c.supports[i]), Fraction(1, 2)),
            *_share(c.tn(i), c.fixed(c.n - c.supports[i]), Fraction(1, 2)),
        ),
    ),
    "jaccard": ("Jaccard index", lambda c, i: _share(c.tp(i), c.fp(i) + c.fixed(c.supports[i]))),
}

_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


def class_definitions(names: Sequence[str]) -> dict[str, Definition]:
    """Every definition of each class against the rest, by name and class."""
    return {
        f"{family}:{name}": Definition(
            name=f"{family}:{name}",
            words=f"{words} of {name}",
            terms=lambda counts, build=build, index=index: build(counts, index),  # type: ignore[misc]
            index=index,
        )
        for index, name in enumerate(names)
        for family, (words, build) in _BY_CLASS.items()
    }


def overall_definitions(size: int) -> dict[str, Definition]:
    """Every definition over ``size`` classes."""
    number = _NUMBERS.get(size, str(size))

    def mean(family: str, *, weighted: bool = False) -> Callable[[Counts], tuple[Term, ...]]:
        build = _BY_CLASS[family][1]

        def terms(counts: Counts) -> tuple[Term, ...]:
            weights = (
                [Fraction(one, counts.n) for one in counts.supports]
                if weighted
                else [Fraction(1, counts.size)] * counts.size
            )
            return tuple(
                Term(above=term.above, below=term.below, weight=term.weight * weight)
                for index, weight in enumerate(weights)
                for term in build(counts, index)
            )

        return terms

    found = [
        ("accuracy", f"{number}-class accuracy",
         lambda c: _share(c.hits(), c.fixed(c.n))),
        ("mean_ovr_accuracy", f"mean of the {number} one-vs-rest accuracies", mean("ovr_accuracy")),
        ("balanced_accuracy", "mean sensitivity over the classes (balanced accuracy)", mean("sensitivity")),
        ("macro_specificity", "mean specificity over the classes", mean("specificity")),
        ("weighted_specificity", "specificity weighted by class size", mean("specificity", weighted=True)),
        ("micro_specificity", "specificity of all one-vs-rest decisions together", _micro_specificity),
        ("macro_ppv", "mean PPV (precision) over the classes", mean("ppv")),
        ("weighted_ppv", "PPV (precision) weighted by class size", mean("ppv", weighted=True)),
        ("macro_npv", "mean NPV over the classes", mean("npv")),
        ("weighted_npv", "NPV weighted by class size", mean("npv", weighted=True)),
        ("macro_f1", "mean F1 over the classes", mean("f1")),
        ("weighted_f1", "F1 weighted by class size", mean("f1", weighted=True)),
        ("mean_ovr_balanced_accuracy", "mean balanced accuracy of hard labels over the classes",
         mean("ovr_balanced_accuracy")),
        ("kappa", "Cohen's kappa", _kappa),
        ("mcc", "Matthews correlation", None),
    ]  # fmt: skip
    return {name: Definition(name=name, words=words, terms=terms) for name, words, terms in found}


def _share(above: Affine, below: Affine, weight: Fraction = Fraction(1)) -> tuple[Term, ...]:
    return (Term(above=above, below=below, weight=weight),)


def _micro_specificity(counts: Counts) -> tuple[Term, ...]:
    """Each wrong answer is one false positive among n (K - 1) decisions that should be negative."""
    whole = counts.n * (counts.size - 1)
    return _share(counts.fixed(whole - counts.n) + counts.hits(), counts.fixed(whole))


def _kappa(counts: Counts) -> tuple[Term, ...]:
    chance = counts.fixed(0)
    for i, support in enumerate(counts.supports):
        chance = chance + counts.called(i) * support
    return _share(counts.hits() * counts.n - chance, counts.fixed(counts.n**2) - chance)


def _mcc(point: Sequence[int], counts: Counts) -> float:
    """Gorodkin (2004, Comput Biol Chem 28:367), over any number of classes; 0 where undefined."""
    size, n = counts.size, counts.n
    called = [point[i] + point[size + i] for i in range(size)]
    covariance = n * sum(point[:size]) - sum(a * b for a, b in zip(counts.supports, called, strict=True))
    spread = (n**2 - sum(one**2 for one in called)) * (n**2 - sum(one**2 for one in counts.supports))
    return covariance / math.sqrt(spread) if spread else 0.0
