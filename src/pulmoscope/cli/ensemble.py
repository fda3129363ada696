"""``pulmoscope ensemble``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def ensemble(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN_OR_TABLE...",
            help="Runs' folders, predictions tables (CSV or Parquet), or NAME=PATH, of the same pictures.",
        ),
    ],
    method: Annotated[
        str, typer.Option(help="mean, weighted or stacked; the last two are fitted on validation.")
    ] = "mean",
    fitted_on: Annotated[str, typer.Option(help="The split that weights are fitted on.")] = "val",
    judged_on: Annotated[str, typer.Option(help="The split that judges.")] = "test",
    replicates: Annotated[int, typer.Option(min=1, help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for predictions.parquet and ensemble.json.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Average models of several seeds or backbones, and test the ensemble against each of its members."""
    import json

    from pulmoscope.workflow.ensemble_run import ensemble as run_ensemble

    found = run_ensemble(
        sources,
        method=method,
        fitted_on=fitted_on,
        judged_on=judged_on,
        replicates=replicates,
        seed=seed,
        out=out,
    )
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
        return
    print(found)
    if out is not None:
        print(f"predictions: {out / 'predictions.parquet'}")
    print("\nResearch use only.")
