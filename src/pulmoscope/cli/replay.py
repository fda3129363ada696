"""``pulmoscope replay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulmoscope.cli.options import SOME_LEFT_OUT, BudgetName, EngineName


def replay(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, a YAML file, or NAME:VARIANT.")],
    cohort: Annotated[Path, typer.Option(help="Folder that `cohort build` wrote.")],
    out: Annotated[Path, typer.Option(help="The folder of all runs and tables.")],
    seeds: Annotated[str, typer.Option(metavar="N,N,...", help="One run a variant and seed.")] = "0",
    budget: Annotated[
        BudgetName, typer.Option(help="The recipe's full setting, or one reduced to minutes and labelled so.")
    ] = BudgetName.FULL,
    variants: Annotated[str, typer.Option(metavar="NAME,...", help="Only these variants.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field of every variant; repeatable."),
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="Processes of this machine, or Ray.")] = EngineName.LOCAL,
    workers: Annotated[int | None, typer.Option(help="Trainings at once; 1 locally by default.")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster that is running, or auto; Ray is started here without."),
    ] = None,
) -> None:
    """Train every variant of a recipe and set its published numbers beside ours; goes on where it was stopped.

    Exit status 3 when a variant could not be trained; the others are in the table.
    """
    from pulmoscope.cohort import Cohort
    from pulmoscope.search.engine import open_engine
    from pulmoscope.workflow import replay as run_replay
    from pulmoscope.workflow.replay_text import as_text, failures
    from pulmoscope.workflow.seeds import parse_seeds

    with open_engine(engine.value, workers=workers, address=address) as opened:
        found = run_replay(
            recipe,
            Cohort.read(cohort),
            out=out,
            seeds=parse_seeds(seeds),
            budget=budget.value,
            variants=[name.strip() for name in variants.split(",") if name.strip()],
            overrides=tuple(set_ or ()),
            engine=opened,
            progress=True,
        )
    print(as_text(found))
    print(f"page: {out / 'replay.html'}\nResearch use only.")
    if failures(found):
        raise typer.Exit(SOME_LEFT_OUT)
