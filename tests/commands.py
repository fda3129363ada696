"""The command line under test: what it printed, what its errors must look like, what it left on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pulmoscope.cli import main


class Command:
    """The command line, with what its errors must look like."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def run(self, *arguments: object) -> int:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        assert "Logging error" not in self.err
        assert "E_INTERNAL" not in self.err
        return int(left.value.code or 0)

    def done(self, *arguments: object) -> str:
        status = self.run(*arguments)
        assert status == 0, self.err
        return self.out

    def refused(self, code: str, *arguments: object, status: int = 2) -> str:
        """The one line that ``arguments`` must end in."""
        got = self.run(*arguments)
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith(f"error: {code}"), lines[0]
        assert lines[0].split(":")[1].strip().startswith("E_")
        assert got == status, lines[0]
        return lines[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def build(source: object, out: Path, *options: object) -> tuple[object, ...]:
    return ("cohort", "build", f"s={source}", "--out", out, "--no-near-copies", *options)


def rows_of(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cohort's rows and the dropped ones, by image id without the source's name."""
    kept = pd.read_parquet(out / "cohort.parquet")
    dropped = pd.read_csv(out / "dropped.csv", dtype="str", keep_default_na=False)
    for frame in (kept, dropped):
        frame.index = pd.Index(frame["image_id"].str.removeprefix("s/"))
    return kept, dropped


def noise(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64), np.uint8)).save(path)
    return path


def scores(run: Path) -> tuple[object, pd.DataFrame, pd.DataFrame]:
    history = pd.read_csv(run / "history.csv").drop(columns="seconds")
    return (
        json.loads((run / "metrics.json").read_text()),
        history,
        pd.read_parquet(run / "predictions.parquet"),
    )


def assert_same_run(one: Path, other: Path) -> None:
    (metrics, history, predictions), (others, other_history, other_predictions) = scores(one), scores(other)
    assert metrics == others
    pd.testing.assert_frame_equal(history, other_history)
    pd.testing.assert_frame_equal(predictions, other_predictions)
