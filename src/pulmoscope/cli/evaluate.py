"""``pulmoscope evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="A run's folder.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Judge the run on this other cohort.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Judge a predictions table (CSV or Parquet) that any program wrote.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val or test; another cohort is judged whole.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for what an external validation writes.")] = None,
    intervals: Annotated[
        str, typer.Option(help="default, or patient-bootstrap for every number.")
    ] = "default",
    allow_leak: Annotated[
        bool,
        typer.Option("--allow-leak", help="Judge on a cohort that shares pictures with the training data."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Judge a run, a run on another cohort, or somebody's predictions."""
    import json

    from pulmoscope.errors import RunError

    if (run is None) == (predictions is None):
        raise RunError(
            "nothing to judge, or too much", code="E_USAGE", expected="either RUN or --predictions FILE"
        )
    from pulmoscope.evaluation import IntervalMethod

    method = cast(IntervalMethod, intervals)  # evaluate() refuses any other with one line
    folder = None
    if predictions is not None:
        from pulmoscope.evaluation import evaluate as measure
        from pulmoscope.evaluation import read_predictions

        evaluation = measure(read_predictions(predictions), split=split, intervals=method)
    elif cohort is not None:
        from pulmoscope.cohort import Cohort
        from pulmoscope.workflow import Run, evaluate_external

        evaluation, folder = evaluate_external(
            Run(run or ""),
            Cohort.read(cohort),
            name=cohort.resolve().name,
            split=split,
            out=out,
            allow_leak=allow_leak,
            progress=True,
        )
    else:
        from pulmoscope.workflow import Run

        evaluation = Run(run or "").evaluate(split or "test", intervals=method)
    if as_json:
        print(json.dumps(evaluation.as_dict(), indent=2, allow_nan=False))
        return
    print(evaluation)
    if folder is not None:
        print(f"report: {folder / 'report.html'}")
