"""Cohort and recipe to a trained network."""

from pulmoscope.training.batches import Examples
from pulmoscope.training.family import Family, every_shipped, load_recipe, read_family, shipped, split_variant
from pulmoscope.training.fit import Fitted, fit
from pulmoscope.training.parts import PublishedNumber
from pulmoscope.training.recipe import Budget, Recipe, parse_recipe

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
