"""The same jobs by Pulmoscope's parts. Usage: ours.py finetune|heads|predict FOLDER OUT.json [--model MODEL]."""

from __future__ import annotations

import argparse
import json
import logging
import resource
import tempfile
import time
from pathlib import Path

import lightning  # noqa: F401 - as in plain.py, imports are not part of the time
import numpy as np
import timm  # noqa: F401
import torch

import pulmoscope.training  # noqa: F401


def _examples(folder: str, scratch: Path):
    from pulmoscope.imaging import StoreItem, open_store
    from pulmoscope.training import Examples, load_recipe

    recipe = load_recipe("default").resolved()
    classes = sorted(path.name for path in Path(folder).iterdir())
    paths = [
        (path, classes.index(name)) for name in classes for path in sorted((Path(folder) / name).iterdir())
    ]
    items = [StoreItem(image_id=str(path), path=str(path), sha256=None) for path, _ in paths]
    started = time.perf_counter()
    store = open_store(items, recipe.preprocess, root=scratch)
    seconds = time.perf_counter() - started
    labels = np.array([label for _, label in paths], np.int64)
    return (
        recipe,
        Examples(store=store, rows=store.rows([i.image_id for i in items]), labels=labels),
        classes,
        seconds,
    )


def finetune(folder: str, scratch: Path) -> dict:
    """One epoch of stage 2 as ``pulmoscope train`` runs it; the store's building is timed apart."""
    from pulmoscope.training import fit
    from pulmoscope.training.recipe import parse_recipe

    recipe, examples, classes, store_seconds = _examples(folder, scratch)
    content = recipe.model_dump(mode="json")
    content["train"]["head"]["epochs"] = 0
    content["train"]["finetune"]["epochs"] = 1
    # Two validation pictures: what is timed is the training.
    few = type(examples)(store=examples.store, rows=examples.rows[[0, -1]], labels=examples.labels[[0, -1]])
    fitted = fit(
        parse_recipe(content, "benchmark"),
        train=examples,
        val=few,
        classes=tuple(classes),
        folder=scratch / "run",
        seed=0,
    )
    return {"seconds": fitted.rows[-1].seconds, "store_seconds": store_seconds, "pictures": len(examples)}


def heads(folder: str, scratch: Path) -> dict:
    """Ten heads, five epochs each: store and features included."""
    from pulmoscope.models import HeadSpec, ModelSpec, build_classifier, load_weights
    from pulmoscope.training.features import frozen_features
    from pulmoscope.training.head_stage import train_head

    started = time.perf_counter()
    recipe, examples, classes, _ = _examples(folder, scratch)
    stage = recipe.train.head.model_copy(update={"epochs": 5, "batch": 32, "patience": 5})
    for seed in range(10):
        spec = ModelSpec(
            backbone=recipe.model.backbone, channels=1, head=HeadSpec(dropout=0), classes=tuple(classes)
        )
        network = build_classifier(spec, seed=seed)
        load_weights(network.backbone, spec.backbone, 1, "imagenet")
        features = frozen_features(
            network, examples, preprocess=recipe.preprocess, device=torch.device("cpu"), root=scratch
        )
        train_head(
            network.head, features, examples.labels, features[0], examples.labels, stage=stage,
            class_weights=torch.ones(len(classes)), label_smoothing=0.0, select="val_loss", seed=seed,
        )  # fmt: skip
    return {"seconds": time.perf_counter() - started, "pictures": len(examples)}


def predict(folder: str, model_folder: str) -> dict:
    """Labels of every file, in order."""
    from pulmoscope.inference import Prediction, Predictor, find_pictures
    from pulmoscope.models import load_bundle

    started = time.perf_counter()
    bundle = load_bundle(model_folder)
    answers = list(Predictor(bundle).predict_files(find_pictures([folder])))
    seconds = time.perf_counter() - started
    labels = {Path(a.path).name: bundle.classes.index(a.label) for a in answers if isinstance(a, Prediction)}
    return {"seconds": seconds, "pictures": len(labels), "labels": labels}


def main() -> None:
    """Run one job and write what it took."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["finetune", "heads", "predict"])
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--model")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if given.job == "predict":
            result = predict(given.folder, given.model)
        else:
            result = globals()[given.job](given.folder, Path(scratch))
    result["peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    Path(given.out).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
