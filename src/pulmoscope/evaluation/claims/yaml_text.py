"""YAML read as text alone, so that ``0.970`` keeps its last zero.

Nothing is constructed but text, lists and mappings. Aliases are refused: they may make a small file grow without bound.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from pulmoscope.errors import TableError

_LARGEST_FILE = 1 << 20
_DEEPEST = 20


def read_yaml_text(path: str | os.PathLike[str]) -> Any:
    """The content of a YAML (or JSON) file: text, lists and mappings with text as keys; an empty value is None.

    Raises:
        TableError: It cannot be read, is over 1 MiB or 20 levels deep, holds an alias, or a mapping holds a key twice.
    """
    target = Path(path)
    try:
        if target.stat().st_size > _LARGEST_FILE:
            raise TableError(f"{target} is too large for a claim file", expected="under 1 MiB")
        text = target.read_text("utf-8")
        _check_events(text, str(target))
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        return None if node is None else _plain(node, str(target))
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise TableError(f"{target} cannot be read", got=" ".join(str(error).split())) from error


def _check_events(text: str, where: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        if isinstance(event, yaml.AliasEvent):
            raise TableError(f"{where} holds an alias (*name)", remedy="write the values out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            # The parser's time grows with the square of the depth.
            raise TableError(f"{where} cannot be read", expected=f"at most {_DEEPEST} levels")


def _plain(node: yaml.Node, where: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in found:
                name = getattr(key, "value", key)
                line = key.start_mark.line + 1
                raise TableError(f"{where}, line {line}: the key {name!r} stands twice or is no text")
            found[key.value] = _plain(value, where)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one, where) for one in node.value]
    quoted = node.style is not None if isinstance(node, yaml.ScalarNode) else False
    empty = not quoted and node.value in ("", "~", "null")
    return None if empty else node.value
