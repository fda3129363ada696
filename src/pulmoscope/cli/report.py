"""``pulmoscope report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Draw the figures of a run again and write its report as one HTML page."""
    from pulmoscope.errors import RunError
    from pulmoscope.report import write_report
    from pulmoscope.workflow.run import read_json
    from pulmoscope.workflow.training_run import reported_part

    if not (run / "metrics.json").is_file():
        begun = (run / "recipe.yaml").is_file()
        inside = sorted(run.glob("*/metrics.json"))
        other = f"name one run, as {inside[0].parent}" if inside else "name the folder given to train --out"
        raise RunError(
            f"{run} holds no finished run: metrics.json is missing",
            remedy="train again with --resume" if begun else other,
        )
    part = reported_part(read_json(run / "metrics.json"))
    print(f"report: {write_report(run, part=part)}")
