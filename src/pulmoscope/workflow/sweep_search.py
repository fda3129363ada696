"""The trials of a sweep from the first to the chosen run."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RecipeError, StorageError, TrainingError
from pulmoscope.files import make_folder
from pulmoscope.search.engine import Engine
from pulmoscope.search.objective import Validation, objective_values
from pulmoscope.search.samplers import Params, grid_points, random_points, tpe_point
from pulmoscope.search.study import Study, sqlite_url
from pulmoscope.search.trial_files import TrialResult, open_groups, trial_path, write_trial
from pulmoscope.training import Recipe
from pulmoscope.training.history import improves
from pulmoscope.workflow.parts import Parts, decode_all, with_splits
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.sweep_findings import Findings, analyse
from pulmoscope.workflow.sweep_setup import Setup
from pulmoscope.workflow.sweep_trials import (
    Piece,
    Trial,
    read_parts,
    read_results,
    record,
    run_piece,
    validation_of,
)
from pulmoscope.workflow.training_run import claim, refuse_known_test, train_once

log = logging.getLogger("pulmoscope")

# Heads in one group: a kill costs at most one group's time.
_GROUP = 72
_ROUNDING = 1e-4
_DIED = "E_WORKER"


def search_trials(setup: Setup, cohort: Cohort, folder: Path, engine: Engine) -> Findings:
    """All trials, the choice, and the chosen run with its test part; what is there already stays."""
    parts = _split_once(setup, cohort, folder)
    url = setup.storage or sqlite_url(folder)
    name = f"{setup.recipe.title} {setup.uid} {folder.name}"
    done: dict[int, TrialResult] = {}
    trials: dict[int, Trial] = {}
    with Study(url, name, maximise=setup.maximise) as study:
        for points in _rounds(setup, done):
            first = len(trials)
            study.add(setup.space, points, first=first)
            batch = [setup.trial(number, params) for number, params in enumerate(points, first)]
            trials |= {trial.number: trial for trial in batch}
            for result in open_groups(folder):
                record(study, result)
            read_results(folder, trials, done)
            for trial in batch:
                if trial.number in done:
                    record(study, done[trial.number])
            study.release([trial.number for trial in batch if trial.number not in done])
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
    _same_as_trial(setup, findings, validation, folder)
    return findings


def _split_once(setup: Setup, cohort: Cohort, folder: Path) -> Parts:
    """Every trial sees the same parts: they are divided once and kept in the folder."""
    recipe = setup.recipe.resolved()
    if not (folder / "cohort.parquet").is_file():
        decoded = decode_all(cohort, recipe.preprocess, progress=setup.progress)
        divided = with_splits(
            decoded.cohort, fold=None, validation_fraction=recipe.validation_fraction, seed=setup.seed
        )
        refuse_known_test(recipe, divided)
        divided.write(folder)
    return read_parts(str(folder), recipe.preprocess.model_dump_json())


def _rounds(setup: Setup, done: Mapping[int, TrialResult]) -> Iterator[list[Params]]:
    """Lists of points to be tried one after another; ``done`` fills as they are.

    Proposals are made a batch at a time from the trials before the batch alone, so that they do not depend on which
    worker was faster.
    """
    if setup.sampler == "grid":
        yield grid_points(setup.space)
        return
    if setup.sampler == "random":
        yield random_points(setup.space, setup.trials, seed=setup.seed)
        return
    for first in range(0, setup.trials, setup.batch):
        known = [
            (dict(done[number].params), float(done[number].objective or 0.0))
            for number in sorted(done)
            if number < first and done[number].state == "complete"
        ]
        points: list[Params] = []
        for number in range(first, min(first + setup.batch, setup.trials)):
            points.append(
                tpe_point(
                    setup.space, number, known, seed=setup.seed, maximise=setup.maximise, pending=points
                )
            )
        wrong = setup.space.mistakes(setup.content, points)
        if wrong:
            raise RecipeError(f"{setup.space.where}: {'; '.join(wrong)}", code="E_SPACE")
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
    # Groups go by the trials alone, ended or not, so that a resumed one has the same members.
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
    for outcome in engine.run(run_piece, pieces):
        numbers = [trial.number for trial in outcome.item.trials]
        read_results(folder, numbers, done)
        missing = [trial for trial in outcome.item.trials if trial.number not in done]
        died = outcome.error is not None and outcome.error.startswith(_DIED)
        if (outcome.error is not None and not died) or (missing and not died):
            raise StorageError(
                "the sweep cannot go on",
                code="E_SWEEP",
                got=outcome.error or f"trial {missing[0].number} is another process's",
                remedy="go on with --resume",
            )
        for trial in missing:
            lost = TrialResult(number=trial.number, params=trial.params, state="failed", reason=outcome.error)
            write_trial(folder, lost)
            record(study, lost)
            done[trial.number] = lost
        best = _best(setup, done)
        said = "" if best is None else f"; best so far: trial {best.number}, {best.objective:.4f}"
        log.info("%d of %d trials have ended%s", len(done), total, said)
        _clear(folder, done, keep=None if best is None else best.number)


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
    if not target.is_dir() and own.is_dir():
        begun = target.with_name(".best")
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(own, begun)
        begun.rename(target)
    make_folder(target)
    claim(target, recipe, cohort, setup.seed, resume=(target / "recipe.yaml").is_file())
    log.info("trial %d was chosen by validation", trial.number)
    train_once(recipe, cohort, target, seed=setup.seed, fold=None, progress=setup.progress)


def _same_as_trial(setup: Setup, findings: Findings, validation: Validation, folder: Path) -> None:
    """Say where the saved model validates otherwise than the trial did.

    A trial of a head is judged on features in the training's precision; the model recomputes close calls in full.
    """
    run = Run(folder / "best")
    if run.recipe.predict.views > 1:
        return
    answers = np.asarray(run.predict("val").probabilities)[None]
    value = float(objective_values(setup.objective, validation, answers, validation.whole)[0, 0])
    before = float(findings.row(findings.best)["objective"])
    if abs(value - before) > _ROUNDING:
        log.warning(
            "%s of the chosen trial is %.4f as the saved model predicts, %.4f as the sweep measured it: close calls "
            "are rounded otherwise",
            setup.objective, value, before,
        )  # fmt: skip
