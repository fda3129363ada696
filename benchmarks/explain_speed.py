"""Grad-CAM of many pictures: our batches beside the plain loop over pytorch-grad-cam, one picture at a time.

Both explain the predicted class of the same pictures with the same network and the same layer, in one process, turn by
turn, so that whatever else the machine does falls on both. Predicting the class is part of the work of both. The
network is the default recipe's, with weights drawn from a seed; its answers mean nothing, its cost is that of a trained
one. A folder of a run may be named instead. To be compared, our maps are laid over the picture as tiles, as theirs are.

Usage: explain_speed.py [--run FOLDER] [--pictures 500] [--turns 5] [--threads 2]. Writes
benchmarks/results/explain_speed.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jobs import about
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM

from pulmoscope.explanation import METHODS, Explainer, find_module
from pulmoscope.imaging import Preprocess
from pulmoscope.models import Bundle, HeadSpec, ModelSpec, WeightsOrigin, build_classifier, load_bundle

HERE = Path(__file__).parent


def untrained() -> Bundle:
    """The default recipe's network at its size, weights from a seed."""
    spec = ModelSpec(
        backbone="tf_efficientnet_lite0", channels=1, size=160, head=HeadSpec(), classes=("a", "b", "c")
    )
    return Bundle(
        spec=spec,
        preprocess=Preprocess(size=160, channels=1),
        weights=build_classifier(spec, seed=0).state_dict(),
        origin=WeightsOrigin(name="random", source="seed"),
    )


def plain_loop(bundle: Bundle, layer: str, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """What pytorch-grad-cam's README shows, in a loop."""
    network = bundle.network()
    maps = []
    with GradCAM(model=network, target_layers=[find_module(network, layer)]) as cam:
        for picture in pictures:
            inputs = bundle.preprocess.to_input(torch.from_numpy(picture[None]))
            maps.append(cam(input_tensor=inputs, targets=None)[0])
    return maps


def main() -> None:
    """Time both in turns and compare their maps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    bundle = untrained() if given.run is None else load_bundle(given.run / "model")
    side = bundle.preprocess.size
    generator = np.random.default_rng(0)
    # Smooth pictures, as radiographs are: noise alone would leave nothing for the last maps to tell apart.
    coarse = generator.random((given.pictures, 1, 12, 12), np.float32)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), size=(side, side), mode="bicubic")
    pictures = (smooth[:, 0].clamp(0, 1) * 255).to(torch.uint8).numpy()

    explainer = Explainer(bundle, device="cpu")
    for warm in (
        lambda: explainer.maps(pictures[:32]),
        lambda: plain_loop(bundle, explainer.layer, pictures[:4]),
    ):
        warm()
    seconds: dict[str, list[float]] = {"pulmoscope": [], "plain loop": []}
    ours, theirs = explainer.maps(pictures[:1]), []
    for part in np.array_split(np.arange(given.pictures), given.turns):
        started = time.perf_counter()
        ours = explainer.maps(pictures[part])
        seconds["pulmoscope"].append(time.perf_counter() - started)
        started = time.perf_counter()
        theirs = plain_loop(bundle, explainer.layer, pictures[part])
        seconds["plain loop"].append(time.perf_counter() - started)
    results: dict[str, Any] = {
        "network": bundle.spec.model_dump(mode="json").get("backbone"),
        "layer": explainer.layer,
        "size": side,
        "pictures": given.pictures,
        "threads": given.threads,
        "seconds": {name: round(sum(all_turns), 2) for name, all_turns in seconds.items()},
        "ratio": round(sum(seconds["plain loop"]) / sum(seconds["pulmoscope"]), 2),
        "ratio_by_turn": [
            round(b / a, 2) for a, b in zip(seconds["pulmoscope"], seconds["plain loop"], strict=True)
        ],
        "mean_correlation_of_maps": round(_agreement(as_tiles(ours.raw, side), np.stack(theirs)), 4),
    }
    about(HERE / "results" / "explain_speed.json", "explain_speed.py", results)
    print(json.dumps(results, indent=2))


def as_tiles(raw: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Our maps with every cell taken for a tile of the picture, as the plain loop has it."""
    return np.asarray(METHODS["grad-cam"].scaled(torch.from_numpy(raw), side).numpy(), np.float32)


def _agreement(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Mean correlation of maps of the same picture; the two are resized in two ways, so it is not quite 1."""
    found = [
        float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
        for a, b in zip(ours, theirs, strict=True)
        if a.std() > 0 and b.std() > 0
    ]
    return float(np.mean(found))


if __name__ == "__main__":
    main()
