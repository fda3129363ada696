"""The recipe: one YAML file that says all that shapes a run, validated whole."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, Field, ValidationError, model_validator

from pulmoscope.errors import RecipeError
from pulmoscope.imaging import Augment, Preprocess
from pulmoscope.models import input_statistics
from pulmoscope.training.parts import (
    CascadePart,
    EvaluatePart,
    ModelPart,
    Part,
    PredictPart,
    PublishedNumber,
    TrainPart,
)

RECIPES = Path(__file__).parents[1] / "recipes"
_LARGEST_RECIPE = 1 << 20


class Recipe(Part):
    """Everything that shapes a run, apart from the cohort and the seed.

    ``variant`` and ``budget`` say which of a family's settings this is; their effects are in the other fields already.
    """

    name: str
    variant: str | None = None
    budget: Literal["full", "quick"] = "full"
    description: str = ""
    preprocess: Preprocess = Preprocess()
    augment: Augment = Augment()
    model: ModelPart = ModelPart()
    cascade: CascadePart | None = None
    train: TrainPart = TrainPart()
    predict: PredictPart = PredictPart()
    evaluate: EvaluatePart = EvaluatePart()
    validation_fraction: float = Field(default=0.15, gt=0, lt=0.5)
    published: tuple[PublishedNumber, ...] = ()

    @model_validator(mode="after")
    def _check_stages(self) -> Recipe:
        for name in ("first", "second") if self.cascade is not None else ():
            self.stage(name)
        return self

    def stage(self, name: Literal["first", "second"] | str) -> Recipe:
        """The recipe of one stage of a cascade, which is a recipe without one.

        Raises:
            ValueError: The stage changes what both must share.
        """
        if self.cascade is None:
            raise ValueError("the recipe has no cascade")
        changes = getattr(self.cascade, name)
        strange = set(changes) - {"model", "train", "augment"}
        if strange:
            raise ValueError(
                f"cascade.{name} may change model, train and augment only, not {sorted(strange)}"
            )
        content = self.model_dump(mode="json", exclude={"cascade"})
        return Recipe.model_validate(merged(content, changes))

    def resolved(self) -> Recipe:
        """With the input statistics that the starting weights expect, where the recipe leaves them open.

        Weights with one mean for all colour planes take the grey picture once; others take it three times.
        """
        given = self.preprocess.model_fields_set
        mean, std = input_statistics(self.model.backbone, self.model.weights)
        channels: Literal[1, 3] = self.preprocess.channels
        if "channels" not in given:
            channels = 1 if len(set(mean)) == len(set(std)) == 1 else 3
        chosen: dict[str, Any] = {"channels": channels}
        if "mean" not in given and "std" not in given:
            chosen |= {"mean": _per_channel(mean, channels), "std": _per_channel(std, channels)}
        content = self.model_dump(mode="json")
        content["preprocess"] |= chosen
        return Recipe.model_validate(content)

    def as_yaml(self) -> str:
        """The whole recipe as YAML, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` with ``changes`` laid over it, mapping by mapping; anything else replaces what was there."""
    whole = dict(content)
    for key, value in changes.items():
        below = whole.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        whole[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return whole


def shipped() -> list[str]:
    """Names of the recipes that come with Pulmoscope."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name_or_path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by its shipped name or its path and apply ``key=value`` overrides.

    Raises:
        RecipeError: It cannot be read, or holds mistakes: all of them are named at once.
    """
    path = _find(name_or_path)
    try:
        if path.stat().st_size > _LARGEST_RECIPE:
            raise RecipeError(f"{path} is too large for a recipe", expected="under 1 MiB")
        # OmegaConf loads safely and bounds the expansion of YAML aliases.
        config = OmegaConf.load(path)
        if not OmegaConf.is_dict(config) or not config:
            raise RecipeError(f"{path} is not a recipe", expected="a mapping of names to values")
        for item in overrides:
            key, equals, value = item.partition("=")
            if not equals or not key.strip():
                raise RecipeError(
                    f"--set {item!r} cannot be read", expected="key=value, as in train.finetune.epochs=3"
                )
            OmegaConf.update(config, key.strip(), yaml.safe_load(value), merge=False)
        content = OmegaConf.to_container(config, resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"{path} cannot be read", got=str(error)) from error
    if isinstance(content, dict):
        content.setdefault("name", path.stem)
    return parse_recipe(content, str(path))


def parse_recipe(content: Any, where: str) -> Recipe:
    """Validate a mapping as a recipe; ``where`` names it in the error."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        mistakes = "; ".join(_mistake(one) for one in error.errors())
        raise RecipeError(f"{where}: {mistakes}") from error


def _per_channel(values: tuple[float, ...], channels: int) -> list[float]:
    if channels == 1 or len(set(values)) == 1:
        return [sum(values) / len(values)] * channels
    return list(values)


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    named = RECIPES / f"{name_or_path}.yaml"
    if path.name == str(name_or_path) and named.is_file():
        return named
    near = difflib.get_close_matches(str(name_or_path), shipped(), n=2)
    raise RecipeError(
        f"no recipe {str(name_or_path)!r}",
        expected=f"a file, or one of {', '.join(shipped())}",
        remedy=f"did you mean {' or '.join(near)}?" if near else None,
    )


def _mistake(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{place}: {error['msg'].lower()}, got {error['input']!r}"
    near = difflib.get_close_matches(str(error["loc"][-1]), _fields(error["loc"][:-1]), n=1)
    return f"{place}: no such field" + (f", did you mean {near[0]}?" if near else "")


def _fields(place: Sequence[Any]) -> list[str]:
    model: Any = Recipe
    for part in place:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return []
        model = model.model_fields[part].annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
