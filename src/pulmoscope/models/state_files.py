"""Files of weights: read without running anything in them, fetched once and checked."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pulmoscope.errors import WeightsError
from pulmoscope.files import atomic_path, cache_root


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Names to tensors from a safetensors file or a state dictionary that PyTorch saved.

    Pickled files are read with ``weights_only``, so nothing in them can run. A wrapper's prefix (``module.``,
    ``backbone.``, ``model.``) is taken off the names.

    Raises:
        WeightsError: It cannot be read, or holds more than tensors.
    """
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
            f"{path} holds more than tensors and was refused",
            remedy="where you trust it, load it and save only its weights: torch.save(model.state_dict(), PATH)",
        ) from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path} does not hold a state dictionary", expected="names mapped to tensors")
    return {re.sub(r"^(module|backbone|model)\.", "", str(name)): value for name, value in state.items()}


def find_file(address: str) -> tuple[Path, str]:
    """The local file of ``file:PATH`` or ``url:URL#sha256=HEX`` (fetched once), and where it is from.

    Raises:
        WeightsError: It is not there, cannot be fetched or fails its checksum.
    """
    kind, _, rest = address.partition(":")
    if kind == "url":
        return _download(rest)
    path = Path(rest).expanduser()
    if kind != "file" or not path.is_file():
        raise WeightsError(
            f"no weights file {path}", remedy="name it in the recipe, or by --set model.weights=..."
        )
    return path, path.name


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    if path.is_file() and file_sha256(path) == checksum.lower():
        return path, url
    with atomic_path(path) as temporary:
        try:
            with urllib.request.urlopen(url, timeout=30) as response, temporary.open("wb") as file:  # noqa: S310
                while block := response.read(1 << 20):
                    file.write(block)
        except (urllib.error.URLError, TimeoutError) as error:
            raise WeightsError(
                f"could not fetch {url}", got=str(error), remedy="fetch it elsewhere and give file:PATH"
            ) from error
        got = file_sha256(temporary)
        if got != checksum.lower():
            raise WeightsError(f"{url} is not the file it should be", expected=checksum, got=got)
    return path, url
