"""A run killed at any moment and resumed ends with the same numbers as an unbroken one."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import tiny
from pulmoscope import Cohort, train

KILLED = Path(__file__).with_name("killed.py")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("resume")
    cohort = Cohort.from_sources({"bars": tiny.draw_pictures(folder / "data")}, near_copies=False)
    cohort.write(folder / "cohort")
    recipe = tiny.write_recipe(folder)
    train(recipe, cohort, out=folder / "unbroken", seed=4)
    return {"folder": folder, "recipe": recipe, "cohort": folder / "cohort", "unbroken": folder / "unbroken"}


def _same(one: Path, other: Path) -> None:
    weights = [(run / "model" / "weights.safetensors").read_bytes() for run in (one, other)]
    assert hashlib.sha256(weights[0]).hexdigest() == hashlib.sha256(weights[1]).hexdigest()
    assert json.loads((one / "metrics.json").read_text()) == json.loads((other / "metrics.json").read_text())
    histories = [pd.read_csv(run / "history.csv").drop(columns="seconds") for run in (one, other)]
    pd.testing.assert_frame_equal(*histories)
    pd.testing.assert_frame_equal(
        *(pd.read_parquet(run / "predictions.parquet") for run in (one, other)), check_exact=True
    )


def test_the_same_seed_gives_identical_numbers_and_another_does_not(job: dict[str, Path]) -> None:
    cohort = Cohort.read(job["cohort"])
    again = train(job["recipe"], cohort, out=job["folder"] / "again", seed=4)
    _same(job["unbroken"], again.folder)
    other = train(job["recipe"], cohort, out=job["folder"] / "other", seed=5)
    assert (other.folder / "model" / "weights.safetensors").read_bytes() != (
        again.folder / "model" / "weights.safetensors"
    ).read_bytes()


# Syncs come in pairs, file then folder. Step 6 is in the second epoch; the syncs fall into the writing of the recipe,
# the head, the first and later checkpoints, and the last files of the run.
@pytest.mark.slow
def test_killed_again_and_again(job: dict[str, Path]) -> None:
    run = job["folder"] / "broken"
    lives = [("sync", 9), ("step", 6), ("sync", 5), ("step", 2), ("sync", 10)]
    arguments = ["train", str(job["recipe"]), "--cohort", str(job["cohort"]), "--seed", "4"]
    command = [sys.executable, str(KILLED), json.dumps(lives), str(run), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ends = json.loads(done.stdout.splitlines()[-1])
    assert len(ends) == len(lives)
    assert set(ends) <= {-9, 0}, done.stderr
    assert ends.count(-9) >= 4
    train(job["recipe"], Cohort.read(job["cohort"]), out=run, seed=4, resume=True)
    _same(job["unbroken"], run)
    assert [path for path in run.rglob("*") if ".tmp" in path.name] == []
