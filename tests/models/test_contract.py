"""What every registered backbone must do. It is tested the moment it is registered."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from pulmoscope.imaging import Preprocess
from pulmoscope.models import (
    Bundle,
    Classifier,
    HeadSpec,
    ModelSpec,
    WeightsOrigin,
    build_classifier,
    freeze,
    load_bundle,
    registered,
    unfreeze,
)


def smallest(name: str) -> tuple[Classifier, int]:
    """A classifier, and the smallest of a few sizes of picture that its backbone takes."""
    spec = ModelSpec(backbone=name, channels=1, head=HeadSpec(dropout=0), classes=("a", "b", "c"))
    network = build_classifier(spec, seed=0)
    # Smaller maps are of 1 x 1, whose batch normalisation over 2 pictures has gradients without bounds.
    for size in (64, 96, 128):
        try:
            with torch.no_grad():
                network.eval()(torch.zeros(1, 1, size, size))
        except RuntimeError:
            continue
        return network, size
    raise AssertionError(f"{name} takes no picture of 128 pixels")


@pytest.mark.parametrize("name", registered())
def test_backbone(name: str, tmp_path: Path) -> None:
    network, size = smallest(name)
    preprocess = Preprocess(size=size, channels=1)
    grey = torch.randint(0, 256, (2, size, size), generator=torch.Generator().manual_seed(0))
    inputs = preprocess.to_input(grey.to(torch.uint8))

    width = network.backbone.num_features
    with torch.inference_mode():
        maps = network.backbone.forward_features(inputs)  # type: ignore[operator]
        pooled = network.features(inputs)
    assert maps.ndim == 4
    assert maps.shape[:2] == pooled.shape == (2, width)
    torch.testing.assert_close(pooled, maps.mean(dim=(2, 3)), rtol=1e-3, atol=1e-5)

    frozen = freeze(network.backbone, 0.5)
    held = {id(p) for layer in frozen for p in layer.parameters()}
    assert held == {id(p) for p in network.parameters() if not p.requires_grad}
    assert 0 < len(held) < len(list(network.backbone.parameters()))
    before = [p.detach().clone() for p in network.parameters()]
    network.train()
    for layer in frozen:
        layer.eval()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    loss = nn.functional.cross_entropy(network(inputs), torch.tensor([0, 2]))
    assert torch.isfinite(loss)
    loss.backward()
    optimizer.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    assert not any(m for m, p in zip(moved, network.parameters(), strict=True) if id(p) in held)
    assert moved[-1]
    assert any(m for m, p in zip(moved, network.backbone.parameters(), strict=False) if id(p) not in held)
    unfreeze(network.backbone)
    assert all(p.requires_grad for p in network.parameters())

    bundle = Bundle(
        spec=network.spec,
        preprocess=preprocess,
        weights=network.state_dict(),
        origin=WeightsOrigin(name="random", source="seed"),
    )
    again = load_bundle(bundle.save(tmp_path / "model")).network()
    with torch.inference_mode():
        outputs = network.eval()(inputs)
        assert torch.isfinite(outputs).all()
        assert torch.equal(outputs, again(inputs))
    shutil.rmtree(tmp_path / "model")
