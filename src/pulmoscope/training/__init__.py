"""Cohort and recipe to a trained network."""

from pulmoscope.training.batches import Examples
from pulmoscope.training.fit import Fitted, fit
from pulmoscope.training.recipe import Recipe, load_recipe, parse_recipe, shipped

__all__ = ["Examples", "Fitted", "Recipe", "fit", "load_recipe", "parse_recipe", "shipped"]
