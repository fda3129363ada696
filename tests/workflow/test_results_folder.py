"""What may stand in a folder before a command writes into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulmoscope.errors import RunError
from pulmoscope.workflow.results_folder import refuse_other_content, refuse_run_or_cohort


def test_results_replace_their_own_kind_alone(tmp_path: Path) -> None:
    refuse_other_content(tmp_path / "new", "compare.json", what="a comparison")
    (tmp_path / ".lock").touch()
    refuse_other_content(tmp_path, "compare.json", what="a comparison")
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(RunError, match=r"E_RUN_EXISTS.*something else than a comparison; got thesis\.docx"):
        refuse_other_content(tmp_path, "compare.json", what="a comparison")
    (tmp_path / "compare.json").touch()
    refuse_other_content(tmp_path, "compare.json", what="a comparison")


def test_runs_stand_beside_anything_but_not_in_a_run_or_a_cohort(tmp_path: Path) -> None:
    refuse_run_or_cohort(tmp_path / "new")
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / "recipe.yaml").touch()
    (tmp_path / "notes.txt").touch()
    refuse_run_or_cohort(tmp_path)
    (tmp_path / "cohort.parquet").touch()
    with pytest.raises(RunError, match="E_RUN_EXISTS.*holds a run or a cohort"):
        refuse_run_or_cohort(tmp_path)
    refuse_run_or_cohort(tmp_path, own_cohort=True)
    # A run holds a cohort too; it is never the command's own.
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(RunError, match="E_RUN_EXISTS.*holds a run or a cohort"):
        refuse_run_or_cohort(tmp_path, own_cohort=True)
