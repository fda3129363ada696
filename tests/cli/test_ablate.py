"""The options of ``ablate`` reach the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import tiny
from pulmoscope.cli.ablate import ablate
from pulmoscope.cohort import Cohort
from pulmoscope.search.engine import LocalEngine


def test_options_reach_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def job(recipe: object, cohort: object, **options: Any) -> object:
        asked.update(options, recipe=recipe, cohort=cohort)
        return "found"

    monkeypatch.setattr("pulmoscope.workflow.ablate_run.ablate", job)
    monkeypatch.setattr("pulmoscope.workflow.ablate_files.as_text", str)
    monkeypatch.setattr(Cohort, "read", staticmethod(Path))
    app = typer.Typer()
    app.command()(ablate)
    arguments = [
        str(tiny.write_recipe(tmp_path)), "--cohort", "c", "--out", "o", "--factors", "f.yaml", "--design", "factorial",
        "--seeds", "0,2", "--set", "train.head.epochs=7", "--resume", "--workers", "3",
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "found\npage: o/ablation.html\nResearch use only." in done.output
    assert asked["recipe"].train.head.epochs == 7
    engine = asked.pop("engine")
    assert isinstance(engine, LocalEngine)
    assert engine.workers == 3
    assert {name: asked[name] for name in ("cohort", "out", "factors", "design", "seeds", "resume")} == {
        "cohort": Path("c"), "out": Path("o"), "factors": Path("f.yaml"), "design": "factorial", "seeds": (0, 2),
        "resume": True,
    }  # fmt: skip
    CliRunner().invoke(app, arguments[:5], catch_exceptions=False)
    assert (asked["design"], asked["factors"], asked["seeds"], asked["resume"]) == (None, None, (0,), False)
