"""``pulmoscope scorecard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def scorecard(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="grad-cam, grad-cam++, layer-cam, hires-cam, eigen-cam (all by default), score-cam, "
            "integrated-gradients, occlusion; repeatable."
        ),
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=2, help="Pictures to explain, the classes in turn, drawn by a seed.")
    ] = 60,
    masks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Lung masks named like the pictures; else the cohort's own."),
    ] = None,
    lesions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Masks of known lesions named like the pictures.")
    ] = None,
    other: Annotated[
        Path | None, typer.Option(metavar="RUN", help="The same recipe trained with another seed.")
    ] = None,
    shuffled: Annotated[
        Path | None, typer.Option(metavar="RUN", help="The same recipe trained on shuffled labels.")
    ] = None,
    split: Annotated[str, typer.Option(help="Part of the run: test or val.")] = "test",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="By default scorecard in the run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what scorecard.json holds.")] = False,
) -> None:
    """Test whether a model's maps can be believed: one verdict a method, with its reasons."""
    import json

    from pulmoscope.workflow.scorecard_run import DEFAULT_METHODS, score_methods

    found = score_methods(
        run, methods=method or DEFAULT_METHODS, pictures=pictures, split=split, masks=masks, lesions=lesions,
        other=other, shuffled=shuffled, out=out, progress=not as_json,
    )  # fmt: skip
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
    else:
        print(f"{found}\n\nResearch use only.")
