"""``pulmoscope demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures, cohort and run.")] = Path("demo"),
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Use these real pictures instead of the phantom; repeatable."),
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Label scheme for --data.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Show the whole job in minutes: pictures, cohort, training, evaluation, report."""
    from pulmoscope.cli.options import named_paths
    from pulmoscope.workflow.demo import run_demo
    from pulmoscope.workflow.summary import describe_run

    run = run_demo(out, sources=named_paths(data or ()), labels=labels, seed=seed)
    print(describe_run(run))
