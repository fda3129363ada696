from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pulmoscope.errors import BundleError
from pulmoscope.explanation import explain
from pulmoscope.imaging import Preprocess
from pulmoscope.models import (
    Bundle,
    CascadeClassifier,
    CascadeSpec,
    HeadSpec,
    ModelSpec,
    WeightsOrigin,
    build_network,
    load_bundle,
    route,
)

CLASSES = ("covid", "normal", "pneumonia")


def stage(*classes: str, output: str = "softmax") -> ModelSpec:
    return ModelSpec(
        backbone="residual_cnn", options={"width": 2}, size=64, channels=1, classes=classes,
        head=HeadSpec(dropout=0, output=output),  # type: ignore[arg-type]
    )  # fmt: skip


SPEC = CascadeSpec(
    first=stage("normal", "infected"), second=stage("pneumonia", "covid"), node="infected", classes=CLASSES
)


def cascade(spec: CascadeSpec = SPEC) -> CascadeClassifier:
    # With this seed something in a noise picture speaks for every class.
    network = build_network(spec, seed=0)
    assert isinstance(network, CascadeClassifier)
    return network.eval()


NETWORK = cascade()


def bundle(views: int = 1) -> Bundle:
    return Bundle(
        spec=SPEC,
        preprocess=Preprocess(size=64, channels=1),
        weights=cascade().state_dict(),
        origin=WeightsOrigin(name="random", source="seed"),
        views=views,
    )


def test_probabilities_by_hand() -> None:
    first, second = torch.tensor([[0.6, 0.4]]).log(), torch.tensor([[0.25, 0.75]]).log()
    # normal .6; pneumonia .4 * .25; covid .4 * .75
    found = NETWORK.join(first, second).exp()
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.6, 0.1]]))


def test_a_sigmoid_stage_by_hand() -> None:
    spec = CascadeSpec(
        first=stage("normal", "infected", output="sigmoid"), second=SPEC.second, node="infected", classes=CLASSES
    )  # fmt: skip
    # Sigmoids of 0 and log 3 are 1/2 and 3/4, divided by their sum: .4 and .6.
    found = cascade(spec).join(torch.tensor([[0.0, np.log(3)]]), torch.zeros(1, 2)).exp()
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.4, 0.3]]))


logit = st.floats(-1e4, 1e4, width=32)


@given(st.lists(logit, min_size=2, max_size=2), st.lists(logit, min_size=2, max_size=2))
@settings(max_examples=30, deadline=None)
def test_probabilities_sum_to_1_and_the_node_to_its_children(first: list[float], second: list[float]) -> None:
    log = NETWORK.join(torch.tensor([first]), torch.tensor([second]))
    assert torch.isfinite(log).all()
    found = torch.softmax(log.double(), dim=1)[0]
    assert float(found.sum()) == pytest.approx(1)
    node = torch.softmax(torch.tensor(first, dtype=torch.float64), dim=0)[1]
    assert float(found[0] + found[2]) == pytest.approx(float(node), abs=1e-5)
    # The hard routing read from the soft probabilities is that of the two stages one after the other.
    below = [2, 0][int(np.argmax(second))]
    by_stage = below if first[1] > first[0] else 1
    if abs(first[0] - first[1]) > 1e-2 and abs(second[0] - second[1]) > 1e-2 and max(np.abs(first)) < 50:
        assert route(found.numpy()[None], SPEC)[0] == by_stage


def test_routing_can_differ_from_the_likeliest_class() -> None:
    probabilities = np.array([[0.31, 0.4, 0.29], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])
    assert route(probabilities, SPEC).tolist() == [0, 1, 2]  # a tie of node and class goes to the class
    assert probabilities.argmax(axis=1).tolist() == [1, 1, 2]
    named = (("pneumonia", "covid", "normal"), "infected", ("covid", "pneumonia"))
    assert route(probabilities[:, [2, 0, 1]], named).tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="below the node"):
        route(probabilities, (CLASSES, "infected", ("covid", "flu")))


def test_forward_is_both_stages_joined() -> None:
    pictures = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        log = NETWORK(pictures)
        first = torch.softmax(NETWORK.first(pictures), dim=1)
        second = torch.softmax(NETWORK.second(pictures), dim=1)
        probabilities = NETWORK.log_probabilities(log).exp()
    expected = torch.stack([first[:, 1] * second[:, 1], first[:, 0], first[:, 1] * second[:, 0]], dim=1)
    torch.testing.assert_close(probabilities, expected)
    torch.testing.assert_close(log.exp(), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node": "sick"}, "first.classes: expected 'sick'"),
        ({"second": stage("pneumonia", "normal")}, "stands twice"),
        ({"second": stage("pneumonia", "infected")}, "stands twice"),
        ({"classes": ("normal", "covid")}, "classes: expected"),
        ({"second": stage("pneumonia", "covid").model_copy(update={"size": 96})}, "same pictures"),
    ],
)
def test_classes_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    content = {"first": SPEC.first, "second": SPEC.second, "node": SPEC.node, "classes": SPEC.classes}
    with pytest.raises(ValidationError, match=message):
        CascadeSpec.model_validate(content | changes)


def test_one_bundle_holds_both_stages(tmp_path: Path) -> None:
    again = load_bundle(bundle(views=4).save(tmp_path))
    pictures = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again.network()(pictures), NETWORK(pictures))
    assert again.spec == SPEC
    assert again.classes == CLASSES
    assert again.views == 4
    assert {name.partition(".")[0] for name in again.weights} == {"first", "second"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "weights.safetensors"]
    assert json.loads((tmp_path / "model.json").read_text())["kind"] == "cascade"


def test_stages_of_other_classes_are_refused(tmp_path: Path) -> None:
    folder = bundle().save(tmp_path)
    content = json.loads((folder / "model.json").read_text())
    content["architecture"]["node"] = "sick"
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("target", "which"), [("covid", "second"), ("pneumonia", "second"), ("normal", "first")]
)
def test_the_stage_that_decides_is_explained(target: str, which: str) -> None:
    whole = bundle()
    prefix = f"{which}."
    alone = Bundle(
        spec=getattr(SPEC, which),
        preprocess=whole.preprocess,
        weights={n.removeprefix(prefix): v for n, v in whole.weights.items() if n.startswith(prefix)},
        origin=whole.origin,
    )
    image = np.random.default_rng(0).random((64, 64), np.float32)
    heat = explain(whole, image, target=target)
    assert np.array_equal(heat, explain(alone, image, target=target))
    assert heat.max() > 0


def test_by_default_the_class_that_the_cascade_gives_is_explained() -> None:
    whole = bundle()
    image = np.random.default_rng(0).random((64, 64), np.float32)
    inputs = whole.preprocess.to_input(torch.from_numpy(whole.preprocess.to_store(image))[None])
    with torch.inference_mode():
        answer = CLASSES[int(NETWORK(inputs).argmax())]
    assert np.array_equal(explain(whole, image), explain(whole, image, target=answer))
