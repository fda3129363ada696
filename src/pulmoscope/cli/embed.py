"""``pulmoscope embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def embed(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    method: Annotated[
        str, typer.Option(metavar="NAME,...", help="pca, tsne, umap; all of them by default.")
    ] = "pca,tsne,umap",
    split: Annotated[str, typer.Option(help="Part of the run: test or val.")] = "test",
    seed: Annotated[int, typer.Option(help="Of t-SNE, UMAP and the folds.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="By default embedding in the folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what embedding.json holds.")] = False,
) -> None:
    """Draw where the network puts a part's pictures, and measure whether its features give the source away."""
    import json

    from pulmoscope.workflow.embed_run import embed_run

    methods = [one for one in method.split(",") if one]
    found = embed_run(run, methods=methods, split=split, out=out, seed=seed)
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
    else:
        print(f"{found}\n\nResearch use only.")
