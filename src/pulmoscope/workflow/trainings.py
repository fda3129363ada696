"""Trainings that need nothing of each other, wherever an engine runs them: a run each, or a fold of one."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pulmoscope.cohort import Cohort
from pulmoscope.errors import PulmoscopeError, RunBusyError, RunError, StorageError
from pulmoscope.files import exclusive
from pulmoscope.search.engine import Engine, attempt, beyond
from pulmoscope.training import Recipe
from pulmoscope.workflow.crossval import folds_of, train_fold
from pulmoscope.workflow.parts import decode_all
from pulmoscope.workflow.training_run import claim, train

log = logging.getLogger("pulmoscope")

# What the next training would not be spared, or must not be told of as a failed training.
_ENDS_ALL = (StorageError, RunBusyError)
_NOT_OURS = frozenset({"E_RESUME_MISMATCH", "E_RUN_EXISTS"})
_WITH_CODE = re.compile(r"(?P<fold>fold \d+: )?(?P<code>E_[A-Z_]+): (?P<what>.*)")


@dataclass(frozen=True, kw_only=True)
class Training:
    """One run, or one fold of one, small enough to be sent to a worker.

    Attributes:
        recipe: What is trained.
        cohort: The cohort's folder; absolute.
        out: The run's folder; absolute.
        seed: Of everything random.
        progress: Draw progress bars.
        fold: Of the cohort's, held out; None for the whole run.
    """

    recipe: Recipe
    cohort: str
    out: str
    seed: int
    progress: bool
    fold: int | None = None


def run_training(training: Training) -> PulmoscopeError | None:
    """Train, go on, or find it finished; an error that ends all trainings is returned, any other is raised."""
    cohort = Cohort.read(training.cohort)
    given: dict[str, Any] = {"seed": training.seed, "progress": training.progress}
    place = Path(training.out)
    fresh = not place.exists()
    try:
        if training.fold is None:
            train(training.recipe, cohort, out=place, resume=True, **given)
        else:
            train_fold(training.recipe.resolved(), cohort, place, training.fold, **given)
    except PulmoscopeError as error:
        if isinstance(error, _ENDS_ALL) or error.code in _NOT_OURS:
            return error
        clear_unbegun(place, fresh)
        raise
    except Exception:
        clear_unbegun(place, fresh)
        raise
    return None


def run_trainings(
    trainings: Sequence[Training], cohort: Cohort, engine: Engine
) -> Generator[tuple[Training, str | None], None, None]:
    """Each training with why it failed, or None, as soon as it has ended.

    Where the engine works outside this process it first builds the picture stores, and the folds of a
    cross-validation are pieces of their own, which this process joins when all of them have ended.

    Args:
        trainings: Each with a folder of its own.
        cohort: What their cohort folder holds.
        engine: What trains.

    Raises:
        CohortError: No picture can be read.
        StorageError: The disk is full.
        RunError: A folder is another process's or holds other settings, or no store could be built.
    """
    apart = beyond(engine) is not None
    waiting = [one for one in trainings if not (Path(one.out) / "metrics.json").is_file()]
    if apart and waiting:
        build_stores([one.recipe for one in waiting], cohort, engine, progress=waiting[0].progress)
    folds = folds_of(cohort) if apart else []
    divided = {one.out: one for one in waiting} if folds else {}
    fresh = {out: not Path(out).exists() for out in divided}
    pieces = [
        piece
        for one in trainings
        for piece in ([replace(one, fold=fold) for fold in folds] if one.out in divided else [one])
    ]
    left = dict.fromkeys(divided, len(folds))
    reasons: dict[str, str] = {}
    with contextlib.ExitStack() as held:
        # While its folds are trained a run is this process's: another that opened it would clear what they are writing.
        locks = {out: held.enter_context(contextlib.ExitStack()) for out in divided}
        for one in divided.values():
            # Before they begin: a run that is not ours must not find out when all of them have been trained.
            locks[one.out].enter_context(exclusive(Path(one.out)))
            claim(Path(one.out), one.recipe.resolved(), cohort, one.seed, resume=True)
        outcomes = held.enter_context(contextlib.closing(engine.run(run_training, pieces)))
        for outcome in outcomes:
            piece, error = outcome.item, outcome.error
            _raise(outcome.value)
            if piece.fold is None:
                yield piece, error
                continue
            if error is not None:
                reasons.setdefault(piece.out, f"fold {piece.fold}: {error}")
            left[piece.out] -= 1
            if left[piece.out]:
                continue
            whole, reason = divided[piece.out], reasons.get(piece.out)
            locks[piece.out].close()
            if reason is None:
                value, reason = attempt(run_training, whole)
                _raise(value)
            else:
                clear_unbegun(Path(whole.out), fresh[whole.out])
            yield whole, reason


def build_stores(recipes: Sequence[Recipe], cohort: Cohort, engine: Engine, *, progress: bool) -> None:
    """Let the engine decode a cohort's pictures once for each preprocessing, unless a store of them is there."""
    chosen = {one.resolved().preprocess.model_dump_json(): one.resolved().preprocess for one in recipes}
    for preprocess in chosen.values():
        decode_all(cohort, preprocess, progress=progress, engine=beyond(engine))


def prepare_run(training: Training, cohort: Cohort, engine: Engine) -> None:
    """Do on an engine what a run that this process has claimed can be spared: its pictures and its folds.

    Args:
        training: The whole run; its folds find the cohort in its cohort folder.
        cohort: What is trained on.
        engine: What decodes and trains.

    Raises:
        PulmoscopeError: Why a fold could not be trained; what the others have done is kept.
    """
    if (Path(training.out) / "metrics.json").is_file():
        return
    build_stores([training.recipe], cohort, engine, progress=training.progress)
    pieces = [replace(training, fold=fold) for fold in folds_of(cohort)]
    if pieces:
        cohort.write(training.cohort)
    with contextlib.closing(engine.run(run_training, pieces)) as outcomes:
        for number, outcome in enumerate(outcomes, 1):
            _raise(outcome.value)
            refuse_failed(f"fold {outcome.item.fold}", outcome.error)
            log.info("fold %s: trained (%d of %d)", outcome.item.fold, number, len(pieces))


def refuse_failed(name: str, reason: str | None) -> None:
    """Raise why a training failed, where it did.

    Raises:
        RunError: With the code of the reason.
    """
    if reason is None:
        return
    told = _WITH_CODE.fullmatch(reason)
    if told is None:
        raise RunError(f"{name}: {reason}")
    raise RunError(f"{name}: {told['fold'] or ''}{told['what']}", code=told["code"])


def _raise(error: PulmoscopeError | None) -> None:
    if error is not None:
        raise error


def clear_unbegun(folder: Path, fresh: bool) -> None:
    """A run that failed before its first epoch binds nobody to its settings: with other weights it may go."""
    if fresh and folder.is_dir() and not any(folder.rglob("history.csv")):
        shutil.rmtree(folder)
