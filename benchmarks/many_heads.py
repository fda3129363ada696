"""System B's grid of heads on frozen features: all together, one after another, and as one would write it plainly.

The design is system B's on Cohen AP (COVID-19) against NIH AP: EfficientNet-lite0 at 224 pixels, four augmented views,
a head 64-2, and 72 settings: three rates, batches of 16, 32 and 64, Adam and plain descent, dropout of 0 and 0.5, 25
and 50 epochs. In one process, in turn:

- together: ``train_heads``, its features computed first, into an empty cache, and timed apart;
- ours one after another: ``train_head``, a few epochs of each batch, optimiser and dropout, scaled to all epochs;
- plain: the loop that a user would write (TensorDataset, DataLoader, nn.Sequential, torch.optim), likewise;
- the backbone each epoch: one pass over the training and validation pictures, without augmentation, times all epochs.

Usage: many_heads.py [--data FOLDER] [--work FOLDER] [--weights imagenet [run=RUN]] [--sample 4] [--limit N].
``--limit`` is for a smoke test. Writes benchmarks/results/many_heads.json.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from jobs import DATA, about, build_cohort, join_nih
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pulmoscope.cohort import Cohort
from pulmoscope.inference import choose_device
from pulmoscope.models import build_classifier, load_weights
from pulmoscope.search.heads import HeadJob, train_heads
from pulmoscope.search.lessons import Lessons
from pulmoscope.training import Examples, Recipe, load_recipe
from pulmoscope.training.features import frozen_features
from pulmoscope.training.head_stage import head_judge, train_head
from pulmoscope.training.stages import Job
from pulmoscope.workflow.parts import decode_all

HERE = Path(__file__).parent
RATES, BATCHES, EPOCHS = (1e-2, 1e-3, 1e-4), (16, 32, 64), (25, 50)
KINDS = list(itertools.product(BATCHES, ("adam", "sgd"), (0.0, 0.5)))
SEED = 0


def main() -> None:
    """Build the cohort, then time each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--weights", nargs="+", default=["imagenet"])
    parser.add_argument("--sample", type=int, default=4)
    parser.add_argument("--limit", type=int, default=None)
    given = parser.parse_args()
    join_nih(given.data, given.work / "nih")
    target = build_cohort(
        given.work / "c_target",
        *(
            f"cohen={given.data}/cohen",
            f"nih={given.work}/nih",
            "--labels",
            "binary-covid",
            "--where",
            "view=AP",
        ),
        *("--split", "patient:0.6,0.2,0.2"),
    )
    cohort = Cohort.read(target)
    sources = {weights: measure(cohort, weights, given.sample, given.limit) for weights in given.weights}
    content = {"threads": torch.get_num_threads(), "limit": given.limit, "sources": sources}
    about(HERE / "results" / "many_heads.json", "python benchmarks/many_heads.py", content)
    print(json.dumps(content, indent=2))


def grid(weights: str, limit: int | None) -> list[Recipe]:
    """The 72 settings."""
    return [
        setting(weights, limit, batch=batch, optimizer=optimizer, dropout=dropout, rate=rate, epochs=epochs)
        for (batch, optimizer, dropout), rate, epochs in itertools.product(KINDS, RATES, EPOCHS)
    ]


def setting(
    weights: str, limit: int | None, *, batch: int, optimizer: str, dropout: float, rate: float, epochs: int
) -> Recipe:
    """One of them."""
    changes: dict[str, Any] = {
        "model.backbone": "efficientnet_lite0",
        "model.weights": weights,
        "model.head.dropout": dropout,
        "train.head.batch": batch,
        "train.head.optimizer": optimizer,
        "train.head.learning_rate": rate,
        "train.head.epochs": epochs,
        "train.head.patience": 50,
        "train.limit": "null" if limit is None else limit,
    }
    overrides = [f"{name}={value}" for name, value in changes.items()]
    return load_recipe("system_b:imagenet", overrides).resolved()


def measure(cohort: Cohort, weights: str, sample: int, limit: int | None) -> dict[str, Any]:
    """Seconds of each way with one set of starting weights."""
    recipes = grid(weights, limit)
    decoded = decode_all(cohort, recipes[0].preprocess, progress=True)
    train, val, classes = decoded.examples("train"), decoded.examples("val"), tuple(cohort.classes)
    jobs = [HeadJob(recipe=recipe, seed=SEED) for recipe in recipes]
    with tempfile.TemporaryDirectory() as cache, torch.random.fork_rng(devices=[]):
        features = feature_seconds(recipes[0], train, val, classes, Path(cache))
    # Once, so that the features are in the cache that everything below reads.
    Lessons(train=train, val=val, classes=classes).prepare(recipes[0], SEED)
    started = time.perf_counter()
    outcomes = train_heads(jobs, train=train, val=val, classes=classes)
    together = time.perf_counter() - started
    alone = [train_alone(recipe_of(kind, weights, limit, sample), train, val, classes) for kind in KINDS]
    plain = [train_plainly(recipe_of(kind, weights, limit, sample), train, val, classes) for kind in KINDS]
    scale = len(RATES) * sum(EPOCHS) / sample
    epochs = len(KINDS) * len(RATES) * sum(EPOCHS)
    seconds = {
        "heads_together": together,
        "features_with_views": features["views"],
        "heads_one_after_another": sum(alone) * scale,
        "plain_one_after_another": sum(plain) * scale,
        "backbone_each_epoch": features["plain"] * epochs,
    }
    whole = together + features["views"]
    return {
        "pictures": {"train": len(train) if limit is None else min(limit, len(train)), "val": len(val)},
        "heads": len(jobs),
        "head_epochs": epochs,
        "failed": [one.error for one in outcomes if one.error is not None],
        "best_value": max(one.best_value for one in outcomes if one.best_value is not None),
        "seconds": seconds,
        "scaled_from_epochs_a_head": {
            "heads_one_after_another": sample, "plain_one_after_another": sample, "backbone_each_epoch": 1,
        },
        "times_faster": {
            "than_plain_heads": seconds["plain_one_after_another"] / together,
            "than_our_heads_one_after_another": seconds["heads_one_after_another"] / together,
            "features_included_than_backbone_each_epoch": seconds["backbone_each_epoch"] / whole,
        },
    }  # fmt: skip


def recipe_of(kind: tuple[int, str, float], weights: str, limit: int | None, epochs: int) -> Recipe:
    """One setting of a kind, for a few epochs."""
    batch, optimizer, dropout = kind
    return setting(
        weights, limit, batch=batch, optimizer=optimizer, dropout=dropout, rate=1e-3, epochs=epochs
    )


def feature_seconds(
    recipe: Recipe, train: Examples, val: Examples, classes: tuple[str, ...], cache: Path
) -> dict[str, float]:
    """Features of training and validation pictures, plain and with all views."""
    whole = job_of(recipe, train, val, classes)
    network = build_classifier(whole.spec, seed=SEED)
    load_weights(network.backbone, whole.spec.backbone, whole.spec.channels, recipe.model.weights)
    options: dict[str, Any] = {
        "preprocess": recipe.preprocess,
        "device": choose_device(recipe.train.device),
        "root": cache,
    }
    seconds = {}
    for name, views in (("plain", 0), ("views", recipe.train.head.views)):
        started = time.perf_counter()
        frozen_features(network, train, transforms=recipe.augment, views=views, seed=SEED, **options)
        middle = time.perf_counter()
        if name == "plain":
            frozen_features(network, val, **options)
            validation = time.perf_counter() - middle
        seconds[name] = middle - started + validation
    return seconds


def train_alone(recipe: Recipe, train: Examples, val: Examples, classes: tuple[str, ...]) -> float:
    """Seconds of one head by ``train_head``, its features at hand."""
    head, lesson = Lessons(train=train, val=val, classes=classes).prepare(recipe, SEED)
    judge = head_judge(
        head, lesson.val_features, lesson.val_labels, lesson.val_weights, lambda z: torch.log_softmax(z, dim=1)
    )  # fmt: skip
    started = time.perf_counter()
    train_head(
        head, lesson.features, lesson.labels, stage=recipe.train.head, loss=lesson.loss, sampler=lesson.sampler,
        seed=SEED, judge=judge, select=recipe.train.select,
    )  # fmt: skip
    return time.perf_counter() - started


def train_plainly(recipe: Recipe, train: Examples, val: Examples, classes: tuple[str, ...]) -> float:
    """Seconds of one head by a loop as a user would write it, its features at hand."""
    _, lesson = Lessons(train=train, val=val, classes=classes).prepare(recipe, SEED)
    features, labels = torch.from_numpy(lesson.features), torch.from_numpy(lesson.labels)
    val_features, val_labels = torch.from_numpy(lesson.val_features), torch.from_numpy(lesson.val_labels)
    stage, dropout = recipe.train.head, recipe.model.head.dropout
    started = time.perf_counter()
    model = nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(features.shape[2], 64),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(64, 2),
    )
    optimizer: torch.optim.Optimizer
    if stage.optimizer == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=stage.learning_rate)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=stage.learning_rate, momentum=0.9)
    loss_of = nn.CrossEntropyLoss(weight=lesson.loss.weight)
    best, kept = -1.0, model.state_dict()
    for _ in range(stage.epochs):
        views = torch.randint(len(features), (len(labels),))
        shown = TensorDataset(features[views, torch.arange(len(labels))], labels)
        model.train()
        for batch, truth in DataLoader(shown, batch_size=stage.batch, shuffle=True):
            optimizer.zero_grad()
            loss = loss_of(model(batch), truth)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            answers = model(val_features)
        accuracy = float((answers.argmax(dim=1) == val_labels).float().mean())
        if accuracy > best:
            best, kept = accuracy, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return time.perf_counter() - started


def job_of(recipe: Recipe, train: Examples, val: Examples, classes: tuple[str, ...]) -> Job:
    """What one training needs."""
    return Job(recipe=recipe, train=train, val=val, classes=classes, folder=Path(), seed=SEED)


if __name__ == "__main__":
    main()
