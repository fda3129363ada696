"""Sweeps trained for real on noise pictures: the table, the choice, what is left, and what a kill does to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from safetensors.torch import save_file
from timm import create_model

from commands import contents
from pulmoscope.cli.sweep import sweep as sweep_command
from pulmoscope.cohort import Cohort
from pulmoscope.errors import CohortError, PulmoscopeError, RecipeError, RunError, TrainingError
from pulmoscope.search.engine import LocalEngine
from pulmoscope.search.ray_engine import RayEngine
from pulmoscope.search.study import Study
from pulmoscope.search.trial_files import read_trial, trial_path
from pulmoscope.workflow import sweep_trials
from pulmoscope.workflow.sweep_report import axis_labels
from pulmoscope.workflow.sweep_run import Sweep, check_writers, summarise_folds, sweep
from small_sweep import write_recipe
from small_sweep import write_space as space

KILLED = Path(__file__).with_name("killed_sweep.py")
HEADS = {
    "objective": "val_accuracy",
    "axes": {
        "train.head.learning_rate": [0.3, 0.01],
        "train.head.optimizer": ["adam", "sgd"],
        "start": [
            {"random": {"model.weights": "random"}},
            {"lost": {"model.weights": "file:nowhere.safetensors"}},
        ],
    },
}
FINETUNED = {
    "axes": {"train.finetune.learning_rate": [0.02, 0.001], "train.finetune.optimizer": ["adam", "sgd"]}
}


pytestmark = pytest.mark.usefixtures("small_figures")


def recipe(folder: Path, *, head: int = 2, finetune: int = 0) -> Path:
    return write_recipe(folder, head=head, finetune=finetune)


def table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "trials.parquet").drop(columns="seconds")


@pytest.fixture(scope="module")
def heads(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("heads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pulmoscope.report.style.DPI", 30)
        return sweep(recipe(folder), cohort, space=space(folder, HEADS), out=folder / "out")


def test_trials_that_fail_are_told_and_the_rest_go_on(heads: Sweep) -> None:
    frame = heads.findings.frame
    assert frame["number"].tolist() == list(range(8))
    assert (frame["state"] == np.where(frame["start"] == "lost", "failed", "complete")).all()
    failed = frame[frame["state"] == "failed"]
    assert failed["reason"].str.startswith("E_WEIGHTS").all()
    assert not failed["reason"].str.contains("\n").any()
    assert failed["objective"].isna().all()
    done = frame[frame["state"] == "complete"]
    assert (done["low"] <= done["objective"]).all()
    assert (done["objective"] <= done["high"]).all()
    assert (done["objective"] == done["val_accuracy"]).all()
    assert sorted(done["rank"]) == [1, 2, 3, 4]


def test_the_best_is_the_first_of_the_best_and_its_test_part_is_read_once(heads: Sweep) -> None:
    frame, best = heads.findings.frame, heads.findings.best
    assert best == frame["objective"].idxmax()
    assert heads.findings.row(best)["ties"]
    assert heads.best.recipe.train.head.optimizer == heads.findings.params(best)["train.head.optimizer"]
    # A close call may be rounded otherwise in the saved model: one picture of ten.
    assert heads.best.metrics["val"]["accuracy"]["value"] == pytest.approx(
        frame.loc[best, "objective"], abs=0.101
    )
    written = json.loads((heads.folder / "sweep.json").read_text())
    assert written["test"] == heads.best.metrics["test"]
    assert written["best"]["number"] == best
    assert written["trials"] == {"complete": 4, "failed": 4}
    # Nothing but the chosen run has answers for the test pictures.
    test = set(heads.best.cohort.part("test").frame["image_id"])
    for number in frame.loc[frame["state"] == "complete", "number"]:
        answers = read_trial(heads.folder, int(number))
        assert answers is not None
        assert answers.probabilities is not None
        assert len(answers.probabilities) == len(heads.best.cohort.part("val").frame)
    assert set(heads.best.predict("test").frame["image_id"]) == test


def test_the_page_and_the_words_say_what_the_numbers_can_bear(heads: Sweep) -> None:
    page = (heads.folder / "sweep.html").read_text()
    said = " ".join(json.loads((heads.folder / "sweep.json").read_text())["says"])
    for text in (
        "cannot be told apart from it",
        "Picking the best of 4 on this validation set flatters it",
    ):
        assert text in said
        assert text in page
    assert "Research use only" in page
    assert "<script" not in page
    assert page.count("data:image/png;base64,") >= 3
    assert "E_WEIGHTS" in page


def test_means_by_value_are_those_of_the_table(heads: Sweep) -> None:
    done = heads.findings.frame.query("state == 'complete'")
    for row in heads.findings.by_value().to_dict("records"):
        values = done.loc[done[row["axis"]] == row["value"], "objective"]
        assert (row["n"], row["mean"]) == (len(values), pytest.approx(values.mean()))
        assert row["sd"] == pytest.approx(values.std()) or (len(values) == 1 and np.isnan(row["sd"]))
    written = json.loads((heads.folder / "sweep.json").read_text())["importance"]["shares"]
    assert "start" not in written
    assert not written or sum(written.values()) == pytest.approx(1)


def test_a_finished_sweep_is_left_as_it_is(
    heads: Sweep, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what failed, which is tried again, in vain."""
    folder = heads.folder.parent
    before, frame = contents(heads.folder), table(heads.folder)
    real = sweep_trials.train_heads

    def train_heads(jobs: Any, **others: Any) -> Any:
        if {job.recipe.model.weights for job in jobs} != {"file:nowhere.safetensors"}:
            pytest.fail("a trial ran twice")
        return real(jobs, **others)

    monkeypatch.setattr(sweep_trials, "train_heads", train_heads)
    sweep(folder / "tiny.yaml", cohort, space=folder / "space.yaml", out=heads.folder, resume=True)
    after = contents(heads.folder)
    changed = {name for name in before if after.get(name) != before[name]}
    retried = {f"trials/{number:04d}.json" for number in frame.loc[frame["state"] == "failed", "number"]}
    tables = {"trials.csv", "trials.parquet", "sweep.html"}  # the seconds of those
    assert changed <= {"log.jsonl", "study.sqlite"} | tables | retried
    pd.testing.assert_frame_equal(table(heads.folder), frame)
    assert set(after) == set(before)


def test_a_folder_of_another_sweep_is_refused(heads: Sweep, cohort: Cohort, tmp_path: Path) -> None:
    folder = heads.folder.parent
    given: dict[str, Any] = {"space": folder / "space.yaml", "out": heads.folder}
    with pytest.raises(RunError, match=r"E_RUN_EXISTS.*--resume"):
        sweep(folder / "tiny.yaml", cohort, **given)
    with pytest.raises(RunError, match=r"E_RESUME_MISMATCH.*seed"):
        sweep(folder / "tiny.yaml", cohort, **given, seed=1, resume=True)
    with pytest.raises(RunError, match="E_RUN_EXISTS"):
        sweep(folder / "tiny.yaml", cohort, space=folder / "space.yaml", out=heads.folder / "best")


def test_every_mistake_is_told_before_anything_is_written(cohort: Cohort, tmp_path: Path) -> None:
    wrong = space(tmp_path, {"axes": {"train.head.batch": [0, 8], "train.head.optimiser": ["adam"]}})
    with pytest.raises(RecipeError, match=r"E_SPACE.*train.head.batch.*") as caught:
        sweep(recipe(tmp_path), cohort, space=wrong, out=tmp_path / "out")
    assert "did you mean optimizer?" in str(caught.value)
    good = space(tmp_path, FINETUNED)
    options: list[tuple[dict[str, Any], str]] = [
        ({"trials": 3}, "E_USAGE"),
        ({"sampler": "random"}, "E_USAGE"),
        ({"nested": 1}, "E_USAGE"),
        ({"address": "auto"}, "E_USAGE"),
    ]
    for given, code in options:
        with pytest.raises(PulmoscopeError, match=code):
            sweep(recipe(tmp_path), cohort, space=good, out=tmp_path / "out", **given)
    of_a_class = space(tmp_path, FINETUNED | {"objective": "val_f1:covid"})
    with pytest.raises(PulmoscopeError, match=r"E_USAGE.*--prune"):
        sweep(recipe(tmp_path), cohort, space=of_a_class, out=tmp_path / "new", prune=True)
    unknown = space(tmp_path, FINETUNED | {"objective": "val_f1:covit"})
    with pytest.raises(RecipeError, match=r"did you mean val_f1:covid"):
        sweep(recipe(tmp_path), cohort, space=unknown, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    folds = Cohort(
        cohort.frame.assign(fold=pd.array([0, 1] * (len(cohort) // 2), "Int64")), cohort.info, cohort.dropped
    )
    with pytest.raises(CohortError, match=r"E_SWEEP_FOLDS.*--nested"):
        sweep(recipe(tmp_path), folds, space=good, out=tmp_path / "new")


def test_a_sweep_of_which_nothing_was_completed_says_why(cohort: Cohort, tmp_path: Path) -> None:
    lost = space(tmp_path, {"axes": {"model.weights": ["file:nowhere.safetensors", "file:lost.safetensors"]}})
    with pytest.raises(TrainingError, match=r"none of 2 trials.*E_WEIGHTS.*trials.csv"):
        sweep(recipe(tmp_path), cohort, space=lost, out=tmp_path / "out")
    assert table(tmp_path / "out")["state"].tolist() == ["failed", "failed"]


def test_fine_tuned_trials_leave_the_best_weights_and_the_run_gives_the_same_answers(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third trial is pruned after its second epoch."""
    report = Study.report
    monkeypatch.setattr(
        Study,
        "report",
        lambda self, number, epoch, value: report(self, number, epoch, value) or (number, epoch) == (2, 2),
    )
    found = sweep(
        recipe(tmp_path, finetune=3),
        cohort,
        space=space(tmp_path, FINETUNED),
        out=tmp_path / "out",
        prune=True,
    )
    frame = found.findings.frame
    assert frame["state"].tolist() == ["complete", "complete", "pruned", "complete"]
    assert frame.loc[2, "epoch"] == 2
    # Its curve is kept: the head's epochs and the two of fine-tuning, each with its own loss.
    [(stopped, curve)] = found.findings.stopped.items()
    assert stopped == 2
    assert curve["stage"].tolist() == ["head", "head", "finetune", "finetune"]
    assert curve["epoch"].tolist() == [1, 2, 1, 2]
    assert curve["val_loss"].nunique() == 4
    assert frame.loc[2, "objective"] is pd.NA or np.isnan(frame.loc[2, "objective"])
    best = found.findings.best
    assert best is not None
    left = [path.name for path in (found.folder / "trials").iterdir() if path.is_dir()]
    assert left == [f"{best:04d}"]
    trial = read_trial(found.folder, best)
    assert trial is not None
    np.testing.assert_array_equal(found.best.predict("val").probabilities, trial.probabilities)


@pytest.mark.slow
def test_tpe_goes_on_where_it_was_stopped_and_nested_folds_leave_the_test_part_alone(
    cohort: Cohort, tmp_path: Path
) -> None:
    rates = {"low": 1e-4, "high": 0.5, "log": True}
    ranged = space(tmp_path, {"axes": {"train.head.learning_rate": rates, "model.head.dropout": [0.0, 0.5]}})
    given: dict[str, Any] = {"space": ranged, "sampler": "tpe", "trials": 4}
    whole = sweep(recipe(tmp_path), cohort, out=tmp_path / "out", nested=2, **given)
    test = set(whole.best.cohort.part("test").frame["image_id"])
    outer: set[str] = set()
    assert whole.nested is not None
    for fold in (0, 1):
        held = pd.read_parquet(tmp_path / f"out/nested/fold-{fold}/cohort.parquet")
        assert not test & set(held["image_id"])
        mine = held[held["split"] == "test"]
        assert not set(mine["group_id"]) & set(held.loc[held["split"] != "test", "group_id"])
        assert not outer & set(mine["image_id"])
        outer |= set(mine["image_id"])
    own = whole.best.cohort.frame
    assert outer == set(own.loc[own["split"] != "test", "image_id"])
    scores = [row["outer"] for row in whole.nested["folds"]]
    assert whole.nested["mean"] == pytest.approx(np.mean(scores))
    before = table(whole.folder)
    for number in (1, 3):
        trial_path(whole.folder, number).unlink()
    sweep(recipe(tmp_path), cohort, out=tmp_path / "out", nested=2, resume=True, **given)
    pd.testing.assert_frame_equal(table(whole.folder), before)


def test_the_interval_over_outer_folds_by_hand() -> None:
    """Mean .8, sd .1 over 3: t = 4.303, half width .248."""
    found = summarise_folds([{"inner": 0.9, "outer": outer} for outer in (0.7, 0.8, 0.9)], bounded=True)
    assert (found["mean"], found["sd"]) == (pytest.approx(0.8), pytest.approx(0.1))
    assert found["low"] == pytest.approx(0.8 - 0.2484, abs=1e-4)
    assert found["high"] == 1.0
    assert summarise_folds([{"inner": 0.9, "outer": None}], bounded=True)["mean"] is None


def test_axes_of_the_same_name_are_told_apart() -> None:
    assert axis_labels(["a.epochs", "b.epochs", "seconds"]) == {
        "a.epochs": "a epochs", "b.epochs": "b epochs", "seconds": "seconds"
    }  # fmt: skip


def test_the_command_prints_the_table_and_the_sentences(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort.write(tmp_path / "cohort")
    few = space(tmp_path, {"axes": {"train.head.batch": [8, 16]}})
    app = typer.Typer()
    app.command()(sweep_command)
    words = [
        recipe(tmp_path),
        "--cohort",
        tmp_path / "cohort",
        "--space",
        few,
        "--out",
        tmp_path / "out",
        "--set",
        "train.head.epochs=1",
    ]
    app([str(word) for word in words], standalone_mode=False)
    out = capsys.readouterr().out
    for text in (
        "p (Holm)",
        "best validation accuracy",
        "flatters it by",
        "read once",
        "sweep.html",
        "Research use only.",
    ):
        assert text in out


def _lives(folder: Path, cohort: Cohort, lives: list[tuple[str, float]]) -> list[int]:
    """Sweep once without a break and once with these lives; both tables must be the same."""
    cohort.write(folder / "cohort")
    mixed = {
        "objective": "val_accuracy",
        "axes": {
            "train.finetune.epochs": [0, 2],
            "train.head.learning_rate": [0.1, 0.01],
            "model.head.dropout": [0.0, 0.5],
        },
    }
    given = [recipe(folder, finetune=2), "--cohort", folder / "cohort", "--space", space(folder, mixed)]
    words = [str(word) for word in given]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def run(out: str, several: list[tuple[str, float]]) -> list[int]:
        command = [sys.executable, str(KILLED), json.dumps(several), str(folder / out), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        ends: list[int] = json.loads(done.stdout.splitlines()[-1])
        # A life that was not killed ended well, whichever it was.
        assert set(ends) <= {0, -signal.SIGKILL}, f"{ends}\n{done.stderr[-6000:]}"
        return ends

    assert run("whole", [("sync", 10**9)]) == [0]
    ends = run("broken", [*lives, ("sync", 10**9)])
    assert ends[-1] == 0
    pd.testing.assert_frame_equal(table(folder / "broken"), table(folder / "whole"), check_exact=True)
    reports = [json.loads((folder / out / "sweep.json").read_text()) for out in ("broken", "whole")]
    assert reports[0] == reports[1]
    with Study(
        f"sqlite:///{folder / 'broken' / 'study.sqlite'}", _study(folder / "broken"), maximise=True
    ) as study:
        assert [trial.state for trial in study.trials()] == ["complete"] * 8
    assert not list((folder / "broken" / "trials").glob("group*"))
    return ends


def _study(folder: Path) -> str:
    return f"tiny {json.loads((folder / 'plan.json').read_text())['uid']} {folder.name}"


@pytest.mark.slow
def test_killed_ten_times_at_random_the_table_is_that_of_an_unbroken_sweep(
    cohort: Cohort, tmp_path: Path
) -> None:
    """Among the moments one between the files of heads that were trained together, and one in a fine-tuned trial."""
    generator = np.random.default_rng(20)
    lives: list[tuple[str, float]] = [("sync", 17), ("sync", 30)]
    lives += [("sync", int(count)) for count in generator.integers(3, 40, 4)]
    lives += [("seconds", float(after)) for after in generator.uniform(0.5, 4, 4)]
    ends = _lives(tmp_path, cohort, [lives[at] for at in generator.permutation(10)])
    assert ends.count(-9) >= 6


@pytest.mark.parametrize("storage", [None, "sqlite:////shared/study.sqlite"])
def test_a_file_is_no_storage_for_workers_on_several_machines(storage: str | None) -> None:
    """A node without cores only directs, unless it is where the command runs, which writes too."""

    def cluster(*nodes: tuple[str, int]) -> RayEngine:
        engine = RayEngine("auto")
        context = type("Context", (), {"get_node_id": lambda _: "0"})()
        found = [
            {"NodeID": str(at), "Alive": True, "NodeManagerAddress": place, "Resources": {"CPU": cores}}
            for at, (place, cores) in enumerate(nodes)
        ]
        ray = {"nodes": lambda _: found, "get_runtime_context": lambda _: context}
        engine._ray = type("Ray", (), ray)()
        return engine

    check_writers(storage, LocalEngine())
    check_writers(storage, cluster(("10.0.0.1", 2), ("10.0.0.1", 2), ("10.0.0.2", 0)))
    for apart in (cluster(("10.0.0.1", 2), ("10.0.0.2", 2)), cluster(("10.0.0.1", 0), ("10.0.0.2", 2))):
        with pytest.raises(RunError, match=r"E_SWEEP_STORAGE.*2 machines: 10.0.0.1, 10.0.0.2.*postgresql"):
            check_writers(storage, apart)
        check_writers("postgresql+psycopg://me@10.0.0.1/sweeps", apart)


def test_two_sources_of_weights_are_one_sweep_that_compares_them(cohort: Cohort, tmp_path: Path) -> None:
    weights = tmp_path / "other.safetensors"
    save_file(create_model("test_efficientnet", in_chans=1, num_classes=0).state_dict(), weights)
    rates = space(tmp_path, {"axes": {"train.head.learning_rate": [0.3, 0.01]}})
    sources = ["random", f"file:{weights}"]
    found = sweep(recipe(tmp_path), cohort, space=rates, weights=sources, out=tmp_path / "out")
    frame = found.findings.frame
    assert frame["model.weights"].tolist() == ["random", "random", *[sources[1]] * 2]
    assert frame["state"].tolist() == ["complete"] * 4
    [pair] = found.findings.sources
    reached = frame["objective"].to_numpy(float).reshape(2, 2)
    assert pair.settings == 2
    assert pair.difference == pytest.approx((reached[0] - reached[1]).mean())
    [written] = json.loads((found.folder / "sweep.json").read_text())["sources"]
    assert written["difference"] == pytest.approx(pair.difference)
    assert (
        "Over the 2 settings tried from both, accuracy from random"
        in (found.folder / "sweep.html").read_text()
    )
