"""``intervals="exact"`` against SciPy's binomial test and a DeLong interval by another formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest, t

from pulmoscope.evaluation import Predictions, evaluate
from pulmoscope.evaluation.joined_interval import mean_interval

CLASSES = ("covid", "normal", "other")


def table(n: int = 90, *, sure: bool = False, a_patient: int = 2) -> Predictions:
    generator = np.random.default_rng(2)
    truth = np.arange(n) % 3
    chances = 0.6 * generator.dirichlet(np.ones(3), n) + 0.4 * np.eye(3)[truth]
    return Predictions.from_arrays(
        image_id=[str(at) for at in range(n)], probabilities=np.eye(3)[truth] if sure else chances, classes=CLASSES,
        label=[CLASSES[at] for at in truth], group_id=[f"p{at // a_patient}" for at in range(n)],
    )  # fmt: skip


def test_proportions_are_clopper_pearson() -> None:
    found = evaluate(table(a_patient=1), split=None, intervals="exact", replicates=20)
    counts = found.confusion
    for at, (name, rates) in enumerate(found.classes.items()):
        exact = binomtest(int(counts[at, at]), int(counts[at].sum())).proportion_ci(0.95, method="exact")
        assert (rates.sensitivity.low, rates.sensitivity.high) == pytest.approx((exact.low, exact.high)), name
        assert rates.sensitivity.method == "clopper-pearson"
    exact = binomtest(int(np.trace(counts)), 90).proportion_ci(0.95, method="exact")
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((exact.low, exact.high))
    assert (found.macro_f1.method, found.balanced_accuracy.method) == ("joined", "joined")
    # The mean's bounds are those of each class's exact interval joined; different pictures are not alike.
    parts = [one.sensitivity for one in found.classes.values()]
    wanted = mean_interval(
        [one.value for one in parts], [one.low for one in parts], [one.high for one in parts], np.eye(3)
    )
    assert (found.balanced_accuracy.low, found.balanced_accuracy.high) == pytest.approx(wanted)
    assert "Clopper-Pearson" in str(found)


def test_several_pictures_a_patient_are_said() -> None:
    (note,) = (
        one for one in evaluate(table(), split=None, intervals="exact", replicates=20).notes if "90" in one
    )
    assert "intervals of rates, F1 and their means are those of the effective sample size" in note
    assert "DeLong's take pictures as independent" in note


def test_aurocs_are_delong() -> None:
    predictions = table()
    scores, truth = predictions.probabilities, predictions.labels
    assert scores is not None
    found = evaluate(predictions, split=None, intervals="exact", replicates=20)
    for at, rates in enumerate(found.classes.values()):
        above, below = scores[truth == at, at], scores[truth != at, at]
        wins = (above[:, None] > below) + 0.5 * (above[:, None] == below)
        se = math.sqrt(wins.mean(1).var(ddof=1) / len(above) + wins.mean(0).var(ddof=1) / len(below))
        assert rates.auroc.value == pytest.approx(wins.mean())
        # Symmetric in the log-odds, whose standard error is that of the area times the slope there.
        sides = [(wins.mean(1).var(ddof=1), len(above)), (wins.mean(0).var(ddof=1), len(below))]
        degrees = se**4 / sum((variance / n) ** 2 / (n - 1) for variance, n in sides)
        half = t.ppf(0.975, degrees) * se / (wins.mean() * (1 - wins.mean()))
        assert (rates.auroc.low, rates.auroc.high) == pytest.approx(
            expit(logit(wins.mean()) + np.array([-half, half]))
        )
        assert rates.auroc.method == "delong"


def test_a_perfect_auroc_has_no_delong_interval_and_says_so() -> None:
    found = evaluate(table(sure=True), split=None, intervals="exact", replicates=20)
    assert found.classes["covid"].auroc.value == 1
    assert math.isnan(found.classes["covid"].auroc.low)
    assert any("DeLong's interval is undefined" in note for note in found.notes)
