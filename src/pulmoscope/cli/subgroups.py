"""``pulmoscope subgroups``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def subgroups(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_TABLE", help="A run's folder, or a predictions table (CSV or Parquet)."
        ),
    ],
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,...",
            help="Columns of the table or the cohort; by default source, view, sex and age where they are known.",
        ),
    ] = None,
    age_bands: Annotated[
        str, typer.Option(metavar="YEARS,...", help="The ages at which a band begins.")
    ] = "18,40,65",
    split: Annotated[
        str | None,
        typer.Option(help="val, test, or all for every row; test by default, where there are such rows."),
    ] = None,
    cohort: Annotated[
        Path | None,
        typer.Option(
            help="A cohort, or a table with image_id and the columns; by default a run's own cohort."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Which, where the table holds several models.")] = None,
    intervals: Annotated[
        str, typer.Option(help="default, exact, or patient-bootstrap, as for evaluate.")
    ] = "default",
    out: Annotated[Path | None, typer.Option(help="Folder for subgroups.json and the forest plots.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Judge every subgroup (source, view, sex, age band, any column) and test the gaps between them."""
    import json

    from pulmoscope.evaluation.subgroup_words import subgroups_text
    from pulmoscope.workflow.subgroup_run import subgroups as judge
    from pulmoscope.workflow.subgroup_run import write_subgroups

    found = judge(
        source,
        by=[name.strip() for name in by.split(",") if name.strip()] if by is not None else (),
        age_bands=_years(age_bands),
        split=split,
        cohort=cohort,
        model=model,
        intervals=intervals,
    )
    if out is not None:
        write_subgroups(found, out)
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
        return
    print(subgroups_text(found))
    if out is not None:
        print(f"\nwritten: {out / 'subgroups.json'} and figures")
    print("\nResearch use only.")


def _years(text: str) -> list[int]:
    from pulmoscope.errors import PulmoscopeError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise PulmoscopeError(
            f"{text!r} are no age bands",
            code="E_USAGE",
            expected="years at which a band begins, as in 18,40,65",
        ) from None
