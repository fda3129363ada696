"""``pulmoscope ablate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pulmoscope.cli.options import BudgetName, EngineName


class DesignName(StrEnum):
    """Which combinations of levels are trained."""

    ONE = "one-at-a-time"
    FACTORIAL = "factorial"


def ablate(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, a YAML file, or NAME:VARIANT.")],
    cohort: Annotated[Path, typer.Option(help="Folder that `cohort build` wrote.")],
    out: Annotated[Path, typer.Option(help="The folder of all runs and tables.")],
    factors: Annotated[
        Path | None, typer.Option(help="A YAML file of factors and levels; by default the recipe's own.")
    ] = None,
    design: Annotated[DesignName | None, typer.Option(help="By default what the factor file says.")] = None,
    seeds: Annotated[str, typer.Option(metavar="N,N,...", help="One run a cell and seed.")] = "0",
    budget: Annotated[BudgetName, typer.Option(help="The recipe's full or quick setting.")] = BudgetName.FULL,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a field of the recipe in every cell; repeatable."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted ablation.")] = False,
    engine: Annotated[EngineName, typer.Option(help="Processes of this machine, or Ray.")] = EngineName.LOCAL,
    workers: Annotated[int | None, typer.Option(help="Trainings at once; 1 locally by default.")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster that is running, or auto; Ray is started here without."),
    ] = None,
) -> None:
    """Train a recipe with parts of it changed, and say of each whether it helps, hurts or cannot be told apart."""
    from pulmoscope.cohort import Cohort
    from pulmoscope.search.engine import open_engine
    from pulmoscope.training import load_recipe
    from pulmoscope.workflow import ablate as run_ablation
    from pulmoscope.workflow.ablate_files import as_text
    from pulmoscope.workflow.seeds import parse_seeds

    chosen = load_recipe(recipe, tuple(set_ or ()), budget=budget.value)
    with open_engine(engine.value, workers=workers, address=address) as opened:
        found = run_ablation(
            chosen,
            Cohort.read(cohort),
            out=out,
            factors=factors,
            design=None if design is None else design.value,
            seeds=parse_seeds(seeds),
            resume=resume,
            engine=opened,
            progress=True,
        )
    print(as_text(found))
    print(f"page: {out / 'ablation.html'}\nResearch use only.")
