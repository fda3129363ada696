"""What can end a training: each ends in one line that says what to do."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.multiprocessing.spawn import ProcessRaisedException

from pulmoscope.errors import TrainingError
from pulmoscope.training.recipe import Recipe

_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",
)
# Errors that say in their text alone what happened; the second holds the traceback of another process.
_WITH_TEXT = (RuntimeError, ProcessRaisedException)
_NAMED_PICTURES = 8
Place = Literal["head", "finetune", "prediction"]
# How the last line of a traceback from another process shows an error of ours.
_OURS = re.compile(r"^pulmoscope\.errors\.\w+: (E_\w+): (.*)$", re.MULTILINE)


def finite_loss(
    loss: torch.Tensor,
    stage: Literal["head", "finetune"],
    epoch: int,
    index: int,
    positions: NDArray[np.int64],
) -> float:
    """The loss of a batch as a number.

    Args:
        loss: A scalar.
        stage: Named in the remedy.
        epoch: From 1.
        index: Of the batch, from 0.
        positions: Of its pictures in the training part, from 0.

    Raises:
        TrainingError: It is not finite; the message names epoch, batch and pictures.
    """
    value = float(loss.detach())
    if math.isfinite(value):
        return value
    named = ", ".join(str(int(one)) for one in positions[:_NAMED_PICTURES])
    more = f" and {len(positions) - _NAMED_PICTURES} more" if len(positions) > _NAMED_PICTURES else ""
    raise TrainingError(
        f"the loss became {value} in epoch {epoch}, batch {index + 1}, with the training pictures at positions "
        f"{named}{more}",
        code="E_LOSS_NOT_FINITE",
        remedy=f"lower train.{stage}.learning_rate or set train.{stage}.gradient_clip; "
        "the last good checkpoint is kept",
    )


@contextmanager
def one_line(recipe: Recipe, place: Place) -> Iterator[None]:
    """Turn memory that ran out, and errors of ours from other processes, into one line.

    Args:
        recipe: Of the run.
        place: Which part of the run is inside: a stage, or the prediction that follows.

    Raises:
        TrainingError: One of them happened inside.
    """
    try:
        yield
    except (MemoryError, OSError, *_WITH_TEXT) as error:
        if ran_out_of_memory(error):
            raise _memory_error(recipe, place) from error
        ours = _OURS.search(str(error))
        if ours is not None:
            raise TrainingError(ours[2], code=ours[1]) from error
        raise


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says so: Python's, CUDA's, the CPU allocator's, or that of another process."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, _WITH_TEXT) and any(text in str(error).lower() for text in _NO_MEMORY)


def _memory_error(recipe: Recipe, place: Place) -> TrainingError:
    size = recipe.preprocess.size
    if place == "prediction":
        return TrainingError(
            "memory ran out while predicting with the trained network",
            code="E_MEMORY",
            got=f"preprocess.size={size}, predict.views={recipe.predict.views}",
            remedy="go on with --resume once memory is free: the trained network is kept",
        )
    if place == "head":
        return TrainingError(
            "memory ran out while training the head",
            code="E_MEMORY",
            got=f"preprocess.size={size}, train.head.views={recipe.train.head.views}",
            remedy="train into a new folder with smaller pictures (--set preprocess.size=...) or fewer views",
        )
    return TrainingError(
        "memory ran out while training",
        code="E_MEMORY",
        got=f"train.finetune.batch={recipe.train.finetune.batch}, preprocess.size={size}",
        remedy="train into a new folder with half the batch (--set train.finetune.batch=...) or smaller pictures",
    )
