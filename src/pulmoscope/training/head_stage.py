"""Stage 1: the head learns on frozen features, in seconds."""

from __future__ import annotations

import copy
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulmoscope.errors import TrainingError
from pulmoscope.training.history import EpochRow, improves, validation_scores
from pulmoscope.training.losses import training_loss
from pulmoscope.training.parts import HeadStage


def train_head(
    head: nn.Module,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    val_features: NDArray[np.float32],
    val_labels: NDArray[np.int64],
    *,
    stage: HeadStage,
    class_weights: torch.Tensor,
    label_smoothing: float,
    select: str,
    seed: int,
) -> tuple[list[EpochRow], float | None]:
    """Train ``head`` in place and leave it with the weights of its best validated epoch.

    Args:
        head: (N, D) -> (N, C).
        features: (V + 1, N, D): the plain pictures and their augmented views; each epoch draws one view a picture.
        labels: (N,) class indices.
        val_features: (M, D).
        val_labels: (M,).
        stage: Epochs, batch, rate, decay, patience.
        class_weights: (C,).
        label_smoothing: In [0, 1).
        select: The validation metric that decides.
        seed: Of order, views and dropout.

    Returns:
        A row an epoch, and the best value of ``select`` (None where nothing was trained).

    Raises:
        TrainingError: The loss is not finite.
    """
    loss_of = training_loss(class_weights, label_smoothing)
    optimizer = torch.optim.AdamW(head.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    plain, targets = torch.from_numpy(features), torch.from_numpy(labels)
    validation = torch.from_numpy(val_features)
    weights = class_weights.double().numpy()
    rows: list[EpochRow] = []
    best_value, best_epoch, best = None, 0, copy.deepcopy(head.state_dict())
    batches = max(1, -(-len(labels) // stage.batch))
    for epoch in range(1, stage.epochs + 1):
        started = time.monotonic()
        order_of = np.random.default_rng([seed, epoch])
        order = order_of.permutation(len(labels))
        views = torch.from_numpy(order_of.integers(len(features), size=len(labels)))
        head.train()
        total, correct = 0.0, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(order_of.integers(2**62)))
            for chosen in np.array_split(order, batches):
                index = torch.from_numpy(chosen)
                logits = head(plain[views[index], index])
                loss = loss_of(logits, targets[index])
                if not torch.isfinite(loss):
                    raise TrainingError(
                        f"the head's loss became {float(loss.detach())} in epoch {epoch}",
                        code="E_LOSS_NOT_FINITE",
                        remedy="lower train.head.learning_rate",
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(chosen)
                correct += int((logits.argmax(dim=1) == targets[index]).sum())
        head.eval()
        with torch.inference_mode():
            scores = validation_scores(head(validation).double().numpy(), val_labels, weights)
        rows.append(
            EpochRow(
                stage="head",
                epoch=epoch,
                train_loss=total / len(labels),
                train_accuracy=correct / len(labels),
                learning_rate=stage.learning_rate,
                seconds=round(time.monotonic() - started, 3),
                **scores,
            )
        )
        if improves(select, scores[select], best_value):
            best_value, best_epoch, best = scores[select], epoch, copy.deepcopy(head.state_dict())
        if epoch - best_epoch >= stage.patience:
            break
    if rows and best_value is None:
        raise TrainingError(
            f"{select} is undefined in every epoch, so no epoch can be chosen",
            code="E_UNDEFINED",
            expected="a validation part with pictures of at least two classes",
            remedy="carve more validation (--val-from-train), or --set train.select=val_loss",
        )
    head.load_state_dict(best)
    return rows, best_value
