"""Pruned networks: what is taken out by hand, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pulmoscope.errors import PulmoscopeError
from pulmoscope.explanation.pruning import _groups, _strongest, prune, recentred
from pulmoscope.imaging import Preprocess
from pulmoscope.inference import Predictor
from pulmoscope.models import (
    Bundle,
    CascadeSpec,
    Classifier,
    HeadSpec,
    ModelSpec,
    WeightsOrigin,
    build_network,
    load_bundle,
)

SIZE = 72
SMALL = {
    "plain_cnn": {"width": 4, "blocks": 3},
    "residual_cnn": {"width": 4, "dropout": 0.1},
    "dropout_cnn": {"width": 4, "blocks": 3},
    "ten_layer_cnn": {"width": 4},
}


def a_spec(name: str, *classes: str, **changes: object) -> ModelSpec:
    head = HeadSpec(pool="flatten", hidden=(6,), dropout=0)
    fields = {"backbone": name, "options": SMALL.get(name, {}), "size": SIZE, "channels": 1, "head": head}
    return ModelSpec.model_validate({**fields, "classes": classes or ("a", "b", "c"), **changes})


def a_bundle(spec: ModelSpec | CascadeSpec, *, seed: int = 0) -> Bundle:
    """Random weights, and batch normalisations as if trained."""
    network = build_network(spec, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for name, low in (("weight", 0.5), ("bias", -0.1), ("running_mean", -0.1), ("running_var", 0.5)):
                tensor = getattr(norm, name).data
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return Bundle(
        spec=spec, preprocess=Preprocess(size=SIZE, channels=1), weights=dict(network.state_dict()),
        origin=WeightsOrigin(name="random", source="seed"),
    )  # fmt: skip


def pictures(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def silence(bundle: Bundle, every: int) -> Bundle:
    """Set every so-manieth channel of each group to zero: filters, shifts and all."""
    network = bundle.network()
    assert isinstance(network, Classifier)
    modules = dict(network.named_modules())
    for group in _groups(network):
        for path, norm in group.producers:
            for module in (modules[path], None if norm is None else modules[norm]):
                for tensor in () if module is None else (module.weight, module.bias):
                    if tensor is not None:
                        tensor[::every] = 0
    return Bundle(
        spec=bundle.spec,
        preprocess=bundle.preprocess,
        origin=bundle.origin,
        weights=dict(network.state_dict()),
    )


@pytest.mark.parametrize("pool", ["flatten", "global"])
@pytest.mark.parametrize("name", list(SMALL))
def test_taking_out_silent_channels_changes_no_answer(name: str, pool: str, tmp_path: Path) -> None:
    head = HeadSpec.model_validate({"pool": pool, "hidden": (6,), "dropout": 0})
    whole = silence(a_bundle(a_spec(name, head=head)), every=2)
    found = prune(whole, 0.5)
    assert found.kind == "smaller"
    assert found.removed * 2 == found.channels
    assert found.parameters < 0.5 * sum(value.numel() for value in whole.weights.values())
    with torch.no_grad():
        before, after = whole.network()(pictures()), found.bundle.network()(pictures())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    assert before.std() > 1e-3
    # What is saved is built again from its spec, and the one inference path reads it.
    loaded = load_bundle(found.bundle.save(tmp_path / "model"))
    stored = np.random.default_rng(0).integers(0, 255, (4, SIZE, SIZE), np.uint8)
    given, wanted = (
        Predictor(one, device="cpu", precision="float32").probabilities(stored) for one in (loaded, whole)
    )
    np.testing.assert_allclose(given, wanted, atol=1e-5)


def test_sizes_by_hand() -> None:
    spec = a_spec("residual_cnn", options={"width": 8, "batch_norm": False}, head=HeadSpec(dropout=0))
    found = prune(a_bundle(spec), 0.25)
    assert isinstance(found.bundle.spec, ModelSpec)
    # 8, then 16, 32, 64 twice each, less a quarter.
    assert found.bundle.spec.options["widths"] == "6,12,12,24,24,48,48"
    weights = 9 * (6 + 6 * 12 + 2 * 12**2 + 12 * 24 + 2 * 24**2 + 24 * 48 + 2 * 48**2)
    biases = 6 + 3 * 12 + 3 * 24 + 3 * 48
    assert found.parameters == weights + biases + 48 * 3 + 3
    assert (found.removed, found.channels) == (58, 232)


def test_the_weakest_filter_goes() -> None:
    bundle = a_bundle(a_spec("plain_cnn", options={"width": 3, "blocks": 1}))
    weights = dict(bundle.weights)
    # By weights alone channel 2 is the weakest; its normalisation makes it the strongest, and channel 0 the weakest.
    weights["backbone.blocks.0.0.weight"] = (
        torch.tensor([3.0, 2.0, 1.0]).view(3, 1, 1, 1).expand(3, 1, 3, 3).clone()
    )
    weights["backbone.blocks.0.2.weight"] = torch.tensor([0.1, 1.0, 9.0])
    weights["backbone.blocks.0.2.running_var"] = torch.ones(3)
    changed = Bundle(spec=bundle.spec, preprocess=bundle.preprocess, weights=weights, origin=bundle.origin)
    kept = prune(changed, 0.34).bundle.weights["backbone.blocks.0.0.weight"]
    assert kept[:, 0, 0, 0].tolist() == [2.0, 1.0]
    assert prune(changed, 0.33).removed == 0


def test_both_stages_of_a_cascade() -> None:
    spec = CascadeSpec(
        first=a_spec("plain_cnn", "normal", "infected"), second=a_spec("residual_cnn", "covid", "other"),
        node="infected", classes=("normal", "covid", "other"),
    )  # fmt: skip
    found = prune(a_bundle(spec), 0.5)
    assert isinstance(found.bundle.spec, CascadeSpec)
    assert found.bundle.spec.first.options["widths"] == "2,4,8"
    assert found.bundle.spec.second.options["widths"] == "2,4,4,8,8,16,16"
    assert found.bundle.network()(pictures()).shape == (3, 3)


def test_other_backbones_are_masked_and_no_smaller() -> None:
    bundle = a_bundle(a_spec("resnet18", head=HeadSpec(dropout=0)))
    found = prune(bundle, 0.25)
    assert found.kind == "masks"
    assert found.parameters == sum(one.numel() for one in bundle.network().parameters())
    assert found.bundle.spec == bundle.spec
    stem = found.bundle.weights["backbone.conv1.weight"].flatten(1).abs().sum(dim=1)
    assert int((stem == 0).sum()) == 16
    network = found.bundle.network()
    with torch.no_grad():
        normalised = network.backbone.bn1(network.backbone.conv1(pictures()))  # type: ignore[union-attr, operator]
    # Of a silenced channel only what the running mean leaves, times a scale of 0.
    assert float(normalised[:, stem == 0].abs().max()) == 0.0
    assert prune(bundle, 0.0).removed == 0
    torch.testing.assert_close(prune(bundle, 0.0).bundle.weights, bundle.weights)


def test_means_are_set_right() -> None:
    whole = a_bundle(a_spec("plain_cnn"))
    bundle = prune(whole, 0.5).bundle
    first, second = pictures(6)[:4], pictures(6)[2:]
    after = recentred(bundle, whole, [first, second])
    network = bundle.network()
    with torch.no_grad():
        maps = [nn.functional.max_pool2d(network.backbone.blocks[0][0](one), 2) for one in (first, second)]  # type: ignore[index, operator, union-attr]
    mean = torch.stack([one.mean(dim=(0, 2, 3)) for one in maps]).mean(dim=0)
    spread = torch.stack([one.transpose(0, 1).flatten(1).var(dim=1) for one in maps]).mean(dim=0)
    torch.testing.assert_close(after.weights["backbone.blocks.0.2.running_mean"], mean)
    torch.testing.assert_close(after.weights["backbone.blocks.0.2.running_var"], spread)
    changed = {
        name for name, value in network.named_parameters() if not torch.equal(after.weights[name], value)
    }
    assert changed == {"head.1.bias"}
    with torch.no_grad():
        outputs = [
            torch.cat([one.head[1](one.features(batch)) for batch in (first, second)]).mean(dim=0)
            for one in (after.network(), whole.network(), network)
        ]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
    assert (outputs[2] - outputs[1]).abs().max() > 0.01


@given(st.lists(st.floats(0, 10), min_size=1, max_size=40), st.floats(0, 0.99))
@settings(max_examples=60, deadline=None)
def test_what_stays_is_at_least_as_strong_as_what_goes(scores: list[float], share: float) -> None:
    score = torch.tensor(scores)
    kept = _strongest(score, share).tolist()
    gone = [score[i] for i in range(len(scores)) if i not in kept]
    assert kept == sorted(set(kept))
    assert len(kept) >= 1
    assert len(gone) <= share * len(scores) + 1e-6
    assert not gone or max(gone) <= min(score[kept])


def test_refusals() -> None:
    with pytest.raises(PulmoscopeError, match=r"in \[0, 1\)"):
        prune(a_bundle(a_spec("plain_cnn")), 1.0)
    with pytest.raises(PulmoscopeError, match="widths"):
        build_network(a_spec("plain_cnn", options={"widths": "4,8"}), seed=0)
    with pytest.raises(PulmoscopeError, match="widths"):
        build_network(a_spec("residual_cnn", options={"widths": "4,8,8,8,8,8,0"}), seed=0)
