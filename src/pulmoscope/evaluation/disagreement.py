"""Whether how unsure several answers are tells the model's wrong pictures from its right ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.delong import AurocInterval, delong_interval
from pulmoscope.evaluation.selective_table import auroc_dict
from pulmoscope.evaluation.uncertainty import EntropyParts, entropy_parts
from pulmoscope.files import or_null

PARTS = ("total", "expected", "mutual")


@dataclass(frozen=True, kw_only=True, eq=False)
class Disagreement:
    """The uncertainty of members, parted, beside the model's mistakes.

    Attributes:
        kind: What the members are, such as ``"dropout"`` or ``"views"``.
        members: T.
        parts: Of each picture, in nats.
        mean_right: Part (``total``, ``expected``, ``mutual``) to its mean over pictures answered right; NaN where
            none is.
        mean_wrong: The same over those answered wrong.
        wrong: Part to the AUROC of telling wrong from right by it, with DeLong's interval; NaN where all are right or
            all wrong.
        accuracy: Of the members' mean, in [0, 1]; NaN without pictures.
    """

    kind: str
    members: int
    parts: EntropyParts
    mean_right: Mapping[str, float]
    mean_wrong: Mapping[str, float]
    wrong: Mapping[str, AurocInterval]
    accuracy: float

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        return {
            "kind": self.kind, "members": self.members, "accuracy_of_mean": or_null(self.accuracy),
            "parts": {
                name: {
                    "mean_right": or_null(self.mean_right[name]), "mean_wrong": or_null(self.mean_wrong[name]),
                    "wrong_from_right": auroc_dict(self.wrong[name]),
                }
                for name in PARTS
            },
        }  # fmt: skip


def judge_members(
    members: npt.ArrayLike, labels: npt.ArrayLike, right: npt.ArrayLike, *, kind: str
) -> Disagreement:
    """Part the members' uncertainty and hold it against the model's mistakes.

    Args:
        members: Probabilities, (T, N, C).
        labels: True classes, (N,) integers in [0, C).
        right: Whether the model's own answer is right, (N,) booleans.
        kind: What the members are.

    Raises:
        ValueError: The shapes do not fit.
    """
    values, hits = np.asarray(members, np.float64), np.asarray(right).astype(bool)
    parts = entropy_parts(values)
    truth = np.asarray(labels, np.int64)
    if hits.shape != parts.total.shape or truth.shape != hits.shape:
        raise ValueError(f"expected a label and an answer a picture, got {truth.shape} and {hits.shape}")
    found: dict[str, npt.NDArray[np.float64]] = {name: getattr(parts, name) for name in PARTS}
    return Disagreement(
        kind=kind, members=len(values), parts=parts,
        mean_right={name: _mean(one[hits]) for name, one in found.items()},
        mean_wrong={name: _mean(one[~hits]) for name, one in found.items()},
        wrong={name: delong_interval(~hits, one) for name, one in found.items()},
        accuracy=_mean((values.mean(axis=0).argmax(axis=1) == truth).astype(np.float64)),
    )  # fmt: skip


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
