"""The space that a sweep searches: axes over fields of a recipe, read from YAML and validated whole."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pulmoscope.errors import RecipeError, did_you_mean, near_names
from pulmoscope.training import Recipe
from pulmoscope.training.family import RECIPES
from pulmoscope.training.recipe import find_mistakes, merged
from pulmoscope.training.selection import check_select

SPACES = RECIPES / "spaces"
Value = bool | int | float | str | None
_LARGEST = 1 << 20
_TOP = ("objective", "constants", "axes")
_KEYS = ("choices", "low", "high", "log", "step", "when")
# Trials that see other validation pictures, or that are of another recipe, cannot be compared.
_FIXED = ("name", "variant", "budget", "description", "published", "validation_fraction", "evaluate")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One value of an axis.

    Attributes:
        value: As tables show it: a scalar, the name of a mapping, or a list as JSON.
        fields: What it sets: dotted field of the recipe -> value.
    """

    value: Value
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One dimension of the space: a list of choices or a range.

    Attributes:
        name: A dotted field of the recipe, or any name where every choice names its fields.
        choices: In the file's order; empty for a range.
        low: Smallest value of a range.
        high: Largest.
        log: Whether the range is drawn on a logarithmic scale.
        step: Distance between the values of a range; None where every value between may be drawn.
        integer: Whether its values are whole numbers.
        when: Axis -> values under which this one exists; all must hold.
    """

    name: str
    choices: tuple[Choice, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    step: float | None = None
    integer: bool = False
    when: Mapping[str, tuple[Value, ...]]

    def values(self) -> tuple[Value, ...] | None:
        """All of its values; None for a range without steps."""
        if self.choices:
            return tuple(choice.value for choice in self.choices)
        if self.integer:
            return tuple(range(int(self.low), int(self.high) + 1, int(self.step or 1)))
        if self.step is None:
            return None
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return tuple(round(self.low + index * self.step, 12) for index in range(count))

    def corners(self) -> tuple[Value, ...]:
        """Every choice, or both ends of a range."""
        if self.choices:
            return tuple(choice.value for choice in self.choices)
        return (int(self.low), int(self.high)) if self.integer else (self.low, self.high)

    def exists(self, params: Mapping[str, Value]) -> bool:
        """Whether it is there beside the values ``params`` of the axes before it."""
        return all(name in params and params[name] in values for name, values in self.when.items())

    def fields(self, value: Value) -> Mapping[str, Any]:
        """What ``value`` sets."""
        for choice in self.choices:
            if choice.value == value and type(choice.value) is type(value):
                return choice.fields
        return {self.name: value}


@dataclass(frozen=True, kw_only=True)
class Space:
    """What is searched.

    Attributes:
        where: The file, for messages.
        axes: In the file's order; an axis under a condition stands after the one it goes by.
        objective: A validation metric as :mod:`pulmoscope.training.selection` names them; None for the recipe's own.
        constants: Dotted field -> value, for every trial.
    """

    where: str
    axes: tuple[Axis, ...]
    objective: str | None
    constants: Mapping[str, Any]

    def recipe(self, content: Mapping[str, Any], params: Mapping[str, Value]) -> dict[str, Any]:
        """The content of a recipe with the constants and the values ``params`` laid over it."""
        fields = dict(self.constants)
        for axis in self.axes:
            if axis.name in params:
                fields |= axis.fields(params[axis.name])
        whole = dict(content)
        # From the outer field to the inner, so that a preset's name comes before a field laid over it.
        for field in sorted(fields, key=lambda name: name.count(".")):
            whole = merged(whole, _nested(field, fields[field]))
        return whole

    def mistakes(self, content: Mapping[str, Any], several: Sequence[Mapping[str, Value]]) -> list[str]:
        """What is wrong with the recipes of ``several`` trials, each mistake once, with the first trial that has it."""
        found: dict[str, Mapping[str, Value]] = {}
        plain = set(find_mistakes(dict(content)))
        for params in several:
            for mistake in find_mistakes(self.recipe(content, params)):
                if mistake not in plain:
                    found.setdefault(mistake, params)
        few = len(several) > 1
        return [*plain, *(f"{said} (with {show(params)})" if few else said for said, params in found.items())]

    def as_dict(self) -> dict[str, Any]:
        """For the record of a sweep."""
        return {
            "objective": self.objective,
            "constants": dict(self.constants),
            "axes": {axis.name: _axis_dict(axis) for axis in self.axes},
        }


def show(params: Mapping[str, Value]) -> str:
    """Values of the axes in words, by the last parts of their names.

    >>> show({"train.head.batch": 16, "train.head.learning_rate": 0.001})
    'batch 16, learning_rate 0.001'
    """
    return ", ".join(f"{name.rpartition('.')[2]} {show_value(value)}" for name, value in params.items())


def show_value(value: Value) -> str:
    """A value as tables and figures have it."""
    return f"{value:g}" if isinstance(value, float) else "null" if value is None else str(value)


def default_space(recipe: Recipe) -> Path:
    """The space that comes with a recipe.

    Raises:
        RecipeError: There is none.
    """
    path = SPACES / f"{recipe.name}.yaml"
    if path.is_file():
        return path
    raise RecipeError(
        f"no space comes with the recipe {recipe.name!r}",
        code="E_SPACE",
        expected=f"--space FILE, or one of the recipes {', '.join(sorted(p.stem for p in SPACES.glob('*.yaml')))}",
    )


def read_space(path: str | os.PathLike[str]) -> Space:
    """Read a space file.

    ``axes`` maps a dotted field to a list of choices, to ``{low, high, log, step}``, or to ``{choices: [...], when:
    {axis: value or list}}``; a choice ``{name: {field: value}}`` sets several fields under one name. ``objective`` is a
    validation metric, ``constants`` sets fields for every trial.

    Raises:
        RecipeError: It cannot be read, or holds mistakes: all in one message. Those of the fields' values wait for
            :meth:`Space.mistakes`.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise RecipeError(f"{file} is too large for a space", code="E_SPACE", expected="under 1 MiB")
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"the space {file} cannot be read", code="E_SPACE", got=str(error)) from error
    return parse_space(content, str(file))


def parse_space(content: Any, where: str) -> Space:
    """Validate a mapping as a space; ``where`` names it in the error.

    Raises:
        RecipeError: All mistakes at once.
    """
    wrong: list[str] = []
    if not isinstance(content, Mapping):
        raise RecipeError(
            f"{where} is no space", code="E_SPACE", expected=f"a mapping with {', '.join(_TOP)}"
        )
    wrong += _unknown("", content, _TOP)
    objective = content.get("objective")
    if objective is not None:
        try:
            check_select(str(objective))
        except ValueError as error:
            wrong.append(f"objective: {error}")
    constants = content.get("constants") or {}
    if not isinstance(constants, Mapping):
        wrong.append(f"constants: expected a mapping of fields to values, got {constants!r}")
        constants = {}
    listed = content.get("axes")
    axes: list[Axis] = []
    if not isinstance(listed, Mapping) or not listed:
        wrong.append("axes: expected a mapping of at least one field to its choices")
    else:
        for name, given in listed.items():
            axes.append(_axis(str(name), given, axes, wrong))
    wrong += _overlaps(axes, constants)
    if wrong:
        raise RecipeError(f"{where}: {'; '.join(wrong)}", code="E_SPACE")
    return Space(
        where=where,
        axes=tuple(axes),
        objective=None if objective is None else str(objective),
        constants={str(name): value for name, value in constants.items()},
    )


def _axis(name: str, given: Any, before: Sequence[Axis], wrong: list[str]) -> Axis:
    when: dict[str, tuple[Value, ...]] = {}
    if isinstance(given, Mapping):
        wrong += _unknown(f"axes.{name}", given, _KEYS)
        when = _conditions(name, given.get("when"), before, wrong)
        if "choices" not in given:
            return _range(name, given, when, wrong)
        extra = sorted(set(given) & {"low", "high", "log", "step"})
        if extra:
            wrong.append(f"axes.{name}: choices and {', '.join(extra)} do not go together")
        given = given["choices"]
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        wrong.append(f"axes.{name}: expected a list of choices or low and high, got {given!r}")
        return Axis(name=name, when=when)
    choices = tuple(_choice(name, one, wrong) for one in given)
    seen = [(type(choice.value), choice.value) for choice in choices]
    if len(set(seen)) < len(seen):
        wrong.append(f"axes.{name}: a choice stands twice")
    return Axis(name=name, choices=choices, when=when)


def _choice(name: str, given: Any, wrong: list[str]) -> Choice:
    if isinstance(given, Mapping):
        inner = next(iter(given.values()), None)
        if len(given) != 1 or not isinstance(inner, Mapping) or not inner:
            wrong.append(
                f"axes.{name}: a mapping must be {{name: {{field: value, ...}}}}, got {dict(given)!r}"
            )
            return Choice(value=json.dumps(given, default=str), fields={})
        fields = {str(field): value for field, value in inner.items()}
        return Choice(value=str(next(iter(given))), fields=fields)
    if isinstance(given, list):
        return Choice(value=json.dumps(given, default=str), fields={name: given})
    if given is None or isinstance(given, (bool, int, float, str)):
        return Choice(value=given, fields={name: given})
    wrong.append(f"axes.{name}: {given!r} cannot be a choice")
    return Choice(value=str(given), fields={name: given})


def _range(name: str, given: Mapping[str, Any], when: dict[str, tuple[Value, ...]], wrong: list[str]) -> Axis:
    numbers = {key: given.get(key) for key in ("low", "high")}
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            wrong.append(f"axes.{name}: {key} must be a number, got {value!r}")
            return Axis(name=name, when=when)
    low, high, step, log = (
        float(given["low"]),
        float(given["high"]),
        given.get("step"),
        given.get("log", False),
    )
    integer = isinstance(given["low"], int) and isinstance(given["high"], int) and not isinstance(step, float)
    if low >= high:
        wrong.append(f"axes.{name}: low must lie below high, got {given['low']!r} and {given['high']!r}")
    if not isinstance(log, bool):
        wrong.append(f"axes.{name}: log must be true or false, got {log!r}")
    elif log and low <= 0:
        wrong.append(f"axes.{name}: a logarithmic range lies above 0, got low {given['low']!r}")
    if step is not None and (isinstance(step, bool) or not isinstance(step, (int, float)) or not step > 0):
        wrong.append(f"axes.{name}: step must be a number above 0, got {step!r}")
        step = None
    if step is not None and log is True:
        wrong.append(f"axes.{name}: log and step do not go together: list the choices")
    return Axis(
        name=name, low=low, high=high, log=log is True, step=None if step is None else float(step),
        integer=integer, when=when,
    )  # fmt: skip


def _conditions(
    name: str, when: Any, before: Sequence[Axis], wrong: list[str]
) -> dict[str, tuple[Value, ...]]:
    if when is None:
        return {}
    if not isinstance(when, Mapping):
        wrong.append(f"axes.{name}.when: expected a mapping of an axis to its values, got {when!r}")
        return {}
    known = {axis.name: axis for axis in before}
    found: dict[str, tuple[Value, ...]] = {}
    for other, given in when.items():
        if other not in known:
            wrong.append(f"axes.{name}.when: no axis {other!r} before it{_near(str(other), list(known))}")
            continue
        wanted = tuple(given) if isinstance(given, list) else (given,)
        values = known[other].values()
        strange = [value for value in wanted if values is not None and value not in values]
        if values is None:
            wrong.append(f"axes.{name}.when: {other} is a range; a condition needs choices or a step")
        if strange:
            wrong.append(
                f"axes.{name}.when: {strange[0]!r} is no value of {other}"
                f"{_near(str(strange[0]), [str(value) for value in values or ()])}"
            )
        found[str(other)] = wanted
    return found


def _overlaps(axes: Sequence[Axis], constants: Mapping[str, Any]) -> list[str]:
    wrong = []
    owner: dict[str, Axis] = {}
    for axis in axes:
        fields = {field for choice in axis.choices for field in choice.fields} or {axis.name}
        for field in sorted(fields):
            before = owner.get(field)
            if field in constants:
                wrong.append(f"{field} is both a constant and set by the axis {axis.name}")
            if before is not None and not (axis.when or before.when):
                wrong.append(f"{field} is set by two axes, {before.name} and {axis.name}")
            owner.setdefault(field, axis)
    for field in (*constants, *owner):
        if str(field).partition(".")[0] in _FIXED:
            wrong.append(f"{field} cannot vary: trials must share their validation pictures and their recipe")
    return wrong


def _unknown(place: str, given: Mapping[Any, Any], known: Sequence[str]) -> list[str]:
    before = f"{place}: " if place else ""
    return [f"{before}no such key {key!r}{_near(str(key), known)}" for key in given if key not in known]


def _near(word: str, known: Sequence[str]) -> str:
    return did_you_mean(near_names(word, known), before=", ")


def _nested(field: str, value: Any) -> dict[str, Any]:
    for part in reversed(field.split(".")):
        value = {part: value}
    return dict(value)


def _axis_dict(axis: Axis) -> dict[str, Any]:
    shape: dict[str, Any] = (
        {"choices": [{"value": choice.value, "fields": dict(choice.fields)} for choice in axis.choices]}
        if axis.choices
        else {"low": axis.low, "high": axis.high, "log": axis.log, "step": axis.step, "integer": axis.integer}
    )
    return shape | ({"when": {name: list(values) for name, values in axis.when.items()}} if axis.when else {})
