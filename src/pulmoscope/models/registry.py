"""Names to backbone builders.

A backbone maps pictures (N, channels, H, W) to pooled features (N, D) by ``forward`` and to a map (N, D, h, w) by
``forward_features``, and has ``num_features``, D. It may say ``dense_init``, which is how the dense layers
of a head on it start.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from torch import nn

from pulmoscope.errors import RecipeError, did_you_mean, near_names
from pulmoscope.models.names import USUAL, folded, usual_name

Option = bool | int | float | str


class BackboneBuilder(Protocol):
    """Builds an untrained backbone. Its keyword arguments beside ``channels`` are its options, with their defaults."""

    def __call__(self, *, channels: int) -> nn.Module:
        """Return the backbone for pictures of 1 or 3 channels."""


class _Entry(NamedTuple):
    build: Callable[..., nn.Module]
    note: str
    options: dict[str, Option]


_BUILDERS: dict[str, _Entry] = {}
_SPELLINGS: dict[str, str] = {}


def register(name: str, *, note: str = "") -> Callable[[BackboneBuilder], BackboneBuilder]:
    """Register a builder under ``name``.

    Args:
        name: What recipes call it; in any case, with or without ``_`` and ``-``.
        note: One line for ``pulmoscope model``.

    Raises:
        ValueError: The name is taken.
    """

    def add(builder: BackboneBuilder) -> BackboneBuilder:
        if folded(name) in _SPELLINGS or usual_name(name) is not None:
            raise ValueError(f"a backbone named {name} is registered already")
        parameters = inspect.signature(builder).parameters.values()
        options = {one.name: one.default for one in parameters if one.name != "channels"}
        _BUILDERS[name] = _Entry(builder, note, options)
        _SPELLINGS[folded(name)] = name
        return builder

    return add


def registered() -> tuple[str, ...]:
    """Every name that is ours: custom networks, then the usual names of published ones."""
    return (*_BUILDERS, *USUAL)


def note_of(name: str) -> str:
    """What a registered network is, in one line; empty for other names."""
    resolved = _SPELLINGS.get(folded(name))
    if resolved is not None:
        return _BUILDERS[resolved].note
    usual = usual_name(name)
    return USUAL[usual].note if usual is not None else ""


def options_of(name: str) -> dict[str, Option]:
    """Options of a custom network with their defaults; empty for timm's, which timm knows."""
    resolved = _SPELLINGS.get(folded(name))
    return dict(_BUILDERS[resolved].options) if resolved is not None else {}


def resolve(name: str) -> str:
    """The name under which ``name`` is built: a custom network's own, or timm's. Unknown names come back unchanged.

    >>> resolve("MobileNetV2")
    'mobilenetv2_100'
    """
    custom = _SPELLINGS.get(folded(name))
    if custom is not None:
        return custom
    usual = usual_name(name)
    return name if usual is None else USUAL[usual].timm


def is_custom(name: str) -> bool:
    """Whether ``name`` is one of our own networks, for which nobody publishes weights."""
    return folded(name) in _SPELLINGS


def build_backbone(name: str, *, channels: int, options: Mapping[str, Option] | None = None) -> nn.Module:
    """Build an untrained backbone by its registered or timm name.

    Args:
        name: Any spelling of a registered name, or timm's name.
        channels: Of the picture, 1 or 3.
        options: For the builder; timm's go to ``timm.create_model``.

    Raises:
        RecipeError: No such backbone or option, or a value that does not fit; near names are suggested.
    """
    check_backbone(name)
    resolved, given = resolve(name), dict(options or {})
    if resolved in _BUILDERS:
        entry = _BUILDERS[resolved]
        for key, value in given.items():
            _check_option(resolved, entry.options, key, value)
        return entry.build(channels=channels, **given)
    from pulmoscope.models.backbones import build_timm

    return build_timm(resolved, channels=channels, options=given)


def check_backbone(name: str) -> None:
    """Prove that there is such a backbone, without building it.

    Raises:
        RecipeError: There is none; near names are suggested.
    """
    if is_custom(name) or usual_name(name) is not None:
        return
    from pulmoscope.models.backbones import timm_names

    if name in timm_names():
        return
    near = near_names(name, [*registered(), *timm_names()], most=3)
    raise RecipeError(
        f"no backbone named {name!r}",
        code="E_BACKBONE",
        remedy=did_you_mean(near) or "take a name from `pulmoscope model`, or any of timm's",
    )


def _check_option(name: str, allowed: Mapping[str, Option], key: str, value: Option) -> None:
    if key not in allowed:
        raise RecipeError(
            f"{name} has no option {key!r}",
            code="E_BACKBONE",
            expected=", ".join(allowed) or "none",
            remedy=did_you_mean(near_names(key, allowed)),
        )
    wanted = type(allowed[key])
    # A whole number may be written where a fraction is meant, but a truth value is neither.
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if not fits:
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        raise RecipeError(
            f"option {key!r} of {name}", code="E_BACKBONE", expected=kinds[wanted], got=repr(value)
        )
