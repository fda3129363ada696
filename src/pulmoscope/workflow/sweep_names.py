"""What a sweep's page calls things: starting weights without their folders, settings that are not the recipe's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pulmoscope.errors import PulmoscopeError
from pulmoscope.report.numbers import flat_settings
from pulmoscope.search.sources import WEIGHTS
from pulmoscope.training import Recipe, load_recipe
from pulmoscope.workflow.sweep_findings import Findings


def short_sources(sources: Sequence[str]) -> dict[str, str]:
    """Starting weights -> their names, a path by as many of its last parts as tell it from the others.

    >>> short_sources(["imagenet", "run=/home/me/cxr", "file:/home/me/a.safetensors"])
    {'imagenet': 'imagenet', 'run=/home/me/cxr': 'run=cxr', 'file:/home/me/a.safetensors': 'file:a.safetensors'}
    >>> list(short_sources(["run=a/one", "run=b/one", "xrv:url:https://x.org/y"]).values())
    ['run=a/one', 'run=b/one', 'xrv:url:https://x.org/y']
    >>> list(short_sources(["run=a/one", "run=a/one/"]).values())
    ['run=a/one', 'run=a/one/']
    """
    for count in range(1, 2 + max((source.count("/") for source in sources), default=0)):
        named = {source: _short(source, count) for source in sources}
        if len(set(named.values())) == len(named):
            return named
    return {source: source for source in sources}  # one place written in two ways


def _short(source: str, count: int) -> str:
    mark = "=" if source.startswith("run=") else "file:" if "file:" in source else ""
    if not mark:
        return source
    before, _, place = source.partition(mark)
    return f"{before}{mark}{'/'.join(place.rstrip('/').split('/')[-count:])}"


def for_people(findings: Findings) -> Findings:
    """The findings with starting weights by their short names; the tables on the disk keep the whole ones."""
    if WEIGHTS not in findings.axes:
        return findings
    given = dict.fromkeys(str(values[WEIGHTS]) for values in findings.values.values() if WEIGHTS in values)
    named = short_sources(list(given))
    frame = findings.frame.copy()
    frame[WEIGHTS] = [named.get(value, value) for value in frame[WEIGHTS]]
    values: dict[int, Mapping[str, Any]] = {
        number: {axis: named[str(value)] if axis == WEIGHTS else value for axis, value in one.items()}
        for number, one in findings.values.items()
    }
    sources = [
        replace(one, first=named.get(one.first, one.first), second=named.get(one.second, one.second))
        for one in findings.sources
    ]
    return replace(findings, frame=frame, values=values, sources=sources)


def changed_settings(recipe: Recipe) -> list[str]:
    """What differs from the shipped recipe of that name, as ``field value (the recipe's own)``; nothing without one."""
    try:
        own = load_recipe(recipe.title, budget=recipe.budget)
    except PulmoscopeError:
        return []
    before, after = flat_settings(own.model_dump(mode="json")), flat_settings(recipe.model_dump(mode="json"))
    return [
        f"{field} {_said(after.get(field))} ({_said(before.get(field))})"
        for field in before | after
        if after.get(field) != before.get(field)
    ]


def _said(value: Any) -> str:
    if isinstance(value, str):
        return _short(value, 1)
    return "none" if value is None else str(value)
