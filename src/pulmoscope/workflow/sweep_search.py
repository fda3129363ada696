"""The trials of a sweep from the first to the chosen run."""

from __future__ import annotations

import contextlib
import logging
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RecipeError, StorageError, TrainingError
from pulmoscope.files import make_folder
from pulmoscope.search.engine import Engine, beyond
from pulmoscope.search.objective import Validation, objective_values
from pulmoscope.search.samplers import TPE_BATCH, Params, grid_points, random_points, tpe_point
from pulmoscope.search.study import Study, sqlite_url
from pulmoscope.search.trial_files import TrialResult, forget_failed, open_groups, trial_path, write_trial
from pulmoscope.training import Recipe, load_recipe
from pulmoscope.training.history import improves
from pulmoscope.workflow.parts import Parts, decode_all, with_splits
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.sweep_findings import Findings, analyse
from pulmoscope.workflow.sweep_setup import Setup, refuse_known
from pulmoscope.workflow.sweep_trials import (
    NO_MEMORY,
    Piece,
    Trial,
    read_parts,
    read_results,
    record,
    run_piece,
    validation_of,
)
from pulmoscope.workflow.training_run import claim, train_once

log = logging.getLogger("pulmoscope")

# Heads in one group: a kill costs at most one group's time, and a worker has something to take.
_GROUP = 24
_ROUNDING = 1e-4
# Of errors that another attempt may well be spared.
_PASSING = ("E_WORKER", NO_MEMORY, "MemoryError")


def search_trials(setup: Setup, cohort: Cohort, folder: Path, engine: Engine) -> Findings:
    """All trials, the choice, and the chosen run with its test part; what is there already stays."""
    parts = _split_once(setup, cohort, folder, engine)
    url = setup.storage or sqlite_url(folder)
    name = f"{setup.recipe.title} {setup.uid} {folder.name}"
    open_groups(folder)
    forget_failed(folder, range(setup.trials))
    done: dict[int, TrialResult] = {}
    read_results(folder, range(setup.trials), done)
    trials: dict[int, Trial] = {}
    with Study(url, name, maximise=setup.maximise) as study:
        entered = {trial.number: trial.params for trial in study.trials()}
        first = 0
        for points in _rounds(setup, done, entered):
            study.add(setup.space, points, first=first)
            numbers = range(first, first + len(points))
            first += len(points)
            # Before any is refused: what failed in an earlier life is a new try now.
            study.release([number for number in numbers if number not in done])
            batch = []
            for number, params in zip(numbers, points, strict=True):
                reason = _why_not(setup, params)
                if reason is None:
                    batch.append(setup.trial(number, params))
                else:
                    refused = TrialResult(number=number, params=params, state="failed", reason=reason)
                    log.warning("trial %d failed: %s", number, reason)
                    write_trial(folder, refused)
                    done[number] = refused
            trials |= {trial.number: trial for trial in batch}
            for number in numbers:
                if number in done:
                    record(study, done[number])
            pieces = _pieces(setup, batch, done, folder, url, name)
            _run(setup, engine, pieces, study, folder, done)
    validation = validation_of(parts, setup.recipe.resolved(), setup.seed)
    findings = analyse(
        [done[number] for number in sorted(done)],
        space=setup.space,
        objective=setup.objective,
        validation=validation,
        seed=setup.seed,
    )
    findings.write(folder)
    _clear(folder, done, keep=findings.best)
    if findings.best is None:
        reasons = [result.reason for result in done.values() if result.reason]
        raise TrainingError(
            f"none of {len(done)} trials was completed",
            got=reasons[0] if reasons else "nothing",
            remedy="the reasons of all are in trials.csv",
        )
    _train_best(setup, trials[findings.best], parts.cohort, folder)
    return replace(findings, saved=_saved_otherwise(setup, findings, validation, folder))


def _split_once(setup: Setup, cohort: Cohort, folder: Path, engine: Engine) -> Parts:
    """Every trial sees the same parts: they are divided once and kept in the folder."""
    recipe = setup.recipe.resolved()
    if not (folder / "cohort.parquet").is_file():
        decoded = decode_all(cohort, recipe.preprocess, progress=setup.progress, engine=beyond(engine))
        divided = with_splits(
            decoded.cohort, fold=None, validation_fraction=recipe.validation_fraction, seed=setup.seed
        )
        refuse_known(setup, divided)
        divided.write(folder)
    return read_parts(str(folder), recipe.preprocess.model_dump_json())


def _why_not(setup: Setup, params: Params) -> str | None:
    """Why no recipe has these values; only proposals can be such, as all other points were checked at the start."""
    wrong = setup.space.mistakes(setup.content, [params]) if setup.sampler == "tpe" else []
    return f"E_SPACE: {'; '.join(wrong)}" if wrong else None


def _rounds(
    setup: Setup, done: Mapping[int, TrialResult], entered: Mapping[int, Params]
) -> Iterator[list[Params]]:
    """Lists of points to be tried one after another; ``done`` fills as they are.

    Proposals are made a batch at a time from the trials before the batch alone, so that they do not depend on which
    worker was faster. One that was ``entered`` already stays, even where a trial that failed before it runs again.
    """
    if setup.sampler == "grid":
        yield grid_points(setup.space)
        return
    if setup.sampler == "random":
        yield random_points(setup.space, setup.trials, seed=setup.seed)
        return
    for first in range(0, setup.trials, TPE_BATCH):
        known = [
            (dict(done[number].params), float(done[number].objective or 0.0))
            for number in sorted(done)
            if number < first and done[number].state == "complete"
        ]
        without = [
            dict(one.params) for one in done.values() if one.number < first and one.state != "complete"
        ]
        points: list[Params] = []
        for number in range(first, min(first + TPE_BATCH, setup.trials)):
            before = entered.get(number) or (done[number].params if number in done else None)
            points.append(
                dict(before)
                if before is not None
                else tpe_point(
                    setup.space,
                    number,
                    known,
                    seed=setup.seed,
                    maximise=setup.maximise,
                    pending=[*without, *points],
                )
            )
        yield points


def _pieces(
    setup: Setup, batch: Sequence[Trial], done: Mapping[int, TrialResult], folder: Path, url: str, name: str
) -> list[Piece]:
    """Trials in the pieces that workers take: a group of heads, or one trial; none of those that have ended."""
    by_features: dict[str, list[Trial]] = {}
    pieces: list[tuple[list[Trial], bool]] = []
    for trial in batch:
        together = trial.together
        if together is None:
            pieces.append(([trial], False))
        else:
            by_features.setdefault(together, []).append(trial)
    # Groups go by the trials alone, ended or not, so that a resumed one has the same members. Heads that see the same
    # batches and drop the same features stand together: they are what is quick in company.
    for group in by_features.values():
        group.sort(key=_company)
    pieces[:0] = [
        (group[start : start + _GROUP], True)
        for group in by_features.values()
        for start in range(0, len(group), _GROUP)
    ]
    owner = uuid.uuid4().hex
    return [
        Piece(
            folder=str(folder), trials=tuple(group), together=together,
            base=setup.recipe.resolved().model_dump_json(), objective=setup.objective, seed=setup.seed, url=url,
            study=name, owner=owner, prune=setup.prune, progress=setup.progress,
        )
        for group, together in pieces
        if any(trial.number not in done for trial in group)
    ]  # fmt: skip


def _company(trial: Trial) -> tuple[int, float, int]:
    recipe = trial.load()
    return recipe.train.head.batch, recipe.model.head.dropout, trial.number


def _run(
    setup: Setup,
    engine: Engine,
    pieces: Sequence[Piece],
    study: Study,
    folder: Path,
    done: dict[int, TrialResult],
) -> None:
    """Run the pieces; ``done`` fills with the trials that have ended."""
    if not pieces:
        return
    total = len(done) + sum(trial.number not in done for piece in pieces for trial in piece.trials)
    log.info("%d of %d trials to run", total - len(done), total)
    lost: list[tuple[int, str]] = []
    with contextlib.closing(engine.run(run_piece, pieces)) as outcomes:
        for outcome in outcomes:
            numbers = [trial.number for trial in outcome.item.trials]
            read_results(folder, numbers, done)
            missing = [number for number in numbers if number not in done]
            passing = outcome.error is not None and outcome.error.startswith(_PASSING)
            if (outcome.error is not None or missing) and not passing:
                raise StorageError(
                    "the sweep cannot go on",
                    code="E_SWEEP",
                    got=outcome.error or f"trial {missing[0]} is another process's",
                    remedy="go on with --resume",
                )
            if outcome.error is not None:
                # What ended before the worker did.
                for number in numbers:
                    if number in done:
                        record(study, done[number])
                lost += [(number, outcome.error) for number in missing]
                log.warning("%d trials were lost: %s", len(missing), outcome.error)
            best = _best(setup, done)
            said = "" if best is None else f"; best so far: trial {best.number}, {best.objective:.4f}"
            log.info("%d of %d trials have ended%s", len(done), total, said)
            _clear(folder, done, keep=None if best is None else best.number)
    if lost:
        raise TrainingError(
            f"{len(lost)} of {total} trials were lost with their workers or to memory, the first of them "
            f"trial {lost[0][0]}; all others were run and are kept",
            code="E_SWEEP_LOST",
            got=lost[0][1],
            remedy="free memory or take fewer workers, and go on with --resume",
        )


def _best(setup: Setup, done: Mapping[int, TrialResult]) -> TrialResult | None:
    """The first of the best, as :func:`analyse` has it."""
    best: TrialResult | None = None
    for number in sorted(done):
        result = done[number]
        if result.objective is not None and improves(
            setup.objective, result.objective, None if best is None else best.objective
        ):
            best = result
    return best


def _clear(folder: Path, done: Mapping[int, TrialResult], *, keep: int | None) -> None:
    """Remove the checkpoints of trials that have ended, but those of the best."""
    for number in done:
        if number != keep:
            shutil.rmtree(trial_path(folder, number).with_suffix(""), ignore_errors=True)


def _train_best(setup: Setup, trial: Trial, cohort: Cohort, folder: Path) -> None:
    """The chosen trial as a run: from its checkpoints where there are, else trained again by recipe and seed."""
    recipe = Recipe.model_validate_json(trial.recipe)
    target, own = folder / "best", trial_path(folder, trial.number).with_suffix("")
    _set_aside(target, recipe)
    if not target.is_dir() and own.is_dir():
        begun = target.with_name(".best")
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(own, begun)
        begun.rename(target)
    make_folder(target)
    claim(target, recipe, cohort, setup.seed, resume=(target / "recipe.yaml").is_file())
    log.info("trial %d was chosen by validation", trial.number)
    train_once(recipe, cohort, target, seed=setup.seed, fold=None, progress=setup.progress)


def _set_aside(target: Path, recipe: Recipe) -> None:
    """Make room where another trial was the best before those that had failed ran again."""
    if not (target / "recipe.yaml").is_file() or _is_recipe(target / "recipe.yaml", recipe):
        return
    if not (target / "metrics.json").is_file():
        shutil.rmtree(target)
        return
    number = 1
    while (aside := target.with_name(f"best-before-{number}")).exists():
        number += 1
    target.rename(aside)
    log.warning("another trial was chosen before, and the test part was read for it too: see %s", aside)


def _is_recipe(path: Path, recipe: Recipe) -> bool:
    """Whether a file says the same as a recipe, however it is laid out; one that cannot be read does not."""
    try:
        return load_recipe(path).as_yaml() == recipe.as_yaml()
    except RecipeError:
        return False


def _saved_otherwise(setup: Setup, findings: Findings, validation: Validation, folder: Path) -> float | None:
    """What the saved model reaches on validation, where that is not what the trial did; None where it is.

    A trial of a head is judged on features in the training's precision; the model recomputes close calls in full.
    """
    run = Run(folder / "best")
    if run.recipe.predict.views > 1:
        return None
    answers = np.asarray(run.predict("val").probabilities)[None]
    value = float(objective_values(setup.objective, validation, answers, validation.whole)[0, 0])
    before = float(findings.row(findings.best)["objective"])
    if abs(value - before) <= _ROUNDING:
        return None
    log.warning(
        "%s of the chosen trial is %.4f as the saved model predicts, %.4f as the sweep measured it: close calls "
        "are rounded otherwise",
        setup.objective, value, before,
    )  # fmt: skip
    return value
