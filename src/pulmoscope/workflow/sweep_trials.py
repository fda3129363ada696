"""The trials of a sweep, as its workers run them."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pulmoscope.cohort import Cohort
from pulmoscope.errors import PulmoscopeError, StorageError, TrainingError
from pulmoscope.files import make_folder
from pulmoscope.imaging import Preprocess
from pulmoscope.inference import Predictor
from pulmoscope.models import Bundle
from pulmoscope.models.state_files import file_sha256
from pulmoscope.search.engine import one_line
from pulmoscope.search.heads import HeadJob, train_heads
from pulmoscope.search.objective import Validation, is_better_high, objective_values
from pulmoscope.search.space import Value, show
from pulmoscope.search.study import Study
from pulmoscope.search.trial_files import (
    TrialResult,
    open_group,
    read_trial,
    trial_path,
    write_group,
    write_trial,
)
from pulmoscope.training import Recipe, fit
from pulmoscope.training.failures import ran_out_of_memory
from pulmoscope.training.history import EpochRow
from pulmoscope.training.losses import class_weights
from pulmoscope.training.sampling import limited
from pulmoscope.training.selection import column_of
from pulmoscope.workflow.cascade import fit_cascade
from pulmoscope.workflow.parts import Parts, decode_all

log = logging.getLogger("pulmoscope")

NO_MEMORY = "E_MEMORY"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is to be tried.

    Attributes:
        number: From 0.
        params: Axis -> value.
        recipe: The resolved recipe as JSON.
    """

    number: int
    params: Mapping[str, Value]
    recipe: str

    def load(self) -> Recipe:
        """The recipe; trials never train again on their validation pictures, which judge them."""
        content = json.loads(self.recipe)
        content["train"]["refit"] = False
        return Recipe.model_validate(content)

    @property
    def together(self) -> str | None:
        """Which heads it can be trained with: those on the same features. None where the backbone learns too."""
        recipe = self.load()
        if recipe.cascade is not None or recipe.train.finetune.epochs > 0:
            return None
        model = recipe.model.model_dump(mode="json")
        shared = {
            "model": {key: model[key] for key in ("backbone", "options", "weights")},
            "pool": model["head"]["pool"],
            "preprocess": recipe.preprocess.model_dump(mode="json"),
            "augment": recipe.augment.model_dump(mode="json"),
            "views": recipe.train.head.views,
        }
        return json.dumps(shared, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a worker gets: one trial, or heads that are trained together.

    Attributes:
        folder: Of the sweep; absolute. It holds the cohort with its split.
        trials: By number.
        together: Whether they are heads on the same features.
        base: The sweep's own recipe as JSON, whose class weights the validation loss goes by.
        objective: The metric.
        seed: Of everything random.
        url: Of the storage.
        study: Its name there.
        owner: Who claims the trials.
        prune: Whether a trial under the median of the others ends early.
        progress: Draw progress bars.
    """

    folder: str
    trials: tuple[Trial, ...]
    together: bool
    base: str
    objective: str
    seed: int
    url: str
    study: str
    owner: str
    prune: bool
    progress: bool


class PrunedError(Exception):
    """The trial lies under the median of the others."""

    def __init__(self, epoch: int, rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(f"pruned after epoch {epoch}")
        self.epoch, self.rows = epoch, rows


def run_piece(piece: Piece) -> tuple[int, ...]:
    """Run the trials of a piece that nobody else has; the numbers of those that ended here.

    Raises:
        StorageError: The disk is full, or the storage does not answer: the sweep cannot go on.
        TrainingError: Memory ran out. Such trials leave no file: with more of it they may well be completed.
    """
    folder = Path(piece.folder)
    with Study(piece.url, piece.study, maximise=is_better_high(piece.objective)) as study:
        mine = [trial for trial in piece.trials if study.claim(trial.number, piece.owner)]
        found = {trial.number: read_trial(folder, trial.number) for trial in mine}
        wanted = [trial for trial in mine if found[trial.number] is None]
        tried: list[TrialResult] = []
        if wanted and piece.together:
            # All of the group, so that a group that was interrupted is trained in the same company.
            numbers = {trial.number for trial in wanted}
            tried = [one for one in _train_together(piece, folder) if one.number in numbers]
        elif wanted:
            tried = [_train_alone(piece, trial, folder, study) for trial in wanted]
        results = [one for one in tried if not _lacked_memory(one)]
        if results and piece.together:
            open_group(folder, write_group(folder, results))
        else:
            for result in results:
                write_trial(folder, result)
        # Those found had ended before; a kill may have come before the storage was told.
        for ended in (*results, *found.values()):
            if ended is not None:
                record(study, ended)
        lost = [one for one in tried if _lacked_memory(one)]
        if lost:
            raise TrainingError(
                f"memory ran out in {len(lost)} of {len(tried)} trials", code=NO_MEMORY, got=lost[0].reason
            )
        return tuple(result.number for result in results)


def record(study: Study, result: TrialResult) -> None:
    """Enter a trial's end in the storage."""
    study.finish(
        result.number, result.state, result.objective, epoch=result.epoch, seconds=round(result.seconds, 3),
        reason=result.reason,
    )  # fmt: skip


def read_parts(folder: str, preprocess: str) -> Parts:
    """The sweep's cohort and the store of its pictures, opened once a process and preprocessing."""
    return _parts_of(folder, preprocess, file_sha256(Path(folder) / "cohort.parquet"))


@lru_cache(maxsize=2)
def _parts_of(folder: str, preprocess: str, sha256: str) -> Parts:  # noqa: ARG001 - a part of the cache's key
    """As :func:`read_parts`; with the cohort's SHA-256, because a long process may see another sweep in the folder."""
    cohort = Cohort.read(Path(folder) / "cohort.parquet")
    return decode_all(cohort, Preprocess.model_validate_json(preprocess), progress=False)


def validation_of(parts: Parts, base: Recipe, seed: int, *, split: str = "val") -> Validation:
    """The pictures that trials are judged on; the loss goes by the class weights of the sweep's own recipe."""
    labels = parts.examples("train").labels
    if base.train.limit is not None:
        labels = labels[limited(labels, base.train.limit, seed=seed)]
    classes = tuple(parts.cohort.classes)
    weights = class_weights(base.train.class_weights, labels, classes).double().numpy()
    return Validation.of(
        classes, parts.examples(split).labels, parts.cohort.part(split).frame["group_id"], weights
    )


def _train_together(piece: Piece, folder: Path) -> list[TrialResult]:
    started = time.monotonic()
    recipes = [trial.load() for trial in piece.trials]
    try:
        parts = _parts(folder, recipes[0])
        classes = tuple(parts.cohort.classes)
        outcomes = train_heads(
            [HeadJob(recipe=recipe, seed=piece.seed) for recipe in recipes],
            train=parts.examples("train"),
            val=parts.examples("val"),
            classes=classes,
            progress=piece.progress,
        )
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever ends these heads, the other trials go on
        return [_failed(trial, error, 0.0) for trial in piece.trials]
    share = (time.monotonic() - started) / len(recipes)
    results = []
    for trial, outcome in zip(piece.trials, outcomes, strict=True):
        if outcome.error is not None:
            results.append(_failed(trial, outcome.error, share))
            continue
        results.append(
            _complete(
                piece,
                trial,
                parts,
                outcome.val_probabilities,
                outcome.rows,
                "head",
                outcome.best_epoch,
                share,
            )
        )
    return results


def _train_alone(piece: Piece, trial: Trial, folder: Path, study: Study) -> TrialResult:
    started = time.monotonic()
    log.info("trial %d: %s", trial.number, show(trial.params))
    try:
        recipe = trial.load()
        parts = _parts(folder, recipe)
        probabilities, rows, chosen = _fit(piece, trial, recipe, parts, folder, study)
        kept = chosen.get("second", chosen)
        seconds = time.monotonic() - started
        return _complete(piece, trial, parts, probabilities, rows, kept["stage"], kept["epoch"], seconds)
    except PrunedError as pruned:
        return TrialResult(
            number=trial.number, params=trial.params, state="pruned", stage="finetune", epoch=pruned.epoch,
            seconds=time.monotonic() - started, rows=pruned.rows,
        )  # fmt: skip
    except StorageError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever ends this trial, the others go on
        return _failed(trial, error, time.monotonic() - started)


def _fit(
    piece: Piece, trial: Trial, recipe: Recipe, parts: Parts, folder: Path, study: Study
) -> tuple[NDArray[np.float64], list[EpochRow], dict[str, Any]]:
    own = make_folder(trial_path(folder, trial.number).with_suffix(""))
    column = column_of(piece.objective)

    def judge(row: EpochRow) -> None:
        value = getattr(row, column)
        if not math.isnan(value) and study.report(trial.number, row.epoch, value):
            raise PrunedError(row.epoch, _rows_until(own, row))

    if recipe.cascade is not None:
        cascade = fit_cascade(recipe, parts, folder=own, seed=piece.seed, progress=piece.progress)
        network, spec, origin = cascade.network, cascade.spec, cascade.origin
        rows, chosen = cascade.rows, cascade.chosen
        bundle = Bundle(spec=spec, preprocess=recipe.preprocess, weights=network.state_dict(), origin=origin)
    else:
        fitted = fit(
            recipe,
            train=parts.examples("train"),
            val=parts.examples("val"),
            classes=tuple(parts.cohort.classes),
            folder=own,
            seed=piece.seed,
            progress=piece.progress,
            after_epoch=judge if piece.prune else None,
        )
        rows, chosen = fitted.rows, fitted.chosen
        weights = fitted.network.state_dict()
        bundle = Bundle(spec=fitted.spec, preprocess=recipe.preprocess, weights=weights, origin=fitted.origin)
    predictor = Predictor(bundle, device=recipe.train.device, precision=recipe.train.precision)
    probabilities = predictor.predict_store(parts.store, parts.cohort.part("val").frame["image_id"])
    return probabilities, rows, chosen


def _rows_until(folder: Path, last: EpochRow) -> list[dict[str, Any]]:
    """A trial's epochs of both stages up to ``last``, which its history does not hold yet."""
    before = pd.read_csv(folder / "history.csv").to_dict("records")
    later = [row for row in before if row["stage"] == last.stage and row["epoch"] >= last.epoch]
    return [
        *({str(name): value for name, value in row.items()} for row in before if row not in later),
        asdict(last),
    ]


def _complete(
    piece: Piece,
    trial: Trial,
    parts: Parts,
    probabilities: NDArray[np.float64],
    rows: list[EpochRow],
    stage: str,
    epoch: int,
    seconds: float,
) -> TrialResult:
    validation = validation_of(parts, Recipe.model_validate_json(piece.base), piece.seed)
    answers = np.asarray(probabilities, np.float64)
    value = float(objective_values(piece.objective, validation, answers[None], validation.whole)[0, 0])
    if math.isnan(value):
        return _failed(trial, f"E_UNDEFINED: {piece.objective} is undefined on the validation part", seconds)
    return TrialResult(
        number=trial.number, params=trial.params, state="complete", objective=value, stage=stage, epoch=epoch,
        seconds=seconds, rows=[asdict(row) for row in rows], probabilities=answers,
    )  # fmt: skip


def _failed(trial: Trial, error: Exception | str, seconds: float) -> TrialResult:
    reason = error if isinstance(error, str) else one_line(error)
    if isinstance(error, Exception) and ran_out_of_memory(error):
        reason = f"{NO_MEMORY}: {reason}"
    log.warning("trial %d failed: %s", trial.number, reason)
    return TrialResult(
        number=trial.number, params=trial.params, state="failed", seconds=seconds, reason=reason
    )


def _lacked_memory(result: TrialResult) -> bool:
    return result.state == "failed" and (result.reason or "").startswith(NO_MEMORY)


def _parts(folder: Path, recipe: Recipe) -> Parts:
    return read_parts(str(folder), recipe.preprocess.model_dump_json())


def read_results(folder: Path, numbers: Iterable[int], done: dict[int, TrialResult]) -> None:
    """Add to ``done`` those of the trials ``numbers`` that have ended since."""
    for number in numbers:
        result = None if number in done else read_trial(folder, number)
        if result is not None:
            done[number] = result


def check_pruning(objective: str, select: str) -> None:
    """Prove that every epoch is judged by the objective, without which nothing can be pruned.

    Raises:
        PulmoscopeError: It is of one class, and epochs are chosen by another metric.
    """
    if ":" in objective and objective != select:
        raise PulmoscopeError(
            "--prune needs the objective after every epoch",
            code="E_USAGE",
            expected=f"train.select of {objective}",
            got=select,
            remedy=f"--set train.select={objective}, or leave out --prune",
        )
