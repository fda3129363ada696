"""``pulmoscope recipes``."""

from __future__ import annotations

from typing import Annotated

import typer

from pulmoscope.cli.options import BudgetName


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="A recipe's name, a YAML file, or NAME:VARIANT; all by default.")
    ] = None,
    budget: Annotated[BudgetName, typer.Option(help="Of the one recipe that is shown.")] = BudgetName.FULL,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recipes with their published numbers, or show one with every default written out."""
    import json

    from pulmoscope.training import load_recipe
    from pulmoscope.workflow.listing import as_text, list_recipes

    if name is not None:
        recipe = load_recipe(name, budget=budget.value).resolved()
        print(json.dumps(recipe.model_dump(mode="json"), indent=2) if json_ else recipe.as_yaml().rstrip())
        return
    listed = list_recipes()
    print(json.dumps(listed, indent=2, ensure_ascii=False) if json_ else as_text(listed))
