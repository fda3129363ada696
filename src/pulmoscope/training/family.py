"""Recipe files: families of variants, the full and the quick budget, and the recipes that come with Pulmoscope."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pulmoscope.errors import RecipeError, did_you_mean, near_names
from pulmoscope.training.recipe import Budget, Recipe, find_mistakes, merged, parse_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
_LARGEST_RECIPE = 1 << 20
# What a recipe is called and which setting of its family it is cannot be changed: that would make it another's.
_FIXED = ("name", "variant", "budget")
# One step into the fields, which OmegaConf takes as a.b or a[b].
_STEP = r"[^.\[\]]+"
_VARIANT_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """What a recipe file holds: one recipe, or several variants of one.

    A file may hold, beside the fields of :class:`Recipe`, ``variants: {name: {changes}}`` and ``quick: {changes}``; a
    variant may hold a ``quick`` of its own. The changes are laid over each other in this order: the file's fields, the
    variant's, the file's ``quick``, the variant's ``quick``.

    Attributes:
        name: Of the recipe.
        where: The file, for messages.
        base: The file's own fields.
        changes: Variant -> its changes, in the file's order; empty where there are none.
        quick: Variant -> its own quick changes; None is the key of the file's.
    """

    name: str
    where: str
    base: Mapping[str, Any]
    changes: Mapping[str, Mapping[str, Any]]
    quick: Mapping[str | None, Mapping[str, Any]]

    @property
    def variants(self) -> tuple[str, ...]:
        """Names in the file's order; empty for a file without variants."""
        return tuple(self.changes)

    def budgets(self, variant: str | None) -> tuple[Budget, ...]:
        """The budgets that ``variant`` (None where there are none) can be trained with."""
        return ("full", "quick") if None in self.quick or variant in self.quick else ("full",)

    def recipe(
        self, variant: str | None = None, *, budget: Budget = "full", overrides: Sequence[str] = ()
    ) -> Recipe:
        """One variant, by default the first, with ``key=value`` changes.

        Raises:
            RecipeError: No such variant, no quick budget, or mistakes: all of the file's are named at once.
        """
        chosen = self._choose(variant)
        if budget not in self.budgets(chosen):
            raise RecipeError(
                f"{self.where} has no quick budget",
                expected="quick: {changes} in the file",
                remedy="use --budget full, or say in the file what the quick budget changes",
            )
        content = _override(self.content(chosen, budget), overrides, self.where)
        wrong = self.mistakes()
        wrong += [one for one in find_mistakes(content) if not any(known.endswith(one) for known in wrong)]
        if wrong:
            raise RecipeError(f"{self.where}: {'; '.join(wrong)}")
        return parse_recipe(content, self.where)

    def content(self, variant: str | None, budget: Budget) -> dict[str, Any]:
        """The fields of one variant; the published numbers are its own."""
        content = merged(self.base, self.changes[variant] if variant is not None else {})
        if budget == "quick":
            for key in dict.fromkeys((None, variant)):
                content = merged(content, self.quick.get(key, {}))
            content["budget"] = "quick"
        if variant is not None:
            content["variant"] = variant
        published = content.get("published")
        if isinstance(published, list) and self.changes:
            content["published"] = [one for one in published if _of_variant(one) in (None, variant)]
        return content

    def mistakes(self) -> list[str]:
        """Of every variant and budget: each mistake once, with the variant where not all of them have it."""
        found: dict[str, list[str | None]] = {}
        variants: tuple[str | None, ...] = self.variants or (None,)
        for variant in variants:
            mine: list[str] = []
            for budget in self.budgets(variant):
                new = [one for one in find_mistakes(self.content(variant, budget)) if one not in mine]
                mine += new if budget == "full" else [f"quick: {one}" for one in new]
            for mistake in mine:
                found.setdefault(mistake, []).append(variant)
        said = []
        for mistake, where in found.items():
            everywhere = len(where) == len(variants)
            said += [mistake] if everywhere else [f"variants.{variant}: {mistake}" for variant in where]
        published = self.base.get("published")
        for number in published if isinstance(published, list) else []:
            of = _of_variant(number)
            if of is not None and of not in tuple(self.changes):
                said.append(f"published: no variant {of!r}{_did_you_mean(str(of), self.changes, ', ')}")
        return list(dict.fromkeys(said)) if self.changes or None in self.quick else []

    def _choose(self, variant: str | None) -> str | None:
        if variant is None:
            return next(iter(self.changes), None)
        if variant in self.changes:
            return variant
        raise RecipeError(
            f"{self.where} has no variant {variant!r}",
            expected=f"one of {', '.join(self.changes)}" if self.changes else "no variant: it has none",
            remedy=_did_you_mean(variant, self.changes),
        )


def shipped() -> list[str]:
    """Names of the recipes that come with Pulmoscope."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def every_shipped() -> list[tuple[str, str | None, Budget]]:
    """Every shipped recipe by name, variant (None where there are none) and budget."""
    families = {name: read_family(name) for name in shipped()}
    return [
        (name, variant, budget)
        for name, family in families.items()
        for variant in family.variants or (None,)
        for budget in family.budgets(variant)
    ]


def load_recipe(
    name_or_path: str | os.PathLike[str], overrides: Sequence[str] = (), *, budget: Budget = "full"
) -> Recipe:
    """Read a recipe by its shipped name or its path and apply ``key=value`` overrides.

    Args:
        name_or_path: ``NAME`` or ``PATH``, and for one variant of a family ``NAME:VARIANT`` or ``PATH:VARIANT``;
            without it the family's first.
        overrides: Laid over variant and budget.
        budget: ``full``, or the file's ``quick`` changes.

    Raises:
        RecipeError: It cannot be read, or holds mistakes: all of them are named at once.
    """
    text, variant = split_variant(os.fspath(name_or_path))
    return read_family(text).recipe(variant, budget=budget, overrides=overrides)


def split_variant(text: str) -> tuple[str, str | None]:
    """``NAME:VARIANT`` in two; a file's own name and a drive's letter keep their colon.

    >>> split_variant("system_c:flat"), split_variant("C:/recipes/mine.yaml")
    (('system_c', 'flat'), ('C:/recipes/mine.yaml', None))
    """
    place, colon, variant = text.rpartition(":")
    drive = len(place) == 1 and place.isalpha()
    if not colon or not place or drive or "/" in variant or "\\" in variant or Path(text).is_file():
        return text, None
    return place, variant


def read_family(name_or_path: str | os.PathLike[str]) -> Family:
    """Read a recipe file by its shipped name or its path.

    Raises:
        RecipeError: There is none, or it is no mapping. Mistakes in its fields wait for :meth:`Family.recipe`.
    """
    path = _find(name_or_path)
    try:
        if path.stat().st_size > _LARGEST_RECIPE:
            raise RecipeError(f"{path} is too large for a recipe", expected="under 1 MiB")
        # OmegaConf loads safely and bounds the expansion of YAML aliases.
        config = OmegaConf.load(path)
        if not OmegaConf.is_dict(config) or not config:
            raise RecipeError(f"{path} is not a recipe", expected="a mapping of names to values")
        content: Any = OmegaConf.to_container(config, resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"{path} cannot be read", got=str(error)) from error
    return _family({str(key): value for key, value in content.items()}, path)


def _family(content: dict[str, Any], path: Path) -> Family:
    variants, quick = content.pop("variants", {}), content.pop("quick", None)
    wrong = []
    if not isinstance(variants, Mapping) or not all(isinstance(one, Mapping) for one in variants.values()):
        wrong.append("variants: expected a mapping of names to changes")
        variants = {}
    wrong += [
        f"variants: {name!r} cannot name one, expected letters, digits, '.', '-' and '_'"
        for name in variants
        if not _VARIANT_NAME.fullmatch(str(name))
    ]
    changes: dict[str, dict[str, Any]] = {}
    quicks: dict[str | None, Any] = {} if quick is None else {None: quick}
    for key, value in variants.items():
        changes[str(key)] = {name: one for name, one in value.items() if name != "quick"}
        if "quick" in value:
            quicks[str(key)] = value["quick"]
    wrong += [
        f"{'quick' if name is None else f'variants.{name}.quick'}: expected a mapping of changes"
        for name, one in quicks.items()
        if not isinstance(one, Mapping)
    ]
    if wrong:
        raise RecipeError(f"{path}: {'; '.join(wrong)}")
    content.setdefault("name", path.stem)
    return Family(name=str(content["name"]), where=str(path), base=content, changes=changes, quick=quicks)


def _override(content: dict[str, Any], overrides: Sequence[str], where: str) -> Any:
    if not overrides:
        return content
    try:
        config = OmegaConf.create(content)
        for item in overrides:
            key, equals, value = item.partition("=")
            if not equals or not key.strip():
                raise RecipeError(
                    f"--set {item!r} cannot be read", expected="key=value, as in train.finetune.epochs=3"
                )
            place = key.strip()
            if re.findall(_STEP, place)[:1] in ([name] for name in _FIXED):
                raise RecipeError(
                    f"--set {item!r} cannot be set",
                    expected=f"any field but {', '.join(_FIXED)}",
                    remedy="choose variant and budget by NAME:VARIANT and --budget",
                )
            _open_preset(config, place)
            OmegaConf.update(config, place, yaml.safe_load(value), merge=False)
        return OmegaConf.to_container(config, resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise RecipeError(f"{where} cannot be changed so", got=str(error)) from error


def _open_preset(config: Any, place: str) -> None:
    """Make room for a single field over an augmentation that is a preset's name."""
    parts = re.findall(_STEP, place)
    if "augment" not in parts[:-1]:
        return
    whole = ".".join(parts[: parts.index("augment") + 1])
    named = OmegaConf.select(config, whole)
    if isinstance(named, str):
        OmegaConf.update(config, whole, {"preset": named}, merge=False)


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path
    named = RECIPES / f"{name_or_path}.yaml"
    if path.name == str(name_or_path) and named.is_file():
        return named
    raise RecipeError(
        f"no recipe {str(name_or_path)!r}",
        expected=f"a file, or one of {', '.join(shipped())}",
        remedy=_did_you_mean(str(name_or_path), shipped()),
    )


def _of_variant(number: Any) -> Any:
    return number.get("variant") if isinstance(number, Mapping) else None


def _did_you_mean(word: str, known: Sequence[str] | Mapping[str, Any], before: str = "") -> str:
    return did_you_mean(near_names(word, known, most=2), joined=" or ", before=before)
