"""``pulmoscope augment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def augment(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name or a YAML file.")],
    cohort: Annotated[Path, typer.Option(help="Folder that `cohort build` wrote.")],
    out: Annotated[Path, typer.Option(help="The PNG file to write.")],
    n: Annotated[int, typer.Option("--n", min=1, max=40, help="Pictures: a row each.")] = 6,
    views: Annotated[int, typer.Option(min=1, max=20, help="Augmented views of each.")] = 7,
    seed: Annotated[int, typer.Option(min=0, help="Of the pictures and of their changes.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable."),
    ] = None,
) -> None:
    """Draw a contact sheet of a recipe's augmentation on a cohort's pictures."""
    import numpy as np

    from pulmoscope.cohort import Cohort
    from pulmoscope.errors import CohortError, RecipeError
    from pulmoscope.imaging import decode
    from pulmoscope.report.figures.augmentation import (
        augmented_views,
        choose_rows,
        describe_augmentation,
        draw_augmentation_sheet,
    )
    from pulmoscope.report.style import save_png
    from pulmoscope.training import load_recipe

    if out.suffix.lower() != ".png":
        raise RecipeError(
            f"{out} is not a PNG file's name", code="E_USAGE", expected="a name that ends in .png"
        )
    chosen = load_recipe(recipe, tuple(set_ or ()))
    rows = choose_rows(Cohort.read(cohort).frame, n, seed)
    if rows.empty:
        raise CohortError("the cohort holds no radiograph")
    pictures = np.stack([chosen.preprocess.to_store(decode(path).pixels) for path in rows["path"]])
    caption = describe_augmentation(chosen.augment) or "nothing is changed"
    only = chosen.train.augment_only
    if only is not None:
        classes = "the smallest class" if only == "minority" else ", ".join(only)
        caption += f", in training on pictures of {classes} alone"
    figure = draw_augmentation_sheet(
        pictures,
        augmented_views(pictures, chosen.augment, views, seed),
        rows["label"].astype(str).tolist(),
        title=f"Augmentation of the recipe {chosen.name}",
        caption=caption,
    )
    print(f"written: {save_png(figure, out)}")
