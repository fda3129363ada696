"""Weights from other runs, and in torchxrayvision's layout."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from pulmoscope.errors import BundleError, WeightsError
from pulmoscope.imaging import Preprocess
from pulmoscope.models import (
    Bundle,
    CascadeSpec,
    HeadSpec,
    ModelSpec,
    WeightsOrigin,
    build_backbone,
    build_network,
    input_statistics,
    load_weights,
)
from pulmoscope.models.weights import input_recipe

SMALL: dict[str, bool | int | float | str] = {"width": 2}


def stage(*classes: str, channels: int = 1) -> ModelSpec:
    return ModelSpec(
        backbone="residual_cnn", options=SMALL, size=64, channels=channels, head=HeadSpec(), classes=classes  # type: ignore[arg-type]
    )  # fmt: skip


def save_run(folder: Path, spec: ModelSpec | CascadeSpec, *, seed: int = 5) -> nn.Module:
    network = build_network(spec, seed=seed)
    channels = spec.channels if isinstance(spec, ModelSpec) else 1
    Bundle(
        spec=spec,
        preprocess=Preprocess(size=64, channels=channels, mean=(0.4,), std=(0.3,)),
        weights=network.state_dict(),
        origin=WeightsOrigin(name="imagenet", source="somewhere", licence="Apache-2.0"),
    ).save(folder / "model")
    return network.eval()


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("address", ["run={}", "run:{}", "run={}/model"])
def test_the_backbone_of_another_run(tmp_path: Path, address: str) -> None:
    source = save_run(tmp_path / "nih-7", stage("a", "b", "c"))
    weights = address.format(tmp_path / "nih-7")
    target = build_backbone("Residual-CNN", channels=1, options=SMALL)
    origin = load_weights(target, "Residual-CNN", 1, weights)
    assert equal(target, source.backbone)  # type: ignore[arg-type]
    file = tmp_path / "nih-7" / "model" / "weights.safetensors"
    assert origin.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert origin.name == "run=nih-7"
    assert origin.licence == "Apache-2.0"
    assert str(tmp_path) not in origin.model_dump_json()
    assert input_statistics("residual_cnn", weights) == ((0.4,), (0.3,))
    assert input_recipe("residual_cnn", weights)[::3] == (64, 1)


@pytest.mark.parametrize(("trained", "wanted"), [(1, 3), (3, 1)])
def test_a_run_of_another_number_of_channels_sees_the_same_grey_picture(
    tmp_path: Path, trained: int, wanted: int
) -> None:
    source = save_run(tmp_path, stage("a", "b", channels=trained))
    target = build_backbone("residual_cnn", channels=wanted, options=SMALL).eval()
    load_weights(target, "residual_cnn", wanted, f"run={tmp_path}")
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(
            target(grey.expand(-1, wanted, -1, -1)),
            source.backbone(grey.expand(-1, trained, -1, -1)),  # type: ignore[operator]
        )


def test_a_stage_of_a_cascade_is_named(tmp_path: Path) -> None:
    spec = CascadeSpec(
        first=stage("normal", "infected"), second=stage("pneumonia", "covid"), node="infected",
        classes=("normal", "pneumonia", "covid"),
    )  # fmt: skip
    source = save_run(tmp_path / "c", spec)
    for which in ("first", "second"):
        target = build_backbone("residual_cnn", channels=1, options=SMALL)
        origin = load_weights(target, "residual_cnn", 1, f"run={tmp_path / 'c'}#{which}")
        assert equal(target, getattr(source, which).backbone)
        assert origin.name == f"run=c#{which}"
    with pytest.raises(WeightsError, match=r"is a cascade of two networks; expected .*#first or .*#second"):
        load_weights(target, "residual_cnn", 1, f"run={tmp_path / 'c'}")


def test_what_does_not_fit_a_run_is_one_clear_error(tmp_path: Path) -> None:
    save_run(tmp_path / "run", stage("a", "b"))
    run = f"run={tmp_path / 'run'}"
    with pytest.raises(WeightsError, match="trained another backbone; expected plain_cnn; got residual_cnn"):
        load_weights(build_backbone("plain_cnn", channels=1), "plain_cnn", 1, run)
    with pytest.raises(WeightsError, match=r"run=run \(its options: width=2\) does not fit"):
        load_weights(build_backbone("residual_cnn", channels=1), "residual_cnn", 1, run)
    small = build_backbone("residual_cnn", channels=1, options=SMALL)
    with pytest.raises(WeightsError, match="is one network, not a cascade"):
        load_weights(small, "residual_cnn", 1, f"{run}#first")
    with pytest.raises(BundleError, match="holds no model"):
        load_weights(small, "residual_cnn", 1, f"run={tmp_path / 'none'}")
    (tmp_path / "crossval" / "folds").mkdir(parents=True)
    with pytest.raises(WeightsError, match="one model a fold"):
        load_weights(small, "residual_cnn", 1, f"run={tmp_path / 'crossval'}")
    with pytest.raises(WeightsError, match="nobody publishes weights of residual_cnn"):
        load_weights(small, "residual_cnn", 1, "imagenet")


def test_more_blocks_than_wanted_are_not_cut_off_in_silence(tmp_path: Path) -> None:
    spec = ModelSpec(
        backbone="plain_cnn", options={"blocks": 4}, channels=1, head=HeadSpec(), classes=("a", "b")
    )
    save_run(tmp_path, spec)
    shallow = build_backbone("plain_cnn", channels=1, options={"blocks": 3})
    with pytest.raises(WeightsError, match="has no place"):
        load_weights(shallow, "plain_cnn", 1, f"run={tmp_path}")


@pytest.fixture(scope="module")
def published() -> nn.Module:
    """torchxrayvision's network as its source has it: torchvision's DenseNet-121 of one channel."""
    from torchvision.models import densenet121

    torch.manual_seed(0)
    network = densenet121(num_classes=18)
    network.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1)
    network.register_buffer("op_threshs", torch.rand(18))
    return network.eval()


@pytest.fixture(scope="module")
def file_of_the_same_keys(published: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its state dictionary, with the dense layers under the names that old PyTorch gave them."""
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])")
    path = tmp_path_factory.mktemp("xrv") / "densenet121-res224.pt"
    torch.save({old.sub(r"\1.\2", name): value for name, value in published.state_dict().items()}, path)
    assert "features.denseblock1.denselayer1.norm.1.weight" in torch.load(path, weights_only=True)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_torchxrayvision_weights_give_its_features(
    published: nn.Module, file_of_the_same_keys: Path, channels: int
) -> None:
    backbone = build_backbone("DenseNet121", channels=channels).eval()
    weights = f"xrv:file:{file_of_the_same_keys}"
    origin = load_weights(backbone, "DenseNet121", channels, weights)
    assert origin.sha256 == hashlib.sha256(file_of_the_same_keys.read_bytes()).hexdigest()
    assert str(file_of_the_same_keys.parent) not in origin.model_dump_json()

    recipe = input_recipe("densenet121", weights)
    preprocess = Preprocess(size=64, mean=recipe.mean, std=recipe.std, channels=channels)  # type: ignore[arg-type]
    levels = torch.arange(64 * 64).reshape(1, 64, 64).mul(7).remainder(256).to(torch.uint8)
    inputs = preprocess.to_input(levels)
    # xrv.datasets.normalize: (2 * (img / maxval) - 1) * 1024
    theirs = (2 * (levels[:, None].float() / 255) - 1) * 1024
    torch.testing.assert_close(inputs[:, :1], theirs, rtol=1e-5, atol=1e-3)
    assert (float(theirs.min()), float(theirs.max())) == (-1024, 1024)
    with torch.inference_mode():
        expected = torch.relu(published.features(theirs)).mean(dim=(2, 3))  # type: ignore[operator]
        torch.testing.assert_close(backbone(inputs), expected, rtol=1e-3, atol=1e-3)
    assert (recipe.size, recipe.channels) == (224, 1)


def test_torchxrayvision_weights_from_a_checksummed_url(file_of_the_same_keys: Path) -> None:
    checksum = hashlib.sha256(file_of_the_same_keys.read_bytes()).hexdigest()
    backbone = build_backbone("densenet121", channels=1)
    weights = f"xrv:url:{file_of_the_same_keys.as_uri()}#sha256={checksum}"
    assert load_weights(backbone, "densenet121", 1, weights).name == weights
    with pytest.raises(WeightsError, match="not the file it should be"):
        load_weights(backbone, "densenet121", 1, weights[:-64] + "0" * 64)


def test_what_is_no_state_dictionary_of_a_densenet_is_refused(published: nn.Module, tmp_path: Path) -> None:
    backbone = build_backbone("densenet121", channels=1)
    torch.save(nn.Sequential(nn.Linear(1, 1)), tmp_path / "whole.pt")
    with pytest.raises(WeightsError, match=r"refused; remedy: .*torch.save\(model.state_dict\(\)"):
        load_weights(backbone, "densenet121", 1, f"xrv:file:{tmp_path / 'whole.pt'}")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"layout; expected features.conv0.weight; got conv.weight"):
        load_weights(backbone, "densenet121", 1, f"xrv:file:{tmp_path / 'other.pt'}")
    with pytest.raises(WeightsError, match="expected model.backbone=densenet121; got resnet18"):
        load_weights(backbone, "resnet18", 1, f"xrv:file:{tmp_path / 'other.pt'}")
    with pytest.raises(WeightsError, match="no weights file"):
        load_weights(backbone, "densenet121", 1, f"xrv:file:{tmp_path / 'none.pt'}")
