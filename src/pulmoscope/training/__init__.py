"""Cohort and recipe to a trained network.

What trains is imported when it is first used: reading a recipe need not wait for Lightning.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pulmoscope.training.family import Family, every_shipped, load_recipe, read_family, shipped, split_variant
from pulmoscope.training.parts import PublishedNumber
from pulmoscope.training.recipe import Budget, Recipe, parse_recipe

if TYPE_CHECKING:
    from pulmoscope.training.batches import Examples
    from pulmoscope.training.fitted import Fitted, fit

_HOMES = {"Examples": "batches", "Fitted": "fitted", "fit": "fitted"}

__all__ = [
    "Budget",
    "Examples",
    "Family",
    "Fitted",
    "PublishedNumber",
    "Recipe",
    "every_shipped",
    "fit",
    "load_recipe",
    "parse_recipe",
    "read_family",
    "shipped",
    "split_variant",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pulmoscope.training' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pulmoscope.training.{_HOMES[name]}"), name)
