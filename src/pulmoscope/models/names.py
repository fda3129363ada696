"""The names that reports and frameworks use for published networks, and what timm calls the same architecture.

A name of this table wins over a timm name that is spelled alike: ``efficientnet_lite0`` is Google's own network
(timm's ``tf_efficientnet_lite0``, whose weights can be installed as a package), not timm's variant of it.
"""

from __future__ import annotations

from typing import NamedTuple


class UsualName(NamedTuple):
    """A published network under the name that everybody uses.

    Attributes:
        timm: What timm calls it.
        note: The paper, and the name in Keras or torchvision.
        spellings: Other spellings, in any case, with or without ``_`` and ``-``.
    """

    timm: str
    note: str
    spellings: tuple[str, ...] = ()


USUAL: dict[str, UsualName] = {
    "mobilenetv2": UsualName(
        "mobilenetv2_100", "MobileNetV2 (Sandler et al. 2018), width 1.0", ("mobilenet_v2",)
    ),
    "vgg16": UsualName(
        "vgg16", "VGG16 (Simonyan and Zisserman 2015, configuration D), without its dense layers"
    ),
    "vgg19": UsualName(
        "vgg19", "VGG19 (Simonyan and Zisserman 2015, configuration E), without its dense layers"
    ),
    "densenet121": UsualName("densenet121", "DenseNet-121 (Huang et al. 2017)"),
    "densenet201": UsualName("densenet201", "DenseNet-201 (Huang et al. 2017)"),
    "xception": UsualName("legacy_xception", "Xception (Chollet 2017), as in Keras"),
    "inception_v3": UsualName("inception_v3", "Inception v3 (Szegedy et al. 2016), Keras InceptionV3"),
    "inception_resnet_v2": UsualName(
        "inception_resnet_v2", "Inception-ResNet v2 (Szegedy et al. 2017), Keras InceptionResNetV2"
    ),
    "resnet50": UsualName("resnet50", "ResNet-50 (He et al. 2016), v1"),
    "resnet152": UsualName("resnet152", "ResNet-152 (He et al. 2016), v1"),
    "resnet50v2": UsualName(
        "resnetv2_50", "ResNet-50 with pre-activation (He et al. 2016b), Keras ResNet50V2", ("resnet50_v2",)
    ),
    "resnet152v2": UsualName(
        "resnetv2_152",
        "ResNet-152 with pre-activation (He et al. 2016b), Keras ResNet152V2",
        ("resnet152_v2",),
    ),
    "nasnet_large": UsualName("nasnetalarge", "NASNet-A large (Zoph et al. 2018), Keras NASNetLarge"),
    "efficientnet_lite0": UsualName(
        "tf_efficientnet_lite0", "EfficientNet-lite0 (Google 2020, after Tan and Le 2019)"
    ),
    "efficientnet_lite1": UsualName(
        "tf_efficientnet_lite1", "EfficientNet-lite1 (Google 2020, after Tan and Le 2019)"
    ),
    "efficientnet_lite2": UsualName(
        "tf_efficientnet_lite2", "EfficientNet-lite2 (Google 2020, after Tan and Le 2019)"
    ),
}


def folded(name: str) -> str:
    """``name`` without case, ``_`` and ``-``: ``InceptionResNetV2`` and ``inception_resnet_v2`` are one."""
    return name.lower().replace("_", "").replace("-", "")


_SPELLINGS = {
    folded(spelling): name for name, usual in USUAL.items() for spelling in (name, *usual.spellings)
}


def usual_name(name: str) -> str | None:
    """The table's name for any spelling of it; None where ``name`` is not in the table.

    >>> usual_name("InceptionResNetV2")
    'inception_resnet_v2'
    """
    return _SPELLINGS.get(folded(name))
