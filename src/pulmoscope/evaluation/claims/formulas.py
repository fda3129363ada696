"""A printed formula in TP, FP, TN and FN, and the metric that it is the formula of."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from fractions import Fraction

_NAMES = ("TP", "FP", "TN", "FN")
_LONGEST = 300
# Counts without small common factors, so that two formulas agree on all of them only if they are one.
_PLACES = ((97, 13, 89, 29), (31, 101, 47, 7), (11, 5, 103, 61), (71, 37, 3, 109))

#: Metric -> its formula.
FORMULAS: Mapping[str, str] = {
    "accuracy": "(TP + TN) / (TP + TN + FP + FN)",
    "sensitivity": "TP / (TP + FN)",
    "specificity": "TN / (TN + FP)",
    "ppv": "TP / (TP + FP)",
    "npv": "TN / (TN + FN)",
    "f1": "2 * TP / (2 * TP + FP + FN)",
    "balanced_accuracy": "(TP / (TP + FN) + TN / (TN + FP)) / 2",
    "jaccard": "TP / (TP + FP + FN)",
    "false_positive_rate": "FP / (FP + TN)",
    "false_negative_rate": "FN / (FN + TP)",
}


class FormulaError(ValueError):
    """The text is no formula that can be read."""


def parse_formula(text: str) -> Callable[[Mapping[str, int]], Fraction]:
    """Read a formula of sums, products and quotients of TP, FP, TN, FN and whole numbers; nothing else can be in it.

    Raises:
        FormulaError: It is none.

    >>> parse_formula("TP/(TP+FP)")({"TP": 3, "FP": 1, "TN": 0, "FN": 0})
    Fraction(3, 4)
    """
    try:
        if len(text) > _LONGEST:
            raise FormulaError(f"expected at most {_LONGEST} characters")
        tree = ast.parse(text, mode="eval").body
        _evaluate(tree, dict.fromkeys(_NAMES, 1))
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise FormulaError(
            f"expected sums, products and quotients of {', '.join(_NAMES)}, got {text[:60]!r}"
        ) from error
    except ZeroDivisionError:
        pass
    return lambda counts: _evaluate(tree, counts)


def formula_of(text: str) -> str | None:
    """The metric of :data:`FORMULAS` that ``text`` is the formula of; None where it is of none.

    >>> formula_of("TP / (FP + TP)")
    'ppv'
    """
    values = _values(text)
    if values is None:
        return None
    return next((name for name, formula in FORMULAS.items() if _values(formula) == values), None)


def _values(text: str) -> list[Fraction] | None:
    formula = parse_formula(text)
    try:
        return [formula(dict(zip(_NAMES, place, strict=True))) for place in _PLACES]
    except ZeroDivisionError:
        return None


def _evaluate(node: ast.expr, counts: Mapping[str, int]) -> Fraction:
    match node:
        case ast.Name(id=name) if name in counts:
            return Fraction(counts[name])
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return Fraction(value)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _evaluate(left, counts) + _evaluate(right, counts)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _evaluate(left, counts) - _evaluate(right, counts)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _evaluate(left, counts) * _evaluate(right, counts)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _evaluate(left, counts) / _evaluate(right, counts)
    raise FormulaError("something else")
