"""Where and in which precision networks run."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch

from pulmoscope.errors import RunError

Precision = Literal["auto", "float32", "bfloat16"]


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
