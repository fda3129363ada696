"""``pulmoscope features``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulmoscope.cli.options import SOME_LEFT_OUT


def features(
    run: Annotated[Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder or its model/ folder.")],
    images: Annotated[list[Path], typer.Option(help="A picture or DICOM file; repeatable.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the sheets go.")],
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER,...",
            help="conv2 (the second convolution), stage3, or a module's path; all stages by default.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what features.json holds.")] = False,
) -> None:
    """Draw the maps that a network makes of pictures, layer by layer. Exit status 3 for unreadable files."""
    import json

    from pulmoscope.workflow.look_run import look_at

    found = look_at(run, images, layers=[one for one in (layers or "").split(",") if one], out=out)
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
    else:
        print(f"{found}\n\nResearch use only.")
    if found.unread:
        raise typer.Exit(SOME_LEFT_OUT)
