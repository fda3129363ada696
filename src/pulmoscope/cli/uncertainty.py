"""``pulmoscope uncertainty``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def uncertainty(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_TABLE", help="A run's folder, or a predictions table with val and test."
        ),
    ],
    dropout_samples: Annotated[
        int, typer.Option(help="Passes a picture with dropout left on; for a run.")
    ] = 0,
    views: Annotated[int, typer.Option(help="Fixed views a picture, the first plain; for a run.")] = 0,
    level: Annotated[float, typer.Option(help="Coverage that conformal sets are to have.")] = 0.9,
    coverage: Annotated[
        list[float] | None, typer.Option(help="Abstain so as to answer at least this share; repeatable.")
    ] = None,
    error: Annotated[
        list[float] | None,
        typer.Option(help="Abstain so that at most this share of the answered is wrong; repeatable."),
    ] = None,
    chosen_on: Annotated[str, typer.Option(help="The split that sets and thresholds are fixed on.")] = "val",
    judged_on: Annotated[str, typer.Option(help="The split that judges them.")] = "test",
    seed: Annotated[int, typer.Option(help="Of the dropout.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for uncertainty.json, pictures.parquet and figures.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Fix sets of classes and thresholds of abstention on validation, judge them on test; ask the model again."""
    import json

    from pulmoscope.evaluation.selective import Aim
    from pulmoscope.evaluation.selective_table import DEFAULT_AIMS
    from pulmoscope.workflow.uncertainty_run import uncertainty as run_uncertainty

    aims: list[tuple[Aim, float]] = [("coverage", one) for one in coverage or ()]
    aims += [("error", one) for one in error or ()]
    found = run_uncertainty(
        run, dropout_samples=dropout_samples, views=views, level=level, aims=aims or DEFAULT_AIMS,
        chosen_on=chosen_on, judged_on=judged_on, seed=seed, out=out, progress=not as_json,
    )  # fmt: skip
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
        return
    print(found)
    if out is not None:
        print(f"\nresults: {out / 'uncertainty.json'}")
    print("\nResearch use only.")
