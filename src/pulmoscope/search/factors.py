"""What an ablation changes: factors and their levels, the cells of a design, and the recipe of each cell."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pulmoscope.errors import RecipeError
from pulmoscope.training.recipe import Recipe, find_mistakes, merged, parse_recipe

Design = Literal["one-at-a-time", "factorial"]
#: The level of each factor, in the factors' order.
Cell = tuple[str, ...]

FACTORS = Path(__file__).parents[1] / "recipes" / "factors"
_LARGEST_FILE = 1 << 20
_MOST_CELLS = 256
_FIXED = ("name", "variant", "budget", "description", "published")


@dataclass(frozen=True, kw_only=True)
class Level:
    """One setting of a factor.

    Attributes:
        name: As tables and sentences call it.
        changes: Fields of the recipe, laid over the rest as a variant's are; may be empty.
    """

    name: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One thing that is varied.

    Attributes:
        name: As tables and sentences call it.
        levels: The plain one first, then one or more alternatives.
    """

    name: str
    levels: tuple[Level, ...]

    @property
    def plain(self) -> str:
        """Name of the level that the others are compared with."""
        return self.levels[0].name

    @property
    def alternatives(self) -> tuple[str, ...]:
        """Names of the others."""
        return tuple(level.name for level in self.levels[1:])

    def level(self, name: str) -> Level:
        """The level of that name."""
        return next(level for level in self.levels if level.name == name)


@dataclass(frozen=True, kw_only=True)
class FactorFile:
    """What a factor file holds.

    A YAML mapping of ``factors: {factor: {level: {changes}, ...}, ...}``, where the first level of each is the plain
    one and the changes are fields of a recipe; and ``design``, which is ``one-at-a-time`` where it is left out.
    """

    design: Design
    factors: tuple[Factor, ...]


def shipped_factors() -> list[str]:
    """Names of the factor files that come with Pulmoscope: each is a recipe's own."""
    return sorted(path.stem for path in FACTORS.glob("*.yaml"))


def factors_of(recipe: Recipe) -> Path:
    """The factor file that comes with a shipped recipe.

    Raises:
        RecipeError: There is none of its name.
    """
    if recipe.name not in shipped_factors():
        raise RecipeError(
            f"no factors come with the recipe {recipe.name!r}",
            expected=f"--factors FILE.yaml, or one of the recipes {', '.join(shipped_factors())}",
        )
    return FACTORS / f"{recipe.name}.yaml"


def read_factors(path: str | os.PathLike[str]) -> FactorFile:
    """Read a factor file.

    Raises:
        RecipeError: It cannot be read, or is none: all mistakes in one message.
    """
    try:
        if Path(path).stat().st_size > _LARGEST_FILE:
            raise RecipeError(f"{path} is too large for a factor file", expected="under 1 MiB")
        # OmegaConf loads safely and bounds the expansion of YAML aliases.
        content = OmegaConf.to_container(OmegaConf.load(Path(path)), resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"{path} cannot be read", got=str(error)) from error
    return parse_factors(content, str(path))


def parse_factors(content: Any, where: str) -> FactorFile:
    """Check a mapping as a factor file; ``where`` names it in the error.

    Raises:
        RecipeError: All mistakes at once.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("factors"), Mapping):
        raise RecipeError(
            f"{where} is no factor file",
            expected="factors: {factor: {plain level: {}, other level: {changes}}}",
        )
    wrong = [
        f"{name}: no such field, expected design and factors" for name in set(content) - {"design", "factors"}
    ]
    design = content.get("design", "one-at-a-time")
    if design not in get_args(Design):
        wrong.append(f"design: expected {' or '.join(get_args(Design))}, got {design!r}")
    factors = []
    for name, levels in content["factors"].items():
        if not isinstance(levels, Mapping) or len(levels) < 2:
            wrong.append(f"{name}: expected a mapping of at least two levels, the plain one first")
            continue
        names = [_level_name(label) for label in levels]
        wrong += [f"{name}: two levels are called {one}" for one in set(names) if names.count(one) > 1]
        for label, changes in levels.items():
            # YAML reads on, off, yes and no as these.
            if label is None or isinstance(label, bool):
                wrong.append(
                    f"{name}: a level's name must be text or a number, got {label!r}: put it in quotes"
                )
            elif not isinstance(changes or {}, Mapping):
                wrong.append(f"{name}.{label}: expected a mapping of recipe fields, got {changes!r}")
            else:
                fixed = [field for field in (changes or {}) if field in _FIXED]
                wrong += [f"{name}.{label}: {field} cannot be changed" for field in fixed]
        factors.append((str(name), levels))
    if not content["factors"]:
        wrong.append("factors: there is none")
    if wrong:
        raise RecipeError(f"{where}: {'; '.join(wrong)}")
    found = tuple(
        Factor(
            name=name,
            levels=tuple(
                Level(name=_level_name(label), changes=dict(changes or {}))
                for label, changes in levels.items()
            ),
        )
        for name, levels in factors
    )
    clashes = _clashes(found)
    if clashes:
        raise RecipeError(f"{where}: {'; '.join(clashes)}", expected="each field to be of one factor")
    return FactorFile(design=design, factors=found)


def design_cells(factors: Sequence[Factor], design: Design) -> list[Cell]:
    """The cells of a design, the plain one first.

    ``factorial`` is every combination of levels, the last factor changing fastest; ``one-at-a-time`` is the plain cell
    and each alternative of each factor with all others plain.

    Raises:
        RecipeError: There would be more than 256.
    """
    plain = tuple(factor.plain for factor in factors)
    if design == "one-at-a-time":
        return [plain] + [
            (*plain[:at], level, *plain[at + 1 :])
            for at, factor in enumerate(factors)
            for level in factor.alternatives
        ]
    count = math.prod(len(factor.levels) for factor in factors)
    if count > _MOST_CELLS:
        raise RecipeError(
            f"the factorial design has {count} cells",
            expected=f"at most {_MOST_CELLS}",
            remedy="take --design one-at-a-time, or fewer factors",
        )
    return list(itertools.product(*([level.name for level in factor.levels] for factor in factors)))


def cell_label(factors: Sequence[Factor], cell: Cell) -> str:
    """The alternatives that a cell holds; ``plain`` where it holds none."""
    changed = [
        f"{factor.name} {level}" for factor, level in zip(factors, cell, strict=True) if level != factor.plain
    ]
    return ", ".join(changed) or "plain"


def cell_recipes(recipe: Recipe, factors: Sequence[Factor], cells: Sequence[Cell]) -> dict[Cell, Recipe]:
    """The recipe of each cell.

    Published numbers are of the recipe as it is, so a changed one has none.

    Raises:
        RecipeError: A cell's recipe has mistakes, or two cells come out alike: all in one message.
    """
    # What nobody set stays open, so that a cell with another backbone or weights gets its own input statistics.
    base = recipe.model_dump(mode="json", exclude_unset=True)
    found: dict[Cell, Recipe] = {}
    wrong: list[str] = []
    seen: dict[str, Cell] = {}
    for cell in cells:
        label = cell_label(factors, cell)
        content = dict(base)
        for factor, level in zip(factors, cell, strict=True):
            content = merged(content, factor.level(level).changes)
        mistakes = find_mistakes(content)
        if mistakes:
            wrong += [f"{label}: {one}" for one in mistakes]
            continue
        one = parse_recipe(content, label).resolved()
        twin = seen.setdefault(one.as_yaml(), cell)
        if twin != cell:
            wrong.append(f"{label} and {cell_label(factors, twin)} are the same recipe")
        if one != recipe.resolved():
            text = f"{recipe.description} Ablation: {label}.".strip()
            one = one.model_copy(update={"published": (), "description": text})
        found[cell] = one
    if wrong:
        raise RecipeError(f"{recipe.title}: {'; '.join(dict.fromkeys(wrong))}")
    return found


def _level_name(label: object) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)


def _clashes(factors: Sequence[Factor]) -> list[str]:
    """Fields that two factors set: which of them won would depend on their order."""
    places = {
        factor.name: {place for level in factor.levels for place in _leaves(level.changes)}
        for factor in factors
    }
    return [
        f"{one} and {other} both change {'.'.join(mine[: len(theirs)])}"
        for one, other in itertools.combinations(places, 2)
        for mine in sorted(places[one])
        for theirs in sorted(places[other])
        if mine[: len(theirs)] == theirs or theirs[: len(mine)] == mine
    ]


def _leaves(content: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*place, str(key)))
        else:
            yield (*place, str(key))
