"""An ablation trained for real on the phantom, killed, resumed, and with a cell that cannot be trained."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tiny
from pulmoscope.cohort import Cohort, draw_phantom_cohort
from pulmoscope.errors import RecipeError, RunError, StorageError
from pulmoscope.evaluation import mcnemar, read_predictions
from pulmoscope.files import write_text
from pulmoscope.search.engine import LocalEngine
from pulmoscope.workflow import Run, ablate
from pulmoscope.workflow.ablate_files import as_text

KILLED = Path(__file__).with_name("killed_ablation.py")
HEAD_ONLY = {"name": "small", "train": {"head": {"epochs": 2}, "finetune": {"epochs": 0}}}
RATES = {"rate": {"slow": {}, "fast": {"train": {"head": {"learning_rate": 0.1}}}}}
LOST = {"weights": {"random": {}, "lost": {"model": {"weights": "file:nowhere.safetensors"}}}}


def quick_reports(patch: pytest.MonkeyPatch) -> None:
    """The runs' own reports have tests of their own, and take longer than the training."""
    patch.setattr("pulmoscope.report.style.DPI", 30)
    patch.setattr(
        "pulmoscope.workflow.training_run.write_report",
        lambda folder, **_: write_text(folder / "report.html", ""),
    )


@pytest.fixture(autouse=True)
def _quick_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_reports(monkeypatch)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cohort of the phantom, a recipe and a factor file; and a finished ablation in ``whole``."""
    folder = tmp_path_factory.mktemp("ablation")
    table = draw_phantom_cohort(folder / "phantom", n=60, seed=1, size=64) / "table.csv"
    cohort = Cohort.from_sources({"phantom": table}, near_copies=False)
    cohort.write(folder / "cohort")
    (folder / "small.yaml").write_text(yaml.safe_dump(tiny.RECIPE | HEAD_ONLY))
    (folder / "factors.yaml").write_text(yaml.safe_dump({"factors": RATES | LOST}, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        quick_reports(patch)
        patch.setenv("PULMOSCOPE_CACHE", str(folder / "cache"))
        ablate(
            folder / "small.yaml", cohort, out=folder / "whole", factors=folder / "factors.yaml", seeds=(0, 1),
            replicates=200,
        )  # fmt: skip
    return folder


def again(job: Path, out: str, **options: object) -> object:
    settings = {"factors": job / "factors.yaml", "seeds": (0, 1), "replicates": 200} | options
    return ablate(job / "small.yaml", Cohort.read(job / "cohort"), out=job / out, **settings)  # type: ignore[arg-type]


def test_effects_are_those_of_the_runs_and_a_lost_cell_is_named(job: Path) -> None:
    told = json.loads((job / "whole" / "ablation.json").read_text())
    assert (told["recipe"], told["design"], told["seeds"], told["part"]) == (
        "small",
        "one-at-a-time",
        [0, 1],
        "test",
    )
    assert [one["label"] for one in told["effects"]] == ["rate fast"]
    assert "E_WEIGHTS" in told["missing"]["weights lost"]
    assert told["left_out"] == ["weights lost"]
    effect = told["effects"][0]
    cells = sorted(path.name for path in (job / "whole" / "cells").iterdir())
    assert cells[:2] == ["000-plain", "001-rate-fast"]
    by_seed = []
    for seed, pairs in enumerate(effect["mcnemar"]):
        tables = [read_predictions(job / "whole" / "cells" / name / f"seed-{seed}" / "predictions.parquet")
                  for name in cells[:2]]  # fmt: skip
        right = [(one.part("test").labels == one.part("test").predicted) for one in tables]
        assert (pairs["only_plain"], pairs["only_changed"]) == (
            mcnemar(*right).only_first, mcnemar(*right).only_second,
        )  # fmt: skip
        by_seed.append(right[1].mean() - right[0].mean())
        assert Run(job / "whole" / "cells" / cells[1] / f"seed-{seed}").recipe.train.head.learning_rate == 0.1
    assert effect["by_seed"] == pytest.approx(by_seed)
    assert effect["difference"]["value"] == pytest.approx(sum(by_seed) / 2)
    assert effect["validation"]["value"] is not None
    assert effect["verdict"] in effect["sentence"]
    assert (job / "whole" / "cells" / "000-plain" / "seeds.json").is_file()

    with (job / "whole" / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["effect"] for row in rows] == ["rate fast"]
    assert float(rows[0]["difference"]) == pytest.approx(effect["difference"]["value"])
    assert rows[0]["sentence"] == effect["sentence"]

    page = (job / "whole" / "ablation.html").read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ")
    for words in (
        effect["sentence"],
        "choose by the validation part",
        "weights lost",
        "data:image/png;base64,",
    ):
        assert words in page
    assert "://" not in page


def test_what_is_finished_stays_and_other_settings_are_refused(job: Path) -> None:
    runs = job / "whole" / "cells"
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("weights.safetensors")}
    assert len(before) == 4
    found = again(job, "whole", resume=True)
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("weights.safetensors")} == before
    assert "not judged: weights lost: seed 0: E_WEIGHTS" in as_text(found)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"E_RUN_EXISTS: .*--resume"):
        again(job, "whole")
    other = job / "other.yaml"
    other.write_text(yaml.safe_dump({"factors": RATES}))
    with pytest.raises(RunError, match="E_RESUME_MISMATCH: .*: factors"):
        again(job, "whole", factors=other, resume=True)
    with pytest.raises(RunError, match="holds a run or a cohort"):
        again(job, "cohort")
    with pytest.raises(RecipeError, match="no factors come with the recipe 'small'"):
        again(job, "new", factors=None)


def test_where_nothing_can_be_compared(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = job / "lost.yaml"
    lost.write_text(
        yaml.safe_dump({"factors": {"weights": dict(reversed(LOST["weights"].items()))}}, sort_keys=False)
    )
    with pytest.raises(
        RunError, match="nothing can be compared: the cell 'plain' was not trained: seed 0: E_WEIGHTS"
    ):
        again(job, "lost", factors=lost, seeds=(0,))

    def full(*_: object, **__: object) -> None:
        raise StorageError("cannot write: the disk is full")

    # What the next cell would not be spared ends the whole, and comes through an engine as what it is.
    monkeypatch.setattr("pulmoscope.workflow.trainings.train", full)
    with pytest.raises(StorageError, match="the disk is full"):
        again(job, "full", engine=LocalEngine(1))


@pytest.mark.slow
def test_killed_and_resumed_it_ends_the_same(job: Path) -> None:
    # The kills fall into the first cell's training, later ones, and the writing of the end.
    counts = [9, 25, 30, 0]
    arguments = [job / "cohort", job / "small.yaml", job / "factors.yaml", job / "broken"]
    command = [sys.executable, KILLED, json.dumps(counts), *arguments]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    ends = json.loads(done.stdout.splitlines()[-1])
    assert ends == [-9, -9, -9, 0], done.stderr
    shutil.copytree(job / "whole", job / "unbroken")
    again(job, "unbroken", seeds=(0,), resume=True)
    for name in ("ablation.json", "ablation.csv"):
        assert (job / "broken" / name).read_text() == (job / "unbroken" / name).read_text()
    assert [path for path in (job / "broken").rglob("*") if ".tmp" in path.name] == []
