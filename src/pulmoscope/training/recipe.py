"""The recipe: all that shapes a run apart from the cohort and the seed, validated whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from pulmoscope.errors import RecipeError, did_you_mean, near_names
from pulmoscope.imaging import Augment, Preprocess
from pulmoscope.models.weights import input_recipe
from pulmoscope.training.parts import (
    CascadePart,
    EvaluatePart,
    ModelPart,
    Part,
    PredictPart,
    PublishedNumber,
    TrainPart,
    check_mixing,
)

Budget = Literal["full", "quick"]
_STAGES: tuple[Literal["first", "second"], ...] = ("first", "second")


class Recipe(Part):
    """Everything that shapes a run, apart from the cohort and the seed.

    ``variant`` and ``budget`` say which of a family's settings this is; their effects are in the other fields already.
    """

    name: str
    variant: str | None = None
    budget: Budget = "full"
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
    def _check_mixing(self) -> Recipe:
        check_mixing(self.augment, self.train)
        return self

    @model_validator(mode="after")
    def _check_stages(self) -> Recipe:
        wrong = []
        for name in _STAGES if self.cascade is not None else ():
            try:
                self.stage(name)
            except ValidationError as error:
                wrong += [f"cascade.{name}.{mistake}" for mistake in mistakes_of(error)]
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def title(self) -> str:
        """Name and variant, such as ``system_c:flat``."""
        return self.name if self.variant is None else f"{self.name}:{self.variant}"

    def stage(self, name: Literal["first", "second"]) -> Recipe:
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

    @property
    def networks(self) -> tuple[Recipe, ...]:
        """The recipe of each network to be trained: itself, or both stages of a cascade."""
        return (self,) if self.cascade is None else tuple(self.stage(name) for name in _STAGES)

    def resolved(self) -> Recipe:
        """With the input statistics that the starting weights expect, where the recipe leaves them open.

        Weights that treat all colour planes alike take the grey picture once; others, and an augmentation that changes
        colours, take it three times.

        Raises:
            RecipeError: The augmentation changes colours, and the recipe asks for one channel.
        """
        given = self.preprocess.model_fields_set
        expected = input_recipe(self.model.backbone, self.model.weights)
        channels: Literal[1, 3] = self.preprocess.channels
        if "channels" not in given:
            channels = 1 if expected.channels == 1 and not self._needs_colours() else 3
        elif channels == 1 and self._needs_colours():
            raise RecipeError(
                f"{self.title}: the augmentation changes colours, which one channel has not",
                expected="preprocess.channels of 3, or none given",
                got="1",
                remedy="leave preprocess.channels out, or the shifts of colour",
            )
        chosen: dict[str, Any] = {"channels": channels}
        if "mean" not in given and "std" not in given:
            chosen |= {
                "mean": _per_channel(expected.mean, channels),
                "std": _per_channel(expected.std, channels),
            }
        content = self.model_dump(mode="json")
        content["preprocess"] |= chosen
        return Recipe.model_validate(content)

    def _needs_colours(self) -> bool:
        return any(one.augment.colours for one in self.networks)

    def as_yaml(self) -> str:
        """The whole recipe as YAML, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` with ``changes`` laid over it, mapping by mapping; anything else replaces what was there.

    So does a mapping that names a preset: it starts anew from the preset, not from what was there; and one of class
    weights, whose classes belong together. Another backbone leaves the options of the one before behind.
    """
    whole = dict(content)
    for key, value in changes.items():
        below = whole.get(key)
        if key == "augment" and isinstance(below, str):
            # A preset's name stands for its fields: single ones lie over it.
            below = {"preset": below}
        if isinstance(below, Mapping) and isinstance(value, Mapping) and value.get("backbone"):
            same = value["backbone"] == below.get("backbone")
            below = {name: content for name, content in below.items() if same or name != "options"}
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            anew = "preset" in value or key == "class_weights"
            whole[key] = value if anew else merged(below, value)
        else:
            whole[key] = value
    return whole


def parse_recipe(content: Any, where: str) -> Recipe:
    """Validate a mapping as a recipe; ``where`` names it in the error.

    Raises:
        RecipeError: All mistakes at once.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {'; '.join(mistakes_of(error))}") from error


def find_mistakes(content: Any) -> list[str]:
    """What is wrong with a mapping as a recipe, a sentence each."""
    try:
        Recipe.model_validate(content)
    except ValidationError as error:
        return mistakes_of(error)
    return []


def mistakes_of(error: ValidationError) -> list[str]:
    """Pydantic's findings in our words."""
    return [_mistake(one) for one in error.errors()]


def _per_channel(values: tuple[float, ...], channels: int) -> list[float]:
    if channels == 1 or len(set(values)) == 1:
        return [sum(values) / len(values)] * channels
    return list(values)


def _mistake(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = near_names(str(error["loc"][-1]), _fields(error["loc"][:-1]))
        return f"{place}: no such field{did_you_mean(near, before=', ')}"
    if error["type"] == "value_error":
        # Our own validators' words, which name what they got.
        said = str(error["ctx"]["error"])
        return f"{place}: {said}" if place else said
    return f"{place}: {error['msg'].lower()}, got {error['input']!r}"


def _fields(place: Sequence[Any]) -> list[str]:
    model: Any = Recipe
    for part in place:
        if model is None or part not in model.model_fields:
            return []
        model = _model_in(model.model_fields[part].annotation)
    return [] if model is None else list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, alone or beside None."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None
