"""``pulmoscope train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pulmoscope.cli.options import BudgetName, EngineName


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, a YAML file, or NAME:VARIANT.")],
    cohort: Annotated[Path, typer.Option(help="Folder that `cohort build` wrote.")],
    out: Annotated[Path, typer.Option(help="The run's folder; with --seeds the folder of all runs.")],
    seed: Annotated[int | None, typer.Option(help="Of everything random; 0 by default.")] = None,
    seeds: Annotated[
        str, typer.Option(metavar="N,N,...", help="One run a seed in OUT/seed-N, with mean and spread.")
    ] = "",
    budget: Annotated[BudgetName, typer.Option(help="The recipe's full or quick setting.")] = BudgetName.FULL,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    engine: Annotated[EngineName, typer.Option(help="Processes of this machine, or Ray.")] = EngineName.LOCAL,
    workers: Annotated[
        int | None, typer.Option(help="Seeds and folds at once; 1 locally by default.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster that is running, or auto; Ray is started here without."),
    ] = None,
) -> None:
    """Train a model, evaluate it once on the test part, and write the report."""
    from pulmoscope.cohort import Cohort
    from pulmoscope.errors import RunError
    from pulmoscope.search.engine import open_engine
    from pulmoscope.training import load_recipe
    from pulmoscope.workflow import train as run_training
    from pulmoscope.workflow import train_seeds
    from pulmoscope.workflow.seeds import parse_seeds
    from pulmoscope.workflow.summary import describe_run

    if seeds and seed is not None:
        raise RunError("--seed and --seeds are given", code="E_USAGE", remedy="give one of them")
    chosen = load_recipe(recipe, tuple(set_ or ()), budget=budget.value)
    several = parse_seeds(seeds) if seeds else ()
    with open_engine(engine.value, workers=workers, address=address) as opened:
        given: dict[str, Any] = {"out": out, "resume": resume, "engine": opened, "progress": True}
        if several:
            found = train_seeds(chosen, Cohort.read(cohort), seeds=several, **given)
            print(f"{found}\ntables: {out / 'seeds.csv'}, {out / 'seeds.json'}\nResearch use only.")
        else:
            run = run_training(chosen, Cohort.read(cohort), seed=seed or 0, **given)
            print(describe_run(run))
