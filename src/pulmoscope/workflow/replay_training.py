"""The trainings of a replay: one a variant and seed, wherever they run."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pulmoscope.cohort import Cohort
from pulmoscope.errors import PulmoscopeError, RunBusyError, StorageError, WeightsError
from pulmoscope.search.engine import Engine
from pulmoscope.training import Recipe
from pulmoscope.workflow.listing import WEIGHTS_OF_THE_USER
from pulmoscope.workflow.training_run import train

log = logging.getLogger("pulmoscope")

# A full disk or another process at work is nothing that the next variant would be spared.
_ENDS_ALL = (StorageError, RunBusyError)
# What lies in a folder must not be told of as if it had not been trained.
_NOT_OURS = frozenset({"E_RESUME_MISMATCH", "E_RUN_EXISTS"})


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run of a replay.

    Attributes:
        label: Of the variant.
        recipe: The variant.
        cohort: Folder of the cohort; absolute.
        out: Folder of the run; absolute.
        seed: Of everything random.
        progress: Draw progress bars.
    """

    label: str
    recipe: Recipe
    cohort: str
    out: str
    seed: int
    progress: bool


class Ended(NamedTuple):
    """What became of a training: nothing to tell, why it could not be, or an error that ends the replay."""

    reason: str | None = None
    ends_all: PulmoscopeError | None = None


def train_one(task: Training) -> Ended:
    """Train a run, go on with it, or find it finished."""
    place = Path(task.out)
    fresh = not place.exists()
    try:
        train(
            task.recipe,
            Cohort.read(task.cohort),
            out=place,
            seed=task.seed,
            resume=True,
            progress=task.progress,
        )
    except _ENDS_ALL as error:
        return Ended(ends_all=error)
    except (PulmoscopeError, RuntimeError, ValueError) as error:
        if isinstance(error, PulmoscopeError) and error.code in _NOT_OURS:
            return Ended(ends_all=error)
        if fresh:
            _clear_unbegun(place)
        return Ended(reason=_reason(error, task.recipe))
    return Ended()


def train_variants(
    recipes: Mapping[str, Recipe],
    folder: Path,
    seeds: Sequence[int],
    cohort: Path,
    engine: Engine,
    *,
    progress: bool,
) -> Iterator[tuple[str, dict[int, str]]]:
    """Train every variant with every seed; each variant with its failures, as soon as its last training has ended.

    Args:
        recipes: By the name of their folder.
        folder: Of the replay; absolute.
        seeds: Of each variant.
        cohort: Folder of the cohort; absolute.
        engine: What trains.
        progress: Draw progress bars.

    Raises:
        PulmoscopeError: One that ends the replay.
    """
    tasks = [
        Training(
            label=label,
            recipe=recipe,
            cohort=str(cohort),
            out=str(folder / label / f"seed-{seed}"),
            seed=seed,
            progress=progress,
        )
        for label, recipe in recipes.items()
        for seed in seeds
    ]
    waiting = dict.fromkeys(recipes, len(seeds))
    reasons: dict[str, dict[int, str]] = {label: {} for label in recipes}
    with contextlib.closing(engine.run(train_one, tasks)) as outcomes:
        for outcome in outcomes:
            task, ended = outcome.item, outcome.value
            if ended is not None and ended.ends_all is not None:
                raise ended.ends_all
            reason = outcome.error if ended is None else ended.reason
            if reason is not None:
                reasons[task.label][task.seed] = reason
                log.warning("%s, seed %d: %s", task.recipe.title, task.seed, reason)
            waiting[task.label] -= 1
            if not waiting[task.label]:
                done = sum(not left for left in waiting.values())
                log.info("%s: trained (%d of %d)", task.recipe.title, done, len(recipes))
                yield task.label, dict(sorted(reasons[task.label].items()))


def _clear_unbegun(folder: Path) -> None:
    """A run that failed before its first epoch binds nobody to its settings: with other weights it may go."""
    if folder.is_dir() and not any(folder.rglob("history.csv")):
        shutil.rmtree(folder)


def _reason(error: Exception, recipe: Recipe) -> str:
    text = " ".join(str(error).split())
    if not isinstance(error, PulmoscopeError):
        return f"{type(error).__name__}: {text[:300]}"
    if isinstance(error, WeightsError) and recipe.model.weights.startswith("xrv:") and recipe.variant:
        text += (
            f"; this variant needs --variants {recipe.variant} {WEIGHTS_OF_THE_USER}, and a folder of its own"
        )
    return text
