"""Features of a frozen backbone, computed once and kept on the disk for every head that asks again."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pulmoscope.files import cache_root, write_bytes
from pulmoscope.imaging import Augment, Preprocess, augment
from pulmoscope.inference import forward_precision
from pulmoscope.inference.compute import Precision, bfloat16_pays
from pulmoscope.models import Classifier
from pulmoscope.progress import track
from pulmoscope.training.batches import Examples

log = logging.getLogger("pulmoscope")
_BATCH = 64
_DIGEST = hashlib.sha256().digest_size


def frozen_features(
    network: Classifier,
    examples: Examples,
    *,
    preprocess: Preprocess,
    transforms: Augment | None = None,
    views: int = 0,
    seed: int = 0,
    device: torch.device,
    precision: Precision = "auto",
    progress: bool = False,
    root: Path | None = None,
) -> NDArray[np.float32]:
    """What the head sees of every picture and of its augmented views.

    Args:
        network: It is run in evaluation mode and left as it was, on ``device``.
        examples: N pictures.
        preprocess: To the network's input.
        transforms: For the augmented views.
        views: Augmented views V beside the plain picture.
        seed: Of the augmentation.
        device: Where to compute.
        precision: ``auto`` uses bfloat16 where the hardware has it.
        progress: Draw a progress bar.
        root: Folder of the cache.

    Returns:
        (V + 1, N, D) float32; the plain pictures come first.
    """
    folder = (root or cache_root()) / "features"
    path = folder / f"{_key(network, examples, preprocess, transforms, views, seed, device, precision)}.npy"
    kept = _read(path)
    if kept is not None and kept.shape[:2] == (views + 1, len(examples)):
        return kept
    was_training = network.training
    network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    whole: NDArray[np.float32] | None = None
    starts = [(view, start) for view in range(views + 1) for start in range(0, len(examples), _BATCH)]
    with torch.inference_mode():
        for view, start in track(starts, "features of the frozen backbone", enabled=progress):
            chosen = np.arange(start, min(start + _BATCH, len(examples)))
            pictures = examples.take(chosen)[0].to(device)
            if view > 0 and transforms is not None:
                generator = torch.Generator(device=device)
                state = np.random.SeedSequence([seed, view, start]).generate_state(1)
                generator.manual_seed(int(state[0]))
                inputs = preprocess.to_input(augment(pictures[:, None].float() / 255, transforms, generator))
            else:
                inputs = preprocess.to_input(pictures)
            with forward_precision(device, precision):
                pooled = network.features(inputs.contiguous(memory_format=torch.channels_last))
            if whole is None:
                whole = np.empty((views + 1, len(examples), pooled.shape[1]), np.float32)
            whole[view, chosen] = pooled.float().cpu().numpy()
    network.train(was_training)
    if whole is None:
        raise ValueError("no pictures to compute features of")
    buffer = io.BytesIO()
    np.save(buffer, whole)
    content = buffer.getvalue()
    write_bytes(path, content + hashlib.sha256(content).digest())
    return whole


def _key(
    network: Classifier,
    examples: Examples,
    preprocess: Preprocess,
    transforms: Augment | None,
    views: int,
    seed: int,
    device: torch.device,
    precision: Precision,
) -> str:
    digest = hashlib.sha256()
    for value in network.backbone.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    digest.update(examples.store.folder.name.encode())
    digest.update(np.ascontiguousarray(examples.rows).tobytes())
    reduced = precision == "bfloat16" or (precision == "auto" and bfloat16_pays(device))
    shape = {
        "backbone": [network.spec.backbone, network.spec.options, network.spec.head.pool],
        "preprocess": preprocess.model_dump(mode="json"),
        "augment": transforms.model_dump(mode="json") if transforms is not None and views else None,
        "views": views,
        "seed": seed if views else None,
        "compute": [device.type, "bfloat16" if reduced else "float32"],
    }
    digest.update(json.dumps(shape, sort_keys=True).encode())
    return digest.hexdigest()[:32]


def _read(path: Path) -> NDArray[np.float32] | None:
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        return None
    content, digest = whole[:-_DIGEST], whole[-_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        log.warning("the cached features %s are torn: computing them again", path)
        return None
    features: NDArray[np.float32] = np.load(io.BytesIO(content), allow_pickle=False)
    return features
