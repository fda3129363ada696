"""``pulmoscope cohort``: collections to one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Put collections of radiographs together.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _cohort() -> None:
    """Put collections of radiographs together."""


@app.command("build")
def build(
    sources: Annotated[
        list[str], typer.Argument(metavar="NAME=PATH...", help="Collections: folders, tables or .npz files.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for cohort.parquet and dropped.csv.")],
    labels: Annotated[
        str | None,
        typer.Option(
            help="binary-covid, covid-pneumonia-normal, normal-infected, or your own YAML; default: as found."
        ),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Keep rows that match, as in 'view=AP' or 'age>=18'; repeatable.")
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="predefined, patient:0.7,0.15,0.15, kfold:5, kfold-pictures:5 (leaks), test (all for judging); "
            "auto: as found, else patient."
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    val_from_train: Annotated[
        float | None,
        typer.Option(help="Carve this fraction of the training part, by groups, for validation."),
    ] = None,
    uncertain: Annotated[
        str, typer.Option(help="CheXpert's uncertain labels: ignore, positive or negative.")
    ] = "ignore",
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:KEY=VALUE",
            help="An option of one collection's reader, as in darkcovidnet:metadata=cohen/metadata.csv; repeatable.",
        ),
    ] = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Go on with a split that leaks; every output says so.")
    ] = False,
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Leave training rows out that stand in the test part too.")
    ] = False,
    near_copies: Annotated[
        bool,
        typer.Option(
            "--near-copies/--no-near-copies", help="Look for re-encoded, resized and cropped copies."
        ),
    ] = True,
) -> None:
    """Build one table of radiographs from one or more collections."""
    from pulmoscope.cli.options import named_paths, source_options
    from pulmoscope.cohort import Cohort, summarise

    cohort = Cohort.from_sources(
        named_paths(sources),
        labels=labels,
        where=tuple(where or ()),
        split=split,
        seed=seed,
        val_from_train=val_from_train,
        uncertain=uncertain,
        allow_leak=allow_leak,
        drop_leaks=drop_leaks,
        near_copies=near_copies,
        source_options=source_options(option or ()),
        progress=True,
    )
    cohort.write(out)
    print(summarise(cohort))
    print(
        f"written: {out / 'cohort.parquet'} ({len(cohort)} rows), {out / 'dropped.csv'} ({len(cohort.dropped)} rows)"
    )
