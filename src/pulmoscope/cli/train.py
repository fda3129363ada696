"""``pulmoscope train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name or a YAML file.")],
    cohort: Annotated[Path, typer.Option(help="Folder that `cohort build` wrote.")],
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Train a model, evaluate it once on the test part, and write the report."""
    from pulmoscope.cohort import Cohort
    from pulmoscope.workflow import train as run_training
    from pulmoscope.workflow.summary import describe_run

    run = run_training(
        recipe,
        Cohort.read(cohort),
        out=out,
        seed=seed,
        overrides=tuple(set_ or ()),
        resume=resume,
        progress=True,
    )
    print(describe_run(run))
