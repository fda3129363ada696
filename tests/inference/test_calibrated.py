"""The predictor applies the bundle's calibration, and calls at stored operating points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import Rule, Temperature, choose_threshold
from pulmoscope.imaging import Preprocess
from pulmoscope.inference import Predictor
from pulmoscope.inference.calls import called, prevalence_shift, stored_points
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier

CLASSES = ("covid", "pneumonia", "normal")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    spec = ModelSpec(
        backbone="residual_cnn", options={"width": 4}, size=64, channels=1, classes=CLASSES,
        head=HeadSpec(pool="flatten", dropout=0),
    )  # fmt: skip
    network = build_classifier(spec, seed=1)
    torch.nn.init.normal_(network.head[-1].weight, generator=torch.Generator().manual_seed(2))  # type: ignore[arg-type]
    return Bundle(
        spec=spec, preprocess=Preprocess(size=64, channels=1, mean=(0.5,), std=(0.5,)),
        weights=dict(network.state_dict()), origin=WeightsOrigin(name="random", source="test"), views=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def settled(bundle: Bundle) -> Bundle:
    """Calibrated, with validation shares of 1/2, 1/4 and 1/4."""
    truth, scores = np.array([0, 0, 1, 2]), [0.9, 0.4, 0.5, 0.1]
    points = tuple(
        choose_threshold(truth == index, scores, rule, name=name)
        for index, name in enumerate(CLASSES)
        for rule in (Rule(kind="youden"), Rule(kind="sensitivity", target=0.95))
    )
    return replace(bundle, calibration=Temperature(value=2.5, classes=3), operating_points=points)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64)).astype(np.uint8)


def test_the_calibration_is_applied_to_the_mean_over_the_views(
    bundle: Bundle, settled: Bundle, pictures: np.ndarray
) -> None:
    raw = Predictor(bundle).probabilities(pictures)
    mended = Predictor(settled).probabilities(pictures)
    # Temperature 2.5 by hand: the power 1/2.5, made to sum to 1; what is below 1e-12 counts as that.
    powered = np.maximum(raw, 1e-12) ** 0.4
    by_hand = powered / powered.sum(axis=1, keepdims=True)
    assert np.allclose(mended, by_hand, atol=1e-9)
    assert not np.allclose(mended, raw, atol=1e-3)
    assert Predictor(settled).probabilities(pictures[:0]).shape == (0, 3)
    one = Predictor(settled).predict(np.zeros((70, 50), np.float32))
    plain = Predictor(bundle).predict(np.zeros((70, 50), np.float32))
    assert one.keys() == plain.keys()
    assert one != plain


def test_a_prevalence_is_applied_last(settled: Bundle, pictures: np.ndarray) -> None:
    shift = prevalence_shift(settled, {"covid": 0.1, "pneumonia": 0.1, "normal": 0.8})
    assert (shift.old, shift.new) == ((0.5, 0.25, 0.25), (0.1, 0.1, 0.8))
    before = Predictor(settled).probabilities(pictures)
    after = Predictor(settled, prevalence=shift).probabilities(pictures)
    by_hand = before * [0.2, 0.4, 3.2]
    assert np.allclose(after, by_hand / by_hand.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"covid": 1.0}, "of every class; expected covid=SHARE,pneumonia=SHARE,normal=SHARE; got covid"),
        ({"covid": 0.5, "pneumonia": 0.1, "normal": 0.1}, "sum to 1; got covid 0.5"),
        ({"covid": float("nan"), "pneumonia": 0.5, "normal": 0.5}, "sum to 1"),
    ],
)
def test_a_wrong_prevalence_is_one_clear_line(
    settled: Bundle, shares: dict[str, float], message: str
) -> None:
    with pytest.raises(PulmoscopeError, match=message):
        prevalence_shift(settled, shares)


def test_without_calibration_no_prevalence(settled: Bundle) -> None:
    with pytest.raises(PulmoscopeError, match="needs calibrated probabilities"):
        prevalence_shift(replace(settled, calibration=None), dict.fromkeys(CLASSES, 1 / 3))


def test_calls_at_a_stored_rule(settled: Bundle, bundle: Bundle) -> None:
    points = stored_points(settled, "sensitivity >= 0.95")
    assert [point.positive for point in points] == list(CLASSES)
    # covid scored 0.9 and 0.4, the others 0.5 and 0.1: the highest threshold that keeps both is midway from 0.4
    # to 0.1.
    assert points[0].threshold == 0.25
    assert called(points[:1], {"covid": 0.25}) == {"covid": True}
    assert called(points[:1], {"covid": 0.2499}) == {"covid": False}
    undefined = choose_threshold([0, 0], [0.1, 0.2], Rule(kind="youden"), name="covid")
    assert called([undefined], {"covid": 0.9}) == {"covid": None}
    with pytest.raises(PulmoscopeError, match=r"'cost'; expected youden or sensitivity>=0.95$"):
        stored_points(settled, "cost")
    with pytest.raises(PulmoscopeError, match="remedy: choose them"):
        stored_points(bundle, "youden")
