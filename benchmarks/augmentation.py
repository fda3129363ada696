"""System A's augmentation on batches beside torchvision's transforms picture by picture, in turn, in one run.

Usage: augmentation.py [--rounds 7] [--pictures 768] [--batch 64] [--cores ALL].
Writes benchmarks/results/augmentation.json.

The plain side is written twice, as users write it, and the faster one of a round is what we compare with: pictures of
Pillow through a DataLoader with a worker process a core, and uint8 tensors in one process with all threads. Both sides
start from decoded 8-bit pictures in memory and end with float batches (N, 3, 224, 224) in [0, 1].
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jobs import about
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from pulmoscope.imaging import Augment, augment
from pulmoscope.inference import keep_memory

SIDE, TARGET = 224, 5.0
A = Augment.model_validate("system_a")


def multiply(picture: torch.Tensor) -> torch.Tensor:
    """Gain of all levels."""
    return (picture * (1 + A.multiply * (2 * torch.rand(1) - 1))).clamp_(0, 1)


def shift_planes(picture: torch.Tensor) -> torch.Tensor:
    """RGB shift."""
    return (picture + A.rgb_shift * (2 * torch.rand(3, 1, 1) - 1)).clamp_(0, 1)


def plain_transforms(*, pil: bool) -> v2.Compose:
    """The ranges of the preset, as torchvision names them."""
    bilinear = v2.InterpolationMode.BILINEAR
    to_float = [v2.ToImage()] if pil else []
    hue, saturation, _ = A.hsv_shift
    return v2.Compose(
        [
            v2.RandomEqualize(A.equalise),
            v2.RandomAffine(A.rotate, shear=A.shear, scale=A.zoom, interpolation=bilinear),
            v2.RandomHorizontalFlip(A.hflip),
            v2.RandomVerticalFlip(A.vflip),
            v2.RandomResizedCrop(SIDE, scale=A.crop_scale, ratio=A.crop_ratio, interpolation=bilinear),
            v2.ColorJitter(brightness=A.brightness, contrast=A.contrast, saturation=saturation, hue=hue),
            v2.RandomGrayscale(A.greyscale),
            *to_float,
            v2.ToDtype(torch.float32, scale=True),
            v2.Lambda(multiply),
            v2.Lambda(shift_planes),
        ]
    )


class Plain(torch.utils.data.Dataset):
    """Decoded pictures of Pillow, changed one by one."""

    def __init__(self, pictures: list[Image.Image]) -> None:
        self.pictures, self.transform = pictures, plain_transforms(pil=True)

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.pictures)

    def __getitem__(self, index: int) -> torch.Tensor:
        """One changed picture."""
        return self.transform(self.pictures[index])


def contestants(count: int, batch_size: int, cores: int) -> dict[str, Callable[[], None]]:
    """One pass over ``count`` pictures, by each way."""
    stored = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8))
    colour = stored[:, None].expand(-1, 3, -1, -1).contiguous()
    loader = DataLoader(
        Plain([Image.fromarray(one.numpy()).convert("RGB") for one in stored]),
        batch_size=batch_size,
        num_workers=cores,
        persistent_workers=True,
    )
    by_tensor = plain_transforms(pil=False)
    generator = torch.Generator().manual_seed(0)

    def plain_loader() -> None:
        for _ in loader:
            pass

    def plain_tensors() -> None:
        for batch in colour.split(batch_size):
            torch.stack([by_tensor(one) for one in batch])

    def ours() -> None:
        for batch in stored.split(batch_size):
            augment(batch[:, None].float().div_(255), A, generator)

    def ours_from_colour() -> None:
        for batch in colour.split(batch_size):
            augment(batch.float().div_(255), A, generator)

    return {
        "plain_pillow_loader": plain_loader,
        "plain_tensors": plain_tensors,
        "ours": ours,
        "ours_from_colour_pictures": ours_from_colour,
    }


def main() -> None:
    """Run every way in turn, after one pass each to warm up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=768)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    cores = given.cores
    torch.set_num_threads(cores)
    keep_memory()  # as every training here does on the CPU; the plain ways are in the same process and have it too
    ways = contestants(given.pictures, given.batch, cores)
    for way in ways.values():
        way()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            rates[name].append(given.pictures / (time.perf_counter() - start))
        print({name: round(values[-1]) for name, values in rates.items()}, flush=True)
    results = {
        "preset": "system_a",
        "pictures_a_pass": given.pictures,
        "batch": [given.batch, 3, SIDE, SIDE],
        "pictures_per_second": {
            name: {
                "median": round(statistics.median(values), 1),
                "range": [round(min(values), 1), round(max(values), 1)],
                "rounds": [round(value, 1) for value in values],
            }
            for name, values in rates.items()
        },
        **{f"ratio_{name}": ratio(rates, name) for name in ("ours", "ours_from_colour_pictures")},
        "target": TARGET,
    }
    about(
        Path(__file__).parent / "results" / "augmentation.json",
        "python benchmarks/augmentation.py",
        {"cores_used": cores, "results": results},
    )
    print(json.dumps({name: value for name, value in results.items() if name.startswith("ratio")}, indent=2))


def ratio(rates: dict[str, list[float]], name: str) -> dict[str, object]:
    """Against the faster plain way of the same round."""
    plain = zip(rates["plain_pillow_loader"], rates["plain_tensors"], strict=True)
    ratios = [ours / max(both) for ours, both in zip(rates[name], plain, strict=True)]
    return {
        "median": round(statistics.median(ratios), 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
    }


if __name__ == "__main__":
    main()
