"""``pulmoscope sweep``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pulmoscope.cli.options import EngineName


class SamplerChoice(StrEnum):
    """How trials are chosen."""

    GRID = "grid"
    RANDOM = "random"
    TPE = "tpe"


def sweep(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, a YAML file, or NAME:VARIANT.")],
    cohort: Annotated[Path, typer.Option(help="Folder that `cohort build` wrote.")],
    out: Annotated[Path, typer.Option(help="The folder of all trials, tables and the chosen run.")],
    space: Annotated[
        Path | None,
        typer.Option(help="The space, a YAML file; by default the one that comes with the recipe."),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Starting weights to compare over the whole space, as imagenet or run=RUN; twice or more."
        ),
    ] = None,
    sampler: Annotated[
        SamplerChoice,
        typer.Option(help="Every combination, random draws, or a tree-structured Parzen estimator."),
    ] = SamplerChoice.GRID,
    trials: Annotated[int | None, typer.Option(min=1, help="How many, for random and tpe.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Pieces of work at once: 1 locally, with Ray all cores.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Database of the trials, as postgresql+psycopg://USER@HOST/NAME."),
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="Processes here, or Ray.")] = EngineName.LOCAL,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster that is running.")] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="End fine-tuning trials that lie under the others' median.")
    ] = False,
    nested: Annotated[
        int | None, typer.Option(metavar="K", help="Nested cross-validation with K outer folds.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted sweep.")] = False,
) -> None:
    """Search a space of recipes by validation, read the test part once for the chosen one, and write the report."""
    from pulmoscope.cohort import Cohort
    from pulmoscope.workflow.sweep_report import as_text
    from pulmoscope.workflow.sweep_run import sweep as run_sweep

    found = run_sweep(
        recipe,
        Cohort.read(cohort),
        out=out,
        space=space,
        weights=tuple(weights or ()),
        sampler=sampler.value,
        trials=trials,
        workers=workers,
        storage=storage,
        engine=engine.value,
        address=address,
        prune=prune,
        nested=nested,
        seed=seed,
        overrides=tuple(set_ or ()),
        resume=resume,
        progress=True,
    )
    print(as_text(found.findings, found.best, found.nested))
    print(f"page: {out / 'sweep.html'}\ntable: {out / 'trials.csv'}\nResearch use only.")
