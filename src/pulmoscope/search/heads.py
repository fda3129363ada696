"""Many heads on frozen features at once: each as if it were trained alone, in a fraction of the time.

The features of each distinct backbone and augmentation are computed once. Heads that see the same pictures in the same
batches and drop the same places out form a stack, which learns as one network (``stack.py``); they may differ in
optimiser, rate, schedule, decay, penalties, epochs and patience. Stacks do not depend on each other and run side by
side, a thread each and one thread inside: their products are too small to be shared out.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pulmoscope.errors import PulmoscopeError, RecipeError
from pulmoscope.inference import keep_memory
from pulmoscope.progress import track
from pulmoscope.search.lessons import Lessons
from pulmoscope.search.stack import Learned, Lesson, train_stack
from pulmoscope.training.batches import Examples
from pulmoscope.training.failures import one_line
from pulmoscope.training.history import EpochRow
from pulmoscope.training.recipe import Recipe

# Of one stack's weights. Gradients and moments are three times as much again, and all should stay in the cache.
_STACK_BYTES = 5 * 2**20
# So that a few cores have something to do. A constant, because a head's rounding depends on the company it learns in,
# and must not depend on the machine's cores.
_FEWEST_STACKS = 4
# Drawing whether one place is dropped takes as long as so many products of a weight and a picture.
_DRAW = 160
# Seconds that a stack's thread waits for the interpreter before it asks; it needs it for microseconds, thousands of
# times an epoch. Python's own 5 ms cost a tenth of the time of two stacks side by side.
_TURN = 3e-4


@dataclass(frozen=True, kw_only=True)
class HeadJob:
    """One head to be trained.

    Attributes:
        recipe: Resolved, and without fine-tuning.
        seed: Of everything random.
    """

    recipe: Recipe
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadOutcome:
    """What became of it.

    Attributes:
        rows: A row an epoch; ``seconds`` is the head's share of its stack's.
        best_epoch: From 1; 0 with an error.
        best_value: Of the recipe's ``train.select`` in that epoch; None with an error.
        weights: Of that epoch, by their names in ``Classifier.head``; empty with an error.
        val_probabilities: Of the validation pictures as they are, in that epoch, (M, C); NaN with an error.
        error: What ended it, in one line; None where nothing did.
    """

    rows: list[EpochRow]
    best_epoch: int
    best_value: float | None
    weights: dict[str, torch.Tensor]
    val_probabilities: NDArray[np.float64]
    error: str | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stack:
    """Jobs, by their places, that learn together."""

    places: list[int]
    heads: list[nn.Sequential]
    lesson: Lesson
    recipes: list[Recipe]

    @property
    def cost(self) -> int:
        """Weights moved, pictures multiplied and dropout drawn in all epochs, in some unit."""
        weights = sum(value.numel() for value in self.heads[0].state_dict().values())
        pictures = len(self.lesson.sampler)
        epochs = [recipe.train.head.epochs for recipe in self.recipes]
        learning = int(weights) * sum(epochs) * (pictures + 16 * -(-pictures // self.lesson.batch))
        places = sum(value.shape[1] for value in self.heads[0].state_dict().values() if value.ndim > 1)
        return learning + (_DRAW * places * pictures * max(epochs) if self.lesson.spec.dropout else 0)

    def split(self, parts: int) -> list[_Stack]:
        """The same in ``parts`` stacks."""
        return [
            _Stack(
                places=[self.places[at] for at in chosen],
                heads=[self.heads[at] for at in chosen],
                lesson=self.lesson,
                recipes=[self.recipes[at] for at in chosen],
            )
            for chosen in np.array_split(np.arange(len(self.places)), parts)
        ]

    def train(self) -> list[Learned]:
        """Each member's fate.

        Raises:
            TrainingError: Memory ran out.
        """
        with one_line(self.recipes[0], "head"):
            return train_stack(self.heads, [recipe.train.head for recipe in self.recipes], self.lesson)


def train_heads(
    jobs: Sequence[HeadJob],
    *,
    train: Examples,
    val: Examples,
    classes: tuple[str, ...],
    progress: bool = False,
) -> list[HeadOutcome]:
    """Train one head a job as :func:`pulmoscope.training.fit` would in its first stage.

    Start, order, views and dropout are those of the lone head (:func:`pulmoscope.training.head_stage.train_head`), so
    numbers differ from its by the rounding of float32 alone. Whatever a recipe says of stage 1 is followed.
    ``train.refit`` is not: it is for the recipe that was chosen.

    Args:
        jobs: Any number, of any recipes.
        train: Pictures to learn from.
        val: Pictures that choose the epoch.
        classes: Their names, in the order of the labels.
        progress: Draw progress bars.

    Returns:
        An outcome a job, in order. A job that cannot be trained (weights that are not there, a loss that is not finite)
        says so in ``error``, and the others go on.

    Raises:
        RecipeError: A recipe has fine-tuning or a cascade.
    """
    for job in jobs:
        _check(job.recipe)
    keep_memory()
    found: dict[int, Learned | PulmoscopeError] = {}
    shared: dict[int, list[tuple[int, nn.Sequential, Lesson]]] = defaultdict(list)
    lessons = Lessons(train=train, val=val, classes=classes, progress=progress)
    for place, job in enumerate(jobs):
        try:
            with one_line(job.recipe, "head"):
                head, lesson = lessons.prepare(job.recipe, job.seed)
        except PulmoscopeError as error:
            found[place] = error
        else:
            shared[id(lesson)].append((place, head, lesson))
    stacks = [
        _Stack(
            places=[place for place, _, _ in members],
            heads=[head for _, head, _ in members],
            lesson=members[0][2],
            recipes=[jobs[place].recipe for place, _, _ in members],
        )
        for members in shared.values()
    ]
    with _single_threads() as workers:
        for stack, outcome in _train_all(_sized(stacks), workers, progress):
            for at, place in enumerate(stack.places):
                found[place] = outcome if isinstance(outcome, PulmoscopeError) else outcome[at]
    blank = np.full((len(val), len(classes)), np.nan)
    return [_outcome(found[place], blank) for place in range(len(jobs))]


def _check(recipe: Recipe) -> None:
    if recipe.cascade is not None or recipe.train.finetune.epochs:
        raise RecipeError(
            f"{recipe.title} trains more than a head on frozen features",
            expected="train.finetune.epochs of 0, and no cascade",
            got="a cascade"
            if recipe.cascade is not None
            else f"train.finetune.epochs={recipe.train.finetune.epochs}",
            remedy="train it on its own, or set train.finetune.epochs=0",
        )


def _sized(stacks: Sequence[_Stack]) -> list[_Stack]:
    """Stacks that fit the cache, at least four where there are so many heads; the dearest first."""
    fitting = []
    for stack in stacks:
        size = sum(value.nbytes for value in stack.heads[0].state_dict().values())
        fitting += stack.split(-(-len(stack.places) * size // max(size, _STACK_BYTES)))
    while len(fitting) < _FEWEST_STACKS and any(len(stack.places) > 1 for stack in fitting):
        widest = max(fitting, key=lambda stack: (len(stack.places) > 1, stack.cost))
        fitting.remove(widest)
        fitting += widest.split(2)
    return sorted(fitting, key=lambda stack: stack.cost, reverse=True)


def _train_all(
    stacks: Sequence[_Stack], workers: int, progress: bool
) -> Iterator[tuple[_Stack, list[Learned] | PulmoscopeError]]:
    with ThreadPoolExecutor(workers) as pool:
        try:
            running = {pool.submit(stack.train): stack for stack in stacks}
            for future in track(
                as_completed(running), "heads on frozen features", enabled=progress, total=len(stacks)
            ):
                error = future.exception()
                if error is not None and not isinstance(error, PulmoscopeError):
                    raise error
                yield running[future], error if error is not None else future.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _single_threads() -> Iterator[int]:
    """One thread inside every operation, also of threads that start inside; yields how many there were."""
    before, turn = torch.get_num_threads(), sys.getswitchinterval()
    torch.set_num_threads(1)
    sys.setswitchinterval(_TURN)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
        sys.setswitchinterval(turn)


def _outcome(found: Learned | PulmoscopeError, blank: NDArray[np.float64]) -> HeadOutcome:
    error = found if isinstance(found, PulmoscopeError) else found.error
    if isinstance(found, PulmoscopeError) or error is not None:
        rows = [] if isinstance(found, PulmoscopeError) else found.rows
        return HeadOutcome(
            rows=rows, best_epoch=0, best_value=None, weights={}, val_probabilities=blank, error=str(error)
        )
    return HeadOutcome(
        rows=found.rows,
        best_epoch=found.best_epoch,
        best_value=found.best_value,
        weights=found.weights,
        val_probabilities=found.probabilities,
        error=None,
    )
