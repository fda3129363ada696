"""The recipe: one YAML file that says all that shapes a run, validated whole."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pulmoscope.errors import RecipeError
from pulmoscope.imaging import Augment, Preprocess
from pulmoscope.models import HeadSpec, input_statistics

RECIPES = Path(__file__).parents[1] / "recipes"
_LARGEST_RECIPE = 1 << 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelPart(_Part):
    """The network: backbone by name, where its weights start, the dense head."""

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "imagenet"
    head: HeadSpec = HeadSpec()


class HeadStage(_Part):
    """Stage 1: the head learns on features of the frozen backbone, computed once.

    ``views`` counts augmented views of every training picture beside the plain one.
    """

    epochs: int = Field(default=60, ge=0, le=10_000)
    batch: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    patience: int = Field(default=10, ge=1)
    views: int = Field(default=0, ge=0, le=64)


class FinetuneStage(_Part):
    """Stage 2: every weight learns, with AdamW, linear warm-up and cosine decay.

    ``ema`` is the decay per step of the averaged weights that are validated and kept; 0 keeps the plain weights.
    ``warmup`` is a fraction of all steps.
    """

    epochs: int = Field(default=6, ge=0, le=10_000)
    batch: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    patience: int = Field(default=3, ge=1)
    ema: float = Field(default=0.99, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, ge=0)


class TrainPart(_Part):
    """How the network learns."""

    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = "balanced"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    select: Literal["val_loss", "val_accuracy", "val_macro_auroc"] = "val_loss"
    head: HeadStage = HeadStage()
    finetune: FinetuneStage = FinetuneStage()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(default=0, ge=0, description="0 takes every GPU, or one CPU process")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class EvaluatePart(_Part):
    """How the numbers get their intervals."""

    replicates: int = Field(default=1000, ge=100, le=100_000)


class PublishedNumber(_Part):
    """A number that a published report prints, with its source; never one of ours."""

    metric: str
    value: float
    split: str
    source: str


class Recipe(_Part):
    """Everything that shapes a run, apart from the cohort and the seed."""

    name: str
    description: str = ""
    preprocess: Preprocess = Preprocess()
    augment: Augment = Augment()
    model: ModelPart = ModelPart()
    train: TrainPart = TrainPart()
    evaluate: EvaluatePart = EvaluatePart()
    validation_fraction: float = Field(default=0.15, gt=0, lt=0.5)
    published: tuple[PublishedNumber, ...] = ()

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
