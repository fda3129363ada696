"""Members' probabilities to one: mean, weighted mean, and stacked by multinomial logistic regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation.calibrator_math import FLOOR, log_probabilities
from pulmoscope.evaluation.uncertainty import checked_members

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
EnsembleMethod = Literal["mean", "weighted", "stacked"]

#: Log loss in nats within which the weights are of the best ones, but for weights that are left out: twice.
WEIGHTS_WITHIN = 1e-6
_MOST_STEPS = 100_000
_NEGLIGIBLE = 1e-3


class Combination(Protocol):
    """Maps members' probabilities to one set."""

    @property
    def method(self) -> str:
        """Its name in JSON."""
        ...

    def apply(self, members: npt.ArrayLike) -> FloatArray:
        """Map (T, N, C) to (N, C), rows summing to 1.

        Raises:
            ValueError: Another number of members or classes.
        """
        ...

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        ...


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A weighted mean of probabilities.

    Attributes:
        method: ``"mean"`` where all weights are alike by decision, ``"weighted"`` where they were fitted.
        weights: One a member, at least 0, summing to 1.
    """

    method: str
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-9:
            raise ValueError(f"expected weights of at least 0 that sum to 1, got {self.weights}")

    def apply(self, members: npt.ArrayLike) -> FloatArray:
        """Map (T, N, C) to (N, C)."""
        values = _of(members, len(self.weights))
        return np.asarray(np.einsum("t,tnc->nc", np.asarray(self.weights), values), np.float64)

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {"method": self.method, "weights": list(self.weights)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Stacked:
    """The softmax of a linear map of the members' log-probabilities.

    Attributes:
        coefficients: (C, T * C): of member t's class c at column ``t * C + c``.
        intercepts: (C,).
    """

    method: ClassVar[str] = "stacked"

    coefficients: FloatArray
    intercepts: FloatArray

    def apply(self, members: npt.ArrayLike) -> FloatArray:
        """Map (T, N, C) to (N, C)."""
        classes = len(self.intercepts)
        values = _of(members, self.coefficients.shape[1] // classes, classes)
        logits = _columns(values) @ self.coefficients.T + self.intercepts
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form."""
        return {
            "method": self.method, "coefficients": self.coefficients.tolist(),
            "intercepts": self.intercepts.tolist(),
        }  # fmt: skip


def equal_weights(members: int) -> Weighted:
    """The plain mean of T members."""
    return Weighted(method="mean", weights=(1 / members,) * members)


def fit_combination(
    truth: npt.ArrayLike, members: npt.ArrayLike, method: EnsembleMethod | str
) -> Combination:
    """Fit a way to combine on validation pictures.

    Args:
        truth: True classes, (N,) integers in [0, C); not looked at for the mean.
        members: Probabilities, (T, N, C).
        method: ``"mean"`` fits nothing; ``"weighted"`` T - 1 numbers; ``"stacked"`` (T C + 1) C, which wants many more
            pictures than that.

    Raises:
        PulmoscopeError: No such method, or no picture of some class to stack on.
        ValueError: The shapes do not fit.
    """
    if method not in get_args(EnsembleMethod):
        raise PulmoscopeError(
            "unknown way to combine models", code="E_OPTION", expected=", ".join(get_args(EnsembleMethod)),
            got=repr(method),
        )  # fmt: skip
    values, labels = checked_members(members), np.asarray(truth, np.int64)
    if labels.shape != values.shape[1:2]:
        raise ValueError(f"expected one true class a picture, got {labels.shape} and {values.shape}")
    if method == "mean":
        return equal_weights(len(values))
    return fit_weights(labels, values) if method == "weighted" else fit_stack(labels, values)


def fit_weights(truth: IntArray, members: FloatArray) -> Weighted:
    """The weights on the simplex with the least log loss of the weighted mean.

    The loss is convex in the weights. Expectation maximisation of mixing proportions (Dempster, Laird and Rubin 1977,
    JRSS B 39:1, section 4.3) lowers it at each step and stays on the simplex; it ends where the loss is within
    :data:`WEIGHTS_WITHIN` of the least, as the largest slope shows: by convexity no weights are better by more. Weights
    below a thousandth become 0 where the loss rises by no more than :data:`WEIGHTS_WITHIN` again.

    Args:
        truth: (N,) integers in [0, C), N of at least 1.
        members: (T, N, C).

    Raises:
        ValueError: There are no pictures.
    """
    if not len(truth):
        raise ValueError("there are no pictures to fit weights on")
    of_truth = np.maximum(members[:, np.arange(len(truth)), truth], FLOOR)
    weights = np.full(len(members), 1 / len(members))
    for _ in range(_MOST_STEPS):
        gain = (of_truth / (weights @ of_truth)).mean(axis=1)
        if gain.max() - 1 <= WEIGHTS_WITHIN:
            break
        weights = weights * gain
    weights = weights / weights.sum()
    # The steps never reach 0; a member that is worth nothing gets nothing.
    fewer = np.where(weights < min(_NEGLIGIBLE, weights.max()), 0.0, weights)
    fewer = fewer / fewer.sum()
    if (np.log(weights @ of_truth) - np.log(fewer @ of_truth)).mean() <= WEIGHTS_WITHIN:
        weights = fewer
    return Weighted(method="weighted", weights=tuple(float(one) for one in weights))


def fit_stack(truth: IntArray, members: FloatArray) -> Stacked:
    """Multinomial logistic regression on the members' log-probabilities (Wolpert 1992, Neural Networks 5:241).

    Coefficients are held small by L2 of strength 1 (scikit-learn's ``C=1``), intercepts are free.

    Args:
        truth: (N,) integers in [0, C).
        members: (T, N, C).

    Raises:
        PulmoscopeError: A class has no picture.
    """
    classes = members.shape[2]
    counts = np.bincount(truth, minlength=classes)
    if not counts.all():
        raise PulmoscopeError(
            "a class has no picture among those to stack on", code="E_ENSEMBLE",
            expected="validation pictures of every class", got=f"{int((counts == 0).sum())} classes without",
            remedy="use mean or weighted",
        )  # fmt: skip
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1.0, max_iter=10_000, tol=1e-8).fit(_columns(members), truth)
    coefficients, intercepts = fitted.coef_, fitted.intercept_
    if classes == 2:
        # Of two classes scikit-learn gives the second's log-odds alone: the first's logit is 0.
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.array([0.0, intercepts[0]])
    return Stacked(
        coefficients=np.asarray(coefficients, np.float64), intercepts=np.asarray(intercepts, np.float64)
    )


def combination_from_dict(content: Mapping[str, Any]) -> Combination:
    """Read the JSON form of a combination back.

    Raises:
        PulmoscopeError: It is none, or damaged.
    """
    try:
        if content["method"] == "stacked":
            coefficients = np.asarray(content["coefficients"], np.float64)
            intercepts = np.asarray(content["intercepts"], np.float64)
            if coefficients.ndim != 2 or intercepts.shape != coefficients.shape[:1]:
                raise ValueError(f"shapes {coefficients.shape} and {intercepts.shape}")
            return Stacked(coefficients=coefficients, intercepts=intercepts)
        if content["method"] not in get_args(EnsembleMethod):
            raise ValueError(f"method {content['method']!r}")
        return Weighted(method=content["method"], weights=tuple(map(float, content["weights"])))
    except (KeyError, TypeError, ValueError) as error:
        raise PulmoscopeError(
            "this is no stored combination of models", code="E_ENSEMBLE",
            got=f"{type(error).__name__}: {error}"[:200], remedy="fit it again on the validation part",
        ) from error  # fmt: skip


def _columns(members: FloatArray) -> FloatArray:
    """Log-probabilities (N, T * C) of members (T, N, C)."""
    count, rows, classes = members.shape
    return log_probabilities(members).transpose(1, 0, 2).reshape(rows, count * classes)


def _of(members: npt.ArrayLike, count: int, classes: int | None = None) -> FloatArray:
    values = checked_members(members)
    if len(values) != count or (classes is not None and values.shape[2] != classes):
        raise ValueError(f"expected {count} members of {classes or 'any'} classes, got shape {values.shape}")
    return values
