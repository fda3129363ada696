"""``pulmoscope calibrate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Method(StrEnum):
    """How probabilities are mended."""

    TEMPERATURE = "temperature"
    PLATT = "platt"
    ISOTONIC = "isotonic"
    NONE = "none"


def calibrate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run's folder.")],
    method: Annotated[
        Method, typer.Option(help="temperature needs few pictures; none takes a calibration away.")
    ] = Method.TEMPERATURE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Fit a calibration on a run's validation predictions and store it in its model. Weights are untouched."""
    import json

    from pulmoscope.workflow.calibrate_run import calibrate as calibrate_run

    found = calibrate_run(run, method.value)
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
    else:
        print(f"{found}\n\nwritten: {run / 'model'}, predictions, metrics and report of {run}")
        print("Research use only.")
