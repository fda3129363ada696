"""``pulmoscope prune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def prune(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    shares: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE,...", help="Of every layer's channels to remove; 0, 0.1, ... 0.9 by default."
        ),
    ] = None,
    retrain: Annotated[
        int,
        typer.Option(
            metavar="EPOCHS", help="Train each pruned network again, at a tenth of the run's rate.", min=0
        ),
    ] = 0,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="By default pruned in the folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what pruning.json holds.")] = False,
) -> None:
    """Remove weak channels: accuracy, size and speed by share, and a smaller model chosen on validation."""
    import json

    from pulmoscope.workflow.prune_run import DEFAULT_SHARES, prune_run

    found = prune_run(
        run,
        shares=DEFAULT_SHARES if shares is None else _shares(shares),
        retrain=retrain,
        out=out,
        progress=not as_json,
    )
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
    else:
        print(f"{found}\n\nResearch use only.")


def _shares(text: str) -> list[float]:
    from pulmoscope.errors import PulmoscopeError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise PulmoscopeError(
            f"{text!r} are no shares", code="E_USAGE", expected="SHARE,..., as in 0,0.25,0.5"
        ) from None
