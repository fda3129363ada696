"""Sweeps that something went wrong in: what is tried again, what stays, and what is refused before it begins."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import save_file
from timm import create_model

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RunError, SplitLeakError, StorageError, TrainingError
from pulmoscope.search.engine import LocalEngine, Outcome
from pulmoscope.search.samplers import TPE_BATCH
from pulmoscope.search.space import Space, read_space
from pulmoscope.search.study import Study, sqlite_url
from pulmoscope.search.trial_files import TrialResult, read_trial, trial_path, write_trial
from pulmoscope.training import Recipe, load_recipe
from pulmoscope.workflow import sweep_run, sweep_search, sweep_trials
from pulmoscope.workflow.sweep_run import sweep
from pulmoscope.workflow.sweep_setup import Setup, check_setup, refuse_known
from pulmoscope.workflow.sweep_trials import Piece, Trial, read_parts, run_piece
from small_sweep import write_recipe, write_space

RATES = {"axes": {"train.head.learning_rate": [0.3, 0.1, 0.01]}}


pytestmark = pytest.mark.usefixtures("small_figures")


def recipe(folder: Path, *, head: int = 1, finetune: int = 0) -> Recipe:
    return load_recipe(write_recipe(folder, head=head, finetune=finetune))


def space(folder: Path, content: dict[str, Any]) -> Space:
    return read_space(write_space(folder, content))


def setup(folder: Path, cohort: Cohort, content: dict[str, Any], **changed: Any) -> Setup:
    given: dict[str, Any] = {
        "sampler": "grid", "trials": None, "seed": 0, "prune": False, "storage": None,
        "progress": False,
    }  # fmt: skip
    epochs = changed.pop("finetune", 0)
    checked: Setup = check_setup(
        recipe(folder, finetune=epochs), space(folder, content), cohort, **given | changed
    )
    return replace(checked, uid="uid")


def states(folder: Path, url: str | None = None) -> list[str]:
    uid = yaml.safe_load((folder / "plan.json").read_text())["uid"]
    with Study(url or sqlite_url(folder), f"tiny {uid} {folder.name}", maximise=True) as study:
        return [trial.state for trial in study.trials()]


class Unlucky:
    """Runs pieces here; those with these trials find ``error`` instead."""

    def __init__(self, error: str, *numbers: int) -> None:
        self.error, self.numbers, self.closed = error, set(numbers), False

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[Outcome[Any, Any], None, None]:
        try:
            for item in items:
                if self.numbers & {trial.number for trial in item.trials}:
                    yield Outcome(item=item, value=None, error=self.error)
                else:
                    yield from LocalEngine().run(function, [item])
        finally:
            self.closed = True


def use(monkeypatch: pytest.MonkeyPatch, engine: Unlucky) -> None:
    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[Unlucky]:
        yield engine

    monkeypatch.setattr(sweep_run, "open_engine", opened)


def test_a_trial_whose_weights_were_missing_is_completed_on_resume(cohort: Cohort, tmp_path: Path) -> None:
    """Here it also becomes the best or not: ``best`` is then the run of whichever trial leads."""
    weights = tmp_path / "late.safetensors"
    content = {"axes": {"model.weights": ["random", f"file:{weights}"]}}
    given: dict[str, Any] = {"space": space(tmp_path, content), "out": tmp_path / "out"}
    first = sweep(recipe(tmp_path), cohort, **given)
    assert first.findings.frame["state"].tolist() == ["complete", "failed"]
    assert states(first.folder) == ["complete", "failed"]
    save_file(create_model("test_efficientnet", in_chans=1, num_classes=0).state_dict(), weights)
    found = sweep(recipe(tmp_path), cohort, **given, resume=True)
    assert found.findings.frame["state"].tolist() == ["complete", "complete"]
    assert states(found.folder) == ["complete", "complete"]
    params = [found.findings.params(number) for number in (0, 1)]
    assert params == [first.findings.params(number) for number in (0, 1)]
    best = found.findings.best
    assert best is not None
    assert found.best.recipe.model.weights == found.findings.params(best)["model.weights"]


def test_another_choice_leaves_the_run_of_the_one_before_beside_it(tmp_path: Path) -> None:
    chosen, best = recipe(tmp_path, head=2), tmp_path / "best"
    best.mkdir()
    (best / "recipe.yaml").write_text(recipe(tmp_path, head=1).as_yaml())
    (best / "metrics.json").write_text("{}")
    sweep_search._set_aside(best, chosen)
    assert not best.exists()
    assert (tmp_path / "best-before-1" / "metrics.json").is_file()
    best.mkdir()
    (best / "recipe.yaml").write_text(chosen.as_yaml())
    sweep_search._set_aside(best, chosen)
    assert best.is_dir()


def test_a_recipe_that_is_laid_out_otherwise_is_the_same_choice(tmp_path: Path) -> None:
    """An editor that saved the file, or an older version that wrote fewer fields, sets no run aside."""
    chosen, best = recipe(tmp_path), tmp_path / "best"
    best.mkdir()
    content = yaml.safe_load(chosen.as_yaml())
    del content["predict"]  # whose fields are at their defaults
    (best / "recipe.yaml").write_text("# opened and saved\n" + yaml.safe_dump(content, indent=6))
    (best / "metrics.json").write_text("{}")
    sweep_search._set_aside(best, chosen)
    assert (best / "metrics.json").is_file()
    # What can no longer be read is not what was chosen now; it is kept beside.
    (best / "recipe.yaml").write_text("{")
    sweep_search._set_aside(best, chosen)
    assert (tmp_path / "best-before-1" / "metrics.json").is_file()


def test_trials_that_a_dead_worker_lost_are_no_failed_trials(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"axes": {"preprocess.size": [32, 40]}}
    given: dict[str, Any] = {"space": space(tmp_path, content), "out": tmp_path / "out"}
    with monkeypatch.context() as patch:
        use(patch, Unlucky("E_WORKER: the worker died", 0))
        with pytest.raises(TrainingError, match=r"E_SWEEP_LOST.*1 of 2 trials.*E_WORKER.*--resume"):
            sweep(recipe(tmp_path), cohort, **given)
    assert [trial_path(tmp_path / "out", number).is_file() for number in (0, 1)] == [False, True]
    found = sweep(recipe(tmp_path), cohort, **given, resume=True)
    assert found.findings.frame["state"].tolist() == ["complete", "complete"]
    assert states(found.folder) == ["complete", "complete"]


def lone_piece(folder: Path, cohort: Cohort, *, together: bool) -> tuple[Piece, Study]:
    """Trials 0 and 1 of a sweep whose cohort is in ``folder``."""
    plan = setup(folder, cohort, RATES)
    url = sqlite_url(folder)
    study = Study(url, "s", maximise=True)
    points: list[Any] = [{"train.head.learning_rate": rate} for rate in (0.3, 0.1)]
    study.add(plan.space, points)
    return Piece(
        folder=str(folder), trials=tuple(plan.trial(at, point) for at, point in enumerate(points)),
        together=together, base=plan.recipe.resolved().model_dump_json(), objective=plan.objective, seed=0,
        url=url, study="s", owner="me", prune=False, progress=False,
    ), study  # fmt: skip


def ended(number: int, state: Any = "pruned", reason: str | None = None) -> TrialResult:
    return TrialResult(number=number, params={}, state=state, reason=reason)


def test_trials_that_had_ended_before_the_storage_was_told_are_entered(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_trials, "_train_alone", lambda *_: pytest.fail("a trial ran twice"))
    piece, study = lone_piece(tmp_path, cohort, together=False)
    for number in (0, 1):
        write_trial(tmp_path, ended(number))
    assert run_piece(piece) == ()
    with study:
        assert [trial.state for trial in study.trials()] == ["pruned", "pruned"]


def test_a_damaged_trial_runs_again(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_trials, "_train_alone", lambda _, trial, *__: ended(trial.number))
    piece, study = lone_piece(tmp_path, cohort, together=False)
    write_trial(tmp_path, ended(0))
    write_trial(tmp_path, ended(1))
    trial_path(tmp_path, 1).write_text("{")
    assert run_piece(piece) == (1,)
    assert read_trial(tmp_path, 1) is not None
    study.close()


@pytest.mark.parametrize("together", [True, False])
def test_memory_that_ran_out_leaves_no_file(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    """Of two trials the first lacked memory; the second is kept."""
    lacked = ended(0, "failed", "E_MEMORY: memory ran out while training the head")
    monkeypatch.setattr(sweep_trials, "_train_together", lambda *_: [lacked, ended(1)])
    monkeypatch.setattr(
        sweep_trials, "_train_alone", lambda _, trial, *__: ended(1) if trial.number else lacked
    )
    piece, study = lone_piece(tmp_path, cohort, together=together)
    with pytest.raises(TrainingError, match="E_MEMORY.*1 of 2"):
        run_piece(piece)
    assert [trial_path(tmp_path, number).is_file() for number in (0, 1)] == [False, True]
    with study:
        assert [trial.state for trial in study.trials()] == ["running", "pruned"]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate")])
def test_every_kind_of_lacking_memory_is_told_from_other_failures(error: Exception) -> None:
    trial = Trial(number=0, params={}, recipe="")
    assert sweep_trials._lacked_memory(sweep_trials._failed(trial, error, 0.0))
    assert not sweep_trials._lacked_memory(sweep_trials._failed(trial, ValueError("no"), 0.0))


def test_an_engine_is_closed_where_the_sweep_cannot_go_on(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Unlucky("E_STORAGE: the disk is full", 0)
    use(monkeypatch, engine)
    with pytest.raises(StorageError, match="E_SWEEP.*disk is full") as caught:
        sweep(recipe(tmp_path), cohort, space=space(tmp_path, RATES), out=tmp_path / "out")
    assert engine.closed
    assert caught.tb is not None  # which holds the loop's frame, and so the generator


def test_a_wrong_proposal_is_a_failed_trial_and_the_others_go_on(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Space.mistakes

    def mistakes(self: Space, content: Any, several: Any) -> list[str]:
        found = real(self, content, several)
        low = len(several) == 1 and several[0]["train.head.learning_rate"] == 0.05
        return [*found, "a rate that nothing learns at"] if low else found

    monkeypatch.setattr(Space, "mistakes", mistakes)
    rates = iter([0.3, 0.05, 0.1])
    monkeypatch.setattr(sweep_search, "tpe_point", lambda *_, **__: {"train.head.learning_rate": next(rates)})
    ranged = space(tmp_path, {"axes": {"train.head.learning_rate": {"low": 0.01, "high": 0.5}}})
    found = sweep(recipe(tmp_path), cohort, space=ranged, out=tmp_path / "out", sampler="tpe", trials=3)
    frame = found.findings.frame
    assert frame["state"].tolist() == ["complete", "failed", "complete"]
    assert frame["reason"][1] == "E_SPACE: a rate that nothing learns at"
    assert states(found.folder) == ["complete", "failed", "complete"]


def test_proposals_that_were_entered_stay_whatever_is_known_by_now(cohort: Cohort, tmp_path: Path) -> None:
    rates = {"low": 0.01, "high": 0.5}
    plan = setup(
        tmp_path, cohort, {"axes": {"train.head.learning_rate": rates}}, sampler="tpe", trials=TPE_BATCH + 1
    )
    entered: dict[int, Any] = {
        number: {"train.head.learning_rate": 0.1 + number / 20} for number in (0, TPE_BATCH)
    }
    first, second = sweep_search._rounds(plan, {}, entered)
    assert (first[0], second) == (entered[0], [entered[TPE_BATCH]])
    assert all(proposed not in entered.values() for proposed in first[1:])


def test_starting_weights_that_know_what_judges_are_refused_before_anything_is_trained(
    cohort: Cohort, tmp_path: Path
) -> None:
    own = cohort.frame
    assert {"train", "val", "test"} <= set(own["split"])
    run = tmp_path / "run"
    plan = setup(tmp_path, cohort, RATES)
    base = plan.recipe.resolved()
    model = base.model.model_copy(update={"weights": f"run={run}"})
    plan = replace(plan, starts=(base, base.model_copy(update={"model": model})))

    def trained_on(**splits: str) -> None:
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        kept = own[own["split"].isin(list(splits))]
        frame = kept.assign(split=kept["split"].map(splits)).reset_index(drop=True)
        Cohort(frame, cohort.info, cohort.dropped).write(run)
        (run / "recipe.yaml").write_text(recipe(tmp_path).as_yaml())

    trained_on(train="train", val="val")
    refuse_known(plan, cohort)
    with pytest.raises(SplitLeakError):
        refuse_known(plan, cohort, all_judge=True)
    trained_on(train="train", val="train")
    with pytest.raises(SplitLeakError, match="validation pictures, by which"):
        refuse_known(plan, cohort)
    trained_on(test="val")
    with pytest.raises(SplitLeakError, match="test pictures"):
        refuse_known(plan, cohort)


def test_the_starting_weights_of_every_trial_are_asked_about(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is trained: the first trial of this space starts from none."""

    def refuse(one: Recipe, _: Cohort) -> None:
        if one.model.weights == "file:b.safetensors":
            raise SplitLeakError("known")

    monkeypatch.setattr("pulmoscope.workflow.sweep_setup.refuse_known_test", refuse)
    content = {"axes": {"model.weights": ["random", "file:a.safetensors", "file:b.safetensors"]}}
    with pytest.raises(SplitLeakError):
        sweep(recipe(tmp_path), cohort, space=space(tmp_path, content), out=tmp_path / "out")
    assert not list((tmp_path / "out").glob("trials/*"))


def test_another_cohort_in_the_same_folder_is_read_anew(cohort: Cohort, tmp_path: Path) -> None:
    preprocess = recipe(tmp_path).resolved().preprocess.model_dump_json()
    cohort.write(tmp_path)
    assert read_parts(str(tmp_path), preprocess) is read_parts(str(tmp_path), preprocess)
    cohort.subset((cohort.frame["split"] != "test").to_numpy()).write(tmp_path)
    assert "test" not in set(read_parts(str(tmp_path), preprocess).cohort.frame["split"])


def test_pruning_that_would_do_nothing_is_refused_or_told(
    cohort: Cohort, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RunError, match=r"E_USAGE.*a head on frozen features.*--prune"):
        setup(tmp_path, cohort, RATES, prune=True)
    with pytest.raises(RunError, match=r"E_USAGE.*several devices"):
        setup(tmp_path, cohort, {"axes": {"train.devices": [2, 3]}}, prune=True, finetune=2)
    with caplog.at_level(logging.WARNING, "pulmoscope"):
        setup(tmp_path, cohort, RATES, prune=True, finetune=2)
        assert "--prune" not in caplog.text
        setup(tmp_path, cohort, {"axes": {"train.finetune.epochs": [0, 2]}}, prune=True)
    assert "--prune does nothing for some of the trials: a head on frozen features" in caplog.text


def test_a_storage_that_is_not_there_leaves_no_folder(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulmoscope.search.study.time.sleep", lambda _: pytest.fail("it waited"))
    away = "postgresql+psycopg://me@127.0.0.1:1/none"
    with pytest.raises(StorageError, match="E_SWEEP_STORAGE"):
        sweep(recipe(tmp_path), cohort, space=space(tmp_path, RATES), out=tmp_path / "out", storage=away)
    assert not (tmp_path / "out").exists()
