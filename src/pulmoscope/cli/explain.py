"""``pulmoscope explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulmoscope.cli.options import SOME_LEFT_OUT


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder or its model/ folder.")],
    images: Annotated[
        list[Path] | None,
        typer.Option(help="A picture or DICOM file instead of pictures of the run; repeatable."),
    ] = None,
    pick: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,...",
            help="tp, fn, fp (of one class: tp:CLASS), errors, confident-wrong, least-sure, TRUE>PREDICTED; "
            "by default tp,errors,confident-wrong,least-sure.",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="grad-cam (default), grad-cam++, layer-cam, hires-cam, eigen-cam, score-cam, "
            "integrated-gradients, occlusion; repeatable."
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|all", help="stage1, stage2, ..., a module's path, or all; the last by default."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="CLASS", help="The class to explain; by default the predicted one.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Pictures a gallery.")] = 8,
    split: Annotated[str, typer.Option(help="Part of the run: test or val.")] = "test",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="By default explain in the folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what explain.json holds.")] = False,
) -> None:
    """Draw where a model's scores came from: overlays, raw maps and a page. Exit status 3 for unreadable files."""
    import json

    from pulmoscope.workflow.explain_files import as_dict, as_text
    from pulmoscope.workflow.explain_run import explain_pictures

    found = explain_pictures(
        run, images=images or (), picks=[one for one in (pick or "").split(",") if one],
        methods=method or ("grad-cam",), layer=layer, target=target, limit=limit, split=split, out=out,
        progress=not as_json,
    )  # fmt: skip
    if as_json:
        print(json.dumps(as_dict(found), allow_nan=False))
    else:
        print(f"{as_text(found)}\n\nResearch use only.")
    if found.subjects.unread:
        raise typer.Exit(SOME_LEFT_OUT)
