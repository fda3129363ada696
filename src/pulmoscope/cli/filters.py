"""``pulmoscope filters``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def filters(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    before: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|start", help="Compare with the weights it began from, or with another run's."
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER,...",
            help="Convolutions whose channels are excited, as in conv4; three by default.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="By default filters in the folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what filters.json holds.")] = False,
) -> None:
    """Show what filters look for, how far training moved them, and which are dead on real pictures."""
    import json

    from pulmoscope.workflow.filters_run import look_at_filters

    found = look_at_filters(
        run, before=before, layers=[one for one in (layers or "").split(",") if one], out=out
    )
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
    else:
        print(f"{found}\n\nResearch use only.")
