"""Where and in which precision networks run."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from typing import Literal

import torch

from pulmoscope.errors import RunError

Precision = Literal["auto", "float32", "bfloat16"]


# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEPT_BYTES = (1 << 31) - 1


@functools.cache
def keep_memory() -> bool:
    """Let the process keep the memory of large tensors instead of handing it back after every layer.

    glibc maps and unmaps each block over 32 MiB anew, and the system clears every page of it again: on the CPU that
    was half of the time of a forward pass and a quarter of a training step (``benchmarks/results``). Returns whether
    it could be set; elsewhere than on glibc nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))


def choose_device(wanted: str = "auto") -> torch.device:
    """The device to run on: the first GPU where there is one, else the CPU.

    Raises:
        RunError: ``cuda`` was asked for and is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RunError(
            "no CUDA device here", code="E_DEVICE", remedy="use device: auto or cpu; see pulmoscope doctor"
        )
    return torch.device(wanted)


def bfloat16_pays(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware (CPU: AVX512-BF16 or AMX)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capability = torch.backends.cpu.get_cpu_capability()
    return "AVX512" in capability and bool(torch.cpu._is_avx512_bf16_supported())


def forward_precision(
    device: torch.device, precision: Precision
) -> contextlib.AbstractContextManager[object]:
    """Autocast to bfloat16 where asked for, or where it pays."""
    use = precision == "bfloat16" or (precision == "auto" and bfloat16_pays(device))
    if not use:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
