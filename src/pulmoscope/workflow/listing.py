"""The recipes that come with Pulmoscope, with what was published of the systems they stand for."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from pulmoscope.training import read_family, shipped
from pulmoscope.workflow.verdict import meaning

#: How the user says where the weights are that a recipe cannot bring along.
WEIGHTS_OF_THE_USER = "--set model.weights=xrv:file:PATH, xrv:url:URL#sha256=HEX or run=RUN"
_WIDTH = 100


def list_recipes(names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """What each recipe is: name, description, variants, published numbers; of a variant, what the user must bring too.

    Args:
        names: By default all that come with Pulmoscope.

    Raises:
        RecipeError: One of them is wrong.
    """
    listed = []
    for name in shipped() if names is None else names:
        family = read_family(name)
        variants = [family.recipe(variant) for variant in family.variants or (None,)]
        numbers = dict.fromkeys(number for recipe in variants for number in recipe.published)
        listed.append(
            {
                "name": name,
                "description": str(family.base.get("description", "")),
                "variants": [
                    {
                        "name": recipe.variant,
                        "description": recipe.description,
                        "budgets": list(family.budgets(recipe.variant)),
                        "needs": WEIGHTS_OF_THE_USER if recipe.model.weights.startswith("xrv:") else None,
                    }
                    for recipe in variants
                ],
                "published": [number.model_dump(mode="json") for number in numbers],
            }
        )
    return listed


def as_text(listed: Sequence[Mapping[str, Any]]) -> str:
    """:func:`list_recipes` for the terminal."""
    lines: list[str] = []
    for recipe in listed:
        lines += [recipe["name"], *_wrapped(recipe["description"])]
        for variant in recipe["variants"]:
            own = variant["description"] if variant["description"] != recipe["description"] else ""
            if variant["name"]:
                lines += _wrapped(f"{recipe['name']}:{variant['name']}{': ' if own else ''}{own}")
            if variant["needs"]:
                lines += _wrapped(f"needs {variant['needs']}", "    ")
            mine = [one for one in recipe["published"] if one["variant"] == variant["name"]]
            lines += _published(mine, "    " if variant["name"] else "  ")
        if any(variant["name"] for variant in recipe["variants"]):
            lines += _published([one for one in recipe["published"] if one["variant"] is None], "  ")
        lines += [*_budgets(recipe["variants"]), ""]
    lines.append("Show one with every default: pulmoscope recipes NAME or NAME:VARIANT")
    return "\n".join(lines)


def _budgets(variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """Once where all variants have the same, else one line a variant."""
    said = {variant["name"]: ", ".join(variant["budgets"]) for variant in variants}
    if len(set(said.values())) == 1:
        return _wrapped(f"budgets: {next(iter(said.values()))}")
    return [line for name, budgets in said.items() for line in _wrapped(f"budgets of {name}: {budgets}")]


def _published(numbers: Sequence[Mapping[str, Any]], indent: str) -> list[str]:
    """Numbers by who printed them and on what."""
    by_source: dict[str, list[str]] = {}
    for number in numbers:
        said = f"{meaning(number['metric'])} {number['value']:g}"
        by_source.setdefault(f"{number['source']}; {number['split']}", []).append(said)
    return [
        line
        for source, said in by_source.items()
        for line in _wrapped(f"published ({source}): {'; '.join(said)}", indent)
    ]


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "    ")
