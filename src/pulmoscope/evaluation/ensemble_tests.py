"""An ensemble against each of its members on the same pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pulmoscope.evaluation.bootstrap import draw_weights, group_codes
from pulmoscope.evaluation.calibrator_math import FLOOR
from pulmoscope.evaluation.compare import paired_tests
from pulmoscope.evaluation.compare_words import metric_title, show_difference
from pulmoscope.evaluation.comparison import MetricDifference
from pulmoscope.evaluation.ensemble import Ensemble
from pulmoscope.evaluation.p_value import show_p
from pulmoscope.evaluation.paired import McNemar, holm, paired_difference
from pulmoscope.evaluation.predictions import Predictions

FloatArray = npt.NDArray[np.float64]

ENSEMBLE = "ensemble"
LOG_LOSS = "log_loss"
#: Of the paired tests, beside the log loss.
METRICS = ("accuracy", "macro_auroc")
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class AgainstMember:
    """The ensemble beside one member.

    Attributes:
        member: Its name.
        differences: ``accuracy``, ``macro_auroc`` and ``log_loss`` to the difference, ensemble minus member; p-values
            are corrected by Holm over the members, each metric apart. Of the log loss less is better.
        mcnemar: The member first.
    """

    member: str
    differences: dict[str, MetricDifference]
    mcnemar: McNemar

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, None where undefined."""
        told = self.mcnemar
        return {
            "member": self.member,
            "differences": {name: one.as_dict() for name, one in self.differences.items()},
            "mcnemar": {
                "only_member": told.only_first, "only_ensemble": told.only_second, "exact_p": told.exact_p,
                "mid_p": told.mid_p,
            },
        }  # fmt: skip

    def sentences(self) -> tuple[str, ...]:
        """A line a metric: which is better, if any can be told."""
        return tuple(_sentence(self.member, metric, one) for metric, one in self.differences.items())


def against_members(
    ensemble: Ensemble, *, replicates: int = 2000, seed: int = 0
) -> tuple[AgainstMember, ...]:
    """Test the ensemble against each member on the judged pictures.

    Only these pairs are tested, so Holm's correction is over them: members against each other are ``compare``'s.

    Args:
        ensemble: With its members.
        replicates: Of the bootstrap over groups.
        seed: Of the bootstrap.
    """
    judged = ensemble.judged
    found = []
    for name, member in ensemble.members.items():
        # Weights of 1 and 0 leave one member but for rounding, which is nothing to be tested.
        beside = member if np.allclose(_soft(member), _soft(judged), rtol=0, atol=_ROUNDING) else judged
        compared = paired_tests(member, beside, metrics=METRICS, replicates=replicates, seed=seed)
        loss = _log_loss_difference(member, beside, replicates=replicates, seed=seed)
        found.append(
            AgainstMember(
                member=name, differences={**compared.differences, LOG_LOSS: loss}, mcnemar=compared.mcnemar
            )
        )
    for metric in (*METRICS, LOG_LOSS):
        for one, corrected in zip(found, holm([one.differences[metric].p for one in found]), strict=True):
            one.differences[metric] = replace(one.differences[metric], holm_p=float(corrected))
    return tuple(found)


def _soft(table: Predictions) -> FloatArray:
    if table.probabilities is None:
        raise ValueError("hard labels have no log loss")
    return table.probabilities


def _losses(table: Predictions) -> FloatArray:
    """Minus the logarithm of each true class's probability, in nats; one below 1e-12 counts as that."""
    own = _soft(table)[np.arange(len(table)), table.labels]
    return np.asarray(-np.log(np.maximum(own, FLOOR)), np.float64)


def _log_loss_difference(
    member: Predictions, ensemble: Predictions, *, replicates: int, seed: int
) -> MetricDifference:
    codes, groups = group_codes(ensemble.groups)
    first, second = _losses(member), _losses(ensemble)
    sums = np.stack([np.bincount(codes, one, groups) for one in (first, second, np.ones(len(codes)))])
    drawn = np.array(
        [sums @ weights for weights in draw_weights(groups, replicates, np.random.default_rng(seed))]
    )
    told = paired_difference(
        float(first.mean()), float(second.mean()), drawn[:, 0] / drawn[:, 2], drawn[:, 1] / drawn[:, 2],
        groups=groups,
    )  # fmt: skip
    return MetricDifference(
        first=told.first, second=told.second, difference=told.difference, low=told.low, high=told.high,
        p=told.p, holm_p=told.p, test="bootstrap", undefined_replicates=told.undefined_replicates,
    )  # fmt: skip


def _sentence(member: str, metric: str, told: MetricDifference) -> str:
    title = metric_title(metric).replace("_", " ")
    if math.isnan(told.difference):
        return f"{member}: {title} is undefined"
    if told.told_apart:
        better = (told.difference > 0) != (metric == LOG_LOSS)
        verdict = f"the ensemble is {'better' if better else 'worse'} than {member} by {title}"
    else:
        verdict = f"the ensemble and {member} cannot be told apart by {title}"
    return (
        f"{verdict}: {told.second:.4f} and {told.first:.4f}, difference (ensemble minus {member}) "
        f"{show_difference(told)}, {show_p(told.p)}, after Holm over the members {show_p(told.holm_p)}"
    )
