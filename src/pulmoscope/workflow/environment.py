"""What a run ran on, so that its numbers can be made again."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

import pulmoscope

PACKAGES = (
    "torch", "torchvision", "timm", "lightning", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "pillow",
    "opencv-python-headless", "pydicom", "safetensors",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Versions, device, threads and the command; no host name, user or path of the machine's owner."""
    gpu = torch.cuda.is_available()
    return {
        "pulmoscope": pulmoscope.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(0) if gpu else "cpu",
        "threads": torch.get_num_threads(),
        "packages": {name: version(name) for name in PACKAGES},
        "command": command(),
        "started": now(),
    }


def command() -> str:
    """The command line that started this process; absolute paths, which may name people, by their last part."""
    return shlex.join([Path(sys.argv[0]).name, *(_without_folders(word) for word in sys.argv[1:])])


def _without_folders(word: str) -> str:
    name, equals, value = word.rpartition("=")
    return f"{name}{equals}{Path(value).name}" if Path(value).is_absolute() else word


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def version(package: str) -> str | None:
    """An installed package's version; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
