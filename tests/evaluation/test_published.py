"""The predictions that the authors of a published system put online, judged from the table alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binomtest

from pulmoscope.evaluation import Predictions, evaluate


@pytest.fixture(scope="module")
def published(real_data: Path) -> Predictions:
    file = real_data / "published_predictions" / "pal_paul_2021.csv"
    if not file.is_file():
        pytest.skip(f"no published predictions here: {file.name} is not in the data folder")
    frame = pd.read_csv(file).rename(columns={"row": "image_id", "y_true": "label", "y_pred": "prediction"})
    return Predictions(frame.drop(columns="group"))


def test_inceptionv3_is_right_in_96_36_per_cent(published: Predictions) -> None:
    found = evaluate(published, model="50e_InceptionV3_360x360_128-32-3", replicates=100)
    assert found.n == 3432
    assert [metrics.support for metrics in found.classes.values()] == [1000, 1432, 1000]
    assert round(100 * found.accuracy.value, 2) == 96.36
    assert (round(100 * found.accuracy.low, 1), round(100 * found.accuracy.high, 1)) == (95.7, 96.9)
    other = binomtest(int(found.confusion.trace()), 3432).proportion_ci(method="wilson")
    assert (found.accuracy.low, found.accuracy.high) == (pytest.approx(other.low), pytest.approx(other.high))
    # What the paper prints, 97.57, is the mean of the three one-against-rest accuracies.
    one_vs_rest = 1 - 2 * (1 - found.accuracy.value) / 3
    assert round(100 * one_vs_rest, 2) == 97.57
    assert found.as_dict()["macro_auroc"]["value"] is None


def test_all_28_models_are_there(published: Predictions) -> None:
    assert len(published.models) == 28
    assert published.classes == ("0", "1", "2")
    assert published.probabilities is None
    best = evaluate(published, model="100e_InceptionV3_500x500_1024-1024-3", replicates=20)
    assert round(100 * best.accuracy.value, 2) == 96.45
