from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pulmoscope.imaging import Preprocess
from pulmoscope.inference import Predictor
from pulmoscope.inference.views import VIEWS, View, apply_view
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier


def point(row: int, column: int, side: int = 41) -> torch.Tensor:
    picture = torch.zeros(1, 1, side, side)
    picture[0, 0, row, column] = 1.0
    return picture


def brightest(picture: torch.Tensor) -> tuple[int, int]:
    row, column = divmod(int(picture[0, 0].argmax()), picture.shape[3])
    return row, column


def test_a_shift_moves_the_content_right_and_down() -> None:
    # 0.1 of 41 pixels is 4.1: the point's weight goes mostly to the pixel 4 away.
    assert brightest(apply_view(point(20, 20), View(right=0.1))) == (20, 24)
    assert brightest(apply_view(point(20, 20), View(down=-0.1))) == (16, 20)


def test_a_zoom_moves_content_away_from_the_centre() -> None:
    assert brightest(apply_view(point(20, 28), View(zoom=1.25))) == (20, 30)
    assert brightest(apply_view(point(20, 30), View(zoom=0.8))) == (20, 28)


def test_gamma_is_the_logarithm_of_the_exponent() -> None:
    grey = torch.full((1, 1, 8, 8), 0.25)
    assert torch.allclose(apply_view(grey, View(gamma=np.log(2.0))), torch.tensor(0.0625))
    assert torch.allclose(apply_view(grey, View(gamma=-np.log(2.0))), torch.tensor(0.5))


def test_the_first_view_is_the_picture_and_no_view_mirrors_it() -> None:
    picture = torch.rand((1, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    assert apply_view(picture, VIEWS[0]) is picture
    left = point(20, 6)
    assert all(brightest(apply_view(left, view))[1] < 20 for view in VIEWS)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    head = HeadSpec(pool="flatten", dropout=0)
    spec = ModelSpec(
        backbone="residual_cnn", options={"width": 4}, size=64, channels=1, head=head, classes=("a", "b", "c")
    )
    network = build_classifier(spec, seed=1)
    torch.nn.init.normal_(network.head[-1].weight, generator=torch.Generator().manual_seed(2))  # type: ignore[arg-type]
    return Bundle(
        spec=spec,
        preprocess=Preprocess(size=64, channels=1, mean=(0.5,), std=(0.5,)),
        weights=dict(network.state_dict()),
        origin=WeightsOrigin(name="random", source="test"),
    )


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64)).astype(np.uint8)


def test_probabilities_are_the_mean_over_the_views(bundle: Bundle, pictures: np.ndarray) -> None:
    network = bundle.network()
    wanted = []
    for view in VIEWS[:3]:
        varied = apply_view(torch.from_numpy(pictures)[:, None].float() / 255, view)
        with torch.no_grad():
            wanted.append(torch.softmax(network(bundle.preprocess.to_input(varied)).double(), dim=1))
    got = Predictor(replace(bundle, views=3), precision="float32").probabilities(pictures)
    assert np.allclose(got, torch.stack(wanted).mean(dim=0).numpy(), atol=1e-5)
    assert not np.allclose(got, wanted[0].numpy(), atol=1e-3)
    assert np.allclose(got.sum(axis=1), 1)


def test_one_view_is_the_picture_alone(bundle: Bundle, pictures: np.ndarray) -> None:
    with torch.no_grad():
        logits = bundle.network()(bundle.preprocess.to_input(torch.from_numpy(pictures)))
    got = Predictor(bundle, precision="float32").probabilities(pictures)
    assert np.allclose(got, torch.softmax(logits.double(), dim=1).numpy(), atol=1e-6)


def test_views_are_kept_in_the_bundle(bundle: Bundle, tmp_path: object, pictures: np.ndarray) -> None:
    from pulmoscope.models import load_bundle

    again = load_bundle(replace(bundle, views=5).save(str(tmp_path)))
    assert again.views == 5
    one = Predictor(replace(bundle, views=5)).probabilities(pictures)
    assert np.array_equal(one, Predictor(again).probabilities(pictures))
