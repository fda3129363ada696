from __future__ import annotations

import itertools

import pytest
import torch

from pulmoscope.errors import RecipeError
from pulmoscope.models import (
    HeadSpec,
    ModelSpec,
    build_backbone,
    build_classifier,
    register,
    registered,
    resolve,
)
from pulmoscope.models.backbones import timm_names
from pulmoscope.models.names import USUAL, usual_name
from pulmoscope.models.registry import note_of, options_of


@pytest.mark.parametrize(
    ("spelling", "timm_name"),
    [
        ("MobileNetV2", "mobilenetv2_100"),
        ("VGG16", "vgg16"),
        ("DenseNet201", "densenet201"),
        ("Xception", "legacy_xception"),
        ("InceptionV3", "inception_v3"),
        ("InceptionResNetV2", "inception_resnet_v2"),
        ("ResNet50V2", "resnetv2_50"),
        ("ResNet152V2", "resnetv2_152"),
        ("NASNetLarge", "nasnetalarge"),
        ("EfficientNet-Lite1", "tf_efficientnet_lite1"),
        ("resnet18", "resnet18"),
        ("no_such_network", "no_such_network"),
    ],
)
def test_every_spelling_of_a_usual_name_is_one_network(spelling: str, timm_name: str) -> None:
    assert resolve(spelling) == timm_name


def test_the_table_takes_no_other_network_of_timm_by_accident() -> None:
    assert {usual.timm for usual in USUAL.values()} <= timm_names()
    taken = {name for name in timm_names() if resolve(name) != name}
    assert taken == {f"efficientnet_lite{i}" for i in range(3)}  # as the table says


def test_every_registered_name_has_a_note() -> None:
    assert all(note_of(name) for name in registered())
    assert set(registered()) >= {"plain_cnn", "residual_cnn", "dropout_cnn", "ten_layer_cnn", *USUAL}
    assert options_of("Plain-CNN")["blocks"] == 5


# Published in millions, cut after two digits, with the head 128-32-3 and Keras's count, which adds the running
# statistics of batch normalisation (Pal and Paul 2021, table of models).
@pytest.mark.parametrize(
    ("name", "published"),
    [("mobilenetv2", 2.42), ("vgg16", 14.78), ("densenet201", 18.57), ("xception", 21.12), ("nasnet_large", 85.43)],
)  # fmt: skip
def test_parameters_agree_with_system_e(name: str, published: float) -> None:
    spec = ModelSpec(
        backbone=name, channels=3, head=HeadSpec(hidden=(128, 32)), classes=("normal", "pneumonia", "covid")
    )
    network = build_classifier(spec, seed=0)
    statistics = [b for key, b in network.named_buffers() if not key.endswith("num_batches_tracked")]
    count = sum(tensor.numel() for tensor in [*network.parameters(), *statistics])
    assert int(count / 1e4) / 100 == published


def test_vgg_is_its_convolutions_pooled_globally_as_in_torchvision() -> None:
    from torchvision.models.vgg import cfgs, make_layers

    from pulmoscope.models.fitting import fit_by_name

    theirs = make_layers(cfgs["D"], batch_norm=False).eval()
    ours = build_backbone("VGG16", channels=3).eval()
    state = {f"features.{name}": value for name, value in theirs.state_dict().items()}
    fit_by_name(ours, state | {"classifier.0.weight": torch.zeros(1)}, "torchvision's VGG16")
    pictures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours(pictures), theirs(pictures).mean(dim=(2, 3)))
    # By hand: 9 weights a pair of channels and a bias a channel.
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert sum(p.numel() for p in ours.parameters()) == sum(
        9 * a * b + b for a, b in itertools.pairwise(widths)
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("plain_cnn", {"block": 4}, "no option 'block'; expected blocks, width.*did you mean blocks"),
        ("plain_cnn", {"blocks": True}, "expected a whole number; got True"),
        ("plain_cnn", {"blocks": 4.0}, "expected a whole number"),
        ("plain_cnn", {"batch_norm": 1}, "expected true or false"),
        ("plain_cnn", {"blocks": 9}, "expected 1 to 8; got 9"),
        ("dropout_cnn", {"dropout": 1.0}, "expected at least 0, under 1"),
        ("resnet18", {"drop_pathrate": 0.1}, "timm cannot build resnet18"),
        ("resnet18", {"checkpoint_path": "weights.pth"}, "is not for recipes"),
        ("resnet_18x", {}, "no backbone named"),
    ],
)
def test_a_wrong_option_is_one_clear_error(
    name: str, options: dict[str, bool | int | float | str], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        build_backbone(name, channels=1, options=options)


def test_a_whole_number_may_stand_for_a_fraction_and_timm_gets_its_options() -> None:
    assert build_backbone("dropout_cnn", channels=1, options={"dropout": 0}) is not None
    thin = build_backbone("resnet18", channels=1, options={"base_width": 64, "drop_rate": 0.25})
    assert thin.drop_rate == 0.25


@pytest.mark.parametrize("name", ["plain_cnn", "PlainCNN", "VGG-16"])
def test_a_name_is_registered_once(name: str) -> None:
    assert usual_name("VGG-16") == "vgg16"
    with pytest.raises(ValueError, match="registered already"):
        register(name)(torch.nn.Identity)
