"""``pulmoscope compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN_OR_TABLE...",
            help="Runs' folders, predictions tables (CSV or Parquet), or NAME=PATH; of a table all its models.",
        ),
    ],
    model: Annotated[
        list[str] | None, typer.Option(help="Only this model of a table that holds several; repeatable.")
    ] = None,
    split: Annotated[str, typer.Option(help="val, test, or all for every row.")] = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Such as accuracy, macro_auroc, sensitivity:covid; repeatable, the first decides."),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Of non-inferiority, as a share: 0.02 is two points.")
    ] = None,
    replicates: Annotated[int, typer.Option(help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for the page, the plot and the tables.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say of each pair of models whether it can be told apart on the same pictures, and rank them with their ties."""
    import json

    from pulmoscope.evaluation.compare import METRICS
    from pulmoscope.evaluation.compare_words import as_text
    from pulmoscope.workflow.compare_run import compare_contenders, leak_warnings, read_contenders

    contenders = read_contenders(sources, model or ())
    found = compare_contenders(
        contenders,
        split=None if split == "all" else split,
        metrics=metric or METRICS,
        margin=margin,
        replicates=replicates,
        seed=seed,
        out=out,
    )
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
        return
    for warning in leak_warnings(contenders):
        print(warning)
    print(as_text(found))
    if out is not None:
        print(f"page: {out / 'compare.html'}")
    print("Research use only.")
