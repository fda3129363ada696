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
        str | None,
        typer.Option(help="val or test; a part of another cohort, which is judged whole by default."),
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
    folder, leaked = None, False
    if predictions is not None:
        from pulmoscope.evaluation import evaluate as measure
        from pulmoscope.evaluation import read_predictions

        table = read_predictions(predictions)
        # Rows that chose the model must not be mixed with those that judge it.
        part = split or ("test" if "test" in table.splits else None)
        evaluation = measure(table, split=part, intervals=method)
    elif cohort is not None:
        from pulmoscope.cohort import Cohort
        from pulmoscope.workflow import Run, evaluate_external
        from pulmoscope.workflow.summary import is_leaked

        judged = Run(run or "")
        evaluation, folder = evaluate_external(
            judged,
            Cohort.read(cohort),
            name=cohort.resolve().name,
            split=split,
            out=out,
            allow_leak=allow_leak,
            intervals=method,
            progress=True,
        )
        leaked = is_leaked(Cohort.read(folder)) or is_leaked(judged.cohort)
    else:
        from pulmoscope.workflow import Run
        from pulmoscope.workflow.summary import is_leaked

        judged = Run(run or "")
        evaluation = judged.evaluate(split or "test", intervals=method)
        leaked = is_leaked(judged.cohort)
    if as_json:
        print(json.dumps(evaluation.as_dict() | ({"leaked_split": True} if leaked else {}), allow_nan=False))
        return
    if leaked:
        from pulmoscope.workflow.summary import LEAKED

        print(LEAKED)
    print(evaluation)
    if folder is not None:
        print(f"report: {folder / 'report.html'}")
