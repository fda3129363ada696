"""Seeds and folds on an engine: the same runs as in one process, whoever trains them, and each once."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

import tiny
from commands import Command, assert_same_run
from pulmoscope.cohort import Cohort
from pulmoscope.cores import cores
from pulmoscope.errors import RunError, StorageError
from pulmoscope.files import write_text
from pulmoscope.search.engine import Engine, LocalEngine, Outcome
from pulmoscope.search.ray_engine import RayEngine
from pulmoscope.training import Recipe, load_recipe
from pulmoscope.workflow import Seeds, ablate, replay, train, train_seeds, trainings
from pulmoscope.workflow.trainings import Training, run_training, run_trainings

HEAD = {"head": {"epochs": 2}, "finetune": {"epochs": 0}}
SIZES = {"factors": {"size": {"32": {}, "40": {"preprocess": {"size": 40}}}}}


def no_reports(patch: pytest.MonkeyPatch) -> None:
    """The runs' own reports have tests of their own, and take longer than the training."""
    patch.setattr(
        "pulmoscope.workflow.training_run.write_report",
        lambda folder, **_: write_text(folder / "report.html", ""),
    )
    patch.setattr("pulmoscope.report.style.DPI", 30)


@pytest.fixture(autouse=True)
def _no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    no_reports(monkeypatch)


@pytest.fixture(autouse=True)
def _threads_of_each_of_two() -> Iterator[None]:
    """Sums depend on the threads in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // 2))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("bars")
    # Other pictures than the folds', so that they have a store of their own.
    table = tiny.draw_pictures(folder / "data", n=48, seed=1)
    return Cohort.from_sources({"bars": table}, near_copies=False)


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("folds")
    table = tiny.draw_pictures(folder / "data", n=48)
    return Cohort.from_sources({"bars": table}, split="kfold:2", near_copies=False)


def recipe(folder: Path, **changes: object) -> Recipe:
    return load_recipe(tiny.write_recipe(folder, train=HEAD, **changes))


class Here:
    """An engine that counts as one outside this process, and works in it; what ``lose`` names is lost."""

    def __init__(self, lose: Callable[[Any], str | None] = lambda _: None) -> None:
        self.given: list[tuple[str, int]] = []
        self._lose = lose

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[Outcome[Any, Any], None, None]:
        self.given.append((function.__name__, len(items)))
        # The last first: nothing may depend on the order.
        for item in reversed(items):
            error = self._lose(item)
            if error is not None:
                yield Outcome(item=item, value=None, error=error)
            else:
                yield from LocalEngine().run(function, [item])


@pytest.fixture(scope="module")
def ray_engine() -> Iterator[Engine]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'pulmoscope[ray]'")
    with RayEngine(None, 2) as engine:
        yield engine


@pytest.fixture(params=["processes", "ray"])
def apart(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue("ray_engine") if request.param == "ray" else LocalEngine(2)


def same_runs(one: Path, other: Path) -> int:
    """How many runs and folds there are, each equal to its namesake."""
    runs = sorted(path.parent.relative_to(one) for path in one.rglob("predictions.parquet"))
    assert runs == sorted(path.parent.relative_to(other) for path in other.rglob("predictions.parquet"))
    for run in runs:
        if (one / run / "history.csv").is_file():
            assert_same_run(one / run, other / run)
        else:
            assert json.loads((one / run / "metrics.json").read_text()) == json.loads(
                (other / run / "metrics.json").read_text()
            )
            pd.testing.assert_frame_equal(
                pd.read_parquet(one / run / "predictions.parquet"),
                pd.read_parquet(other / run / "predictions.parquet"),
            )
    return len(runs)


@pytest.fixture(scope="module")
def one_by_one(folds: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seeds]:
    """Two folds of one seed, trained in this process without an engine."""
    folder = tmp_path_factory.mktemp("one_by_one")
    with pytest.MonkeyPatch.context() as patch:
        no_reports(patch)
        patch.setenv("PULMOSCOPE_CACHE", str(folder / "cache"))
        return folder, train_seeds(recipe(folder), folds, seeds=(3,), out=folder / "out")


@pytest.mark.slow
def test_seeds_and_their_folds_are_the_same_wherever_they_are_trained(
    tmp_path: Path, folds: Cohort, apart: Engine, one_by_one: tuple[Path, Seeds]
) -> None:
    folder, one = one_by_one
    two = train_seeds(recipe(tmp_path), folds, seeds=(3,), out=tmp_path / "two", engine=apart)
    assert two.values == one.values
    assert same_runs(folder / "out", tmp_path / "two") == 2 + 1


def test_the_engine_builds_the_store_and_gets_every_fold_as_a_piece(
    tmp_path: Path, folds: Cohort, one_by_one: tuple[Path, Seeds], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(tmp_path / "cache"))
    engine, out = Here(), tmp_path / "out"
    found = train_seeds(recipe(tmp_path), folds, seeds=(3, 5), out=out, engine=engine)
    assert engine.given == [("_decode_with_own_threads", 1), ("run_training", 4)]
    assert same_runs(one_by_one[0] / "out" / "seed-3", out / "seed-3") == 2 + 1
    assert {metric: by_seed[3] for metric, by_seed in found.values.items()} == {
        metric: by_seed[3] for metric, by_seed in one_by_one[1].values.items()
    }
    took = [
        json.loads((out / "seed-3" / place / "environment.json").read_text())["seconds"]
        for place in (".", "folds/fold-0", "folds/fold-1")
    ]
    assert took[0] >= round(took[1] + took[2], 1)
    # What is finished is neither decoded nor divided again.
    train_seeds(recipe(tmp_path), folds, seeds=(3, 5), out=out, engine=engine, resume=True)
    assert engine.given[2:] == [("run_training", 2)]
    with pytest.raises(RunError, match="E_RUN_EXISTS"):
        train_seeds(recipe(tmp_path), folds, seeds=(6, 5), out=out, engine=engine)
    assert not (out / "seed-6").exists()


def test_one_run_leaves_its_folds_and_its_pictures_to_the_engine(
    tmp_path: Path,
    folds: Cohort,
    split: Cohort,
    one_by_one: tuple[Path, Seeds],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(tmp_path / "cache"))
    engine = Here()
    train(recipe(tmp_path), folds, out=tmp_path / "apart", seed=3, engine=engine)
    assert engine.given == [("_decode_with_own_threads", 1), ("run_training", 2)]
    assert same_runs(one_by_one[0] / "out" / "seed-3", tmp_path / "apart") == 3
    train(recipe(tmp_path), split, out=tmp_path / "whole", engine=engine)
    assert engine.given[2:] == [("_decode_with_own_threads", 1), ("run_training", 0)]


def test_a_fold_that_fails_is_told_once_and_binds_nobody(tmp_path: Path, folds: Cohort) -> None:
    lost = recipe(tmp_path, model={"backbone": "test_efficientnet", "weights": "file:nowhere.safetensors"})
    folds.write(tmp_path / "cohort")

    def training(one: Recipe, name: str) -> Training:
        place = str(tmp_path / name)
        return Training(recipe=one, cohort=str(tmp_path / "cohort"), out=place, seed=0, progress=False)

    both = [training(lost, "lost"), training(recipe(tmp_path), "fine")]
    ended = {Path(one.out).name: (one, why) for one, why in run_trainings(both, folds, Here())}
    assert ended["fine"] == (both[1], None)
    assert (tmp_path / "fine" / "metrics.json").is_file()
    whole, why = ended["lost"]
    assert whole == both[0]
    assert str(why).startswith("fold 1: E_WEIGHTS: ")
    assert not (tmp_path / "lost").exists()
    with pytest.raises(RunError, match=r"E_WORKER: seed 0: fold 0: the worker died"):
        train_seeds(
            recipe(tmp_path),
            folds,
            seeds=(0,),
            out=tmp_path / "died",
            engine=Here(lambda item: "E_WORKER: the worker died" if getattr(item, "fold", 1) == 0 else None),
        )
    # The other fold is kept, and the next call trains the missing one alone.
    assert (tmp_path / "died" / "seed-0" / "folds" / "fold-1" / "metrics.json").is_file()
    kept = (tmp_path / "died" / "seed-0" / "folds" / "fold-1" / "metrics.json").stat().st_mtime_ns
    train_seeds(recipe(tmp_path), folds, seeds=(0,), out=tmp_path / "died", engine=Here(), resume=True)
    assert (tmp_path / "died" / "seed-0" / "folds" / "fold-1" / "metrics.json").stat().st_mtime_ns == kept


def test_a_full_disk_ends_them_all(tmp_path: Path, split: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("cannot write: the disk is full")

    monkeypatch.setattr(trainings, "train", full)
    split.write(tmp_path / "cohort")
    one = Training(
        recipe=recipe(tmp_path), cohort=str(tmp_path / "cohort"), out=str(tmp_path / "a"), seed=0,
        progress=False,
    )  # fmt: skip
    error = run_training(one)
    assert isinstance(error, StorageError)
    with pytest.raises(StorageError, match="full"):
        list(run_trainings([one], split, LocalEngine()))


def test_a_replays_folds_and_an_ablations_cells_are_the_same_on_an_engine(
    tmp_path: Path, folds: Cohort, split: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = tmp_path / "bars.yaml"
    bars.write_text(yaml.safe_dump(tiny.RECIPE | {"name": "bars", "train": HEAD, "variants": {"plain": {}}}))
    factors = tmp_path / "factors.yaml"
    factors.write_text(yaml.safe_dump(SIZES))
    small = recipe(tmp_path)
    replay(bars, folds, out=tmp_path / "one" / "replay", seeds=(0,))
    ablate(small, split, out=tmp_path / "one" / "ablation", factors=factors, replicates=50)
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(tmp_path / "cache"))
    engine = Here()
    replay(bars, folds, out=tmp_path / "two" / "replay", seeds=(0,), engine=engine)
    assert engine.given == [("_decode_with_own_threads", 1), ("run_training", 2)]
    ablate(small, split, out=tmp_path / "two" / "ablation", factors=factors, replicates=50, engine=engine)
    # A store for each size.
    assert engine.given[2:] == [*[("_decode_with_own_threads", 1)] * 2, ("run_training", 2)]
    # A replay of two folds and their pooled run, and two cells.
    assert same_runs(tmp_path / "one", tmp_path / "two") == 3 + 2


@pytest.mark.slow
def test_the_command_trains_seeds_in_two_processes(
    tmp_path: Path, split: Cohort, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(capsys)
    split.write(tmp_path / "cohort")
    words = (
        "train",
        tiny.write_recipe(tmp_path, train=HEAD),
        "--cohort",
        tmp_path / "cohort",
        "--seeds",
        "0,1",
    )
    printed = command.done(*words, "--out", tmp_path / "two", "--workers", "2")
    assert "2 seeds, the test part" in printed
    assert "Research use only." in printed
    command.done(*words, "--out", tmp_path / "one")
    assert same_runs(tmp_path / "one", tmp_path / "two") == 2
    command.refused("E_USAGE", *words, "--out", tmp_path / "x", "--address", "10.0.0.1:6379")
