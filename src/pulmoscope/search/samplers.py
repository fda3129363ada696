"""Which trials a sweep makes: a grid, random draws, or proposals that learn from the trials before."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pulmoscope.errors import RecipeError
from pulmoscope.search.space import Axis, Space, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SamplerName = Literal["grid", "random", "tpe"]
Params = dict[str, Value]
_MOST_POINTS = 10_000
_MOST_CORNERS = 512
_REDRAWS = 100
# Proposals that turn out to be known; what TPE still repeats after so many it would repeat again.
_REPROPOSED = 10
# What TPE proposes at a time. A constant: proposals must not depend on how many workers there are.
TPE_BATCH = 4


def params_key(params: Mapping[str, Value]) -> str:
    """What a trial is known by: a hash of its values."""
    text = json.dumps(dict(params), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def grid_points(space: Space) -> list[Params]:
    """Every combination, the last axis moving fastest; axes that do not exist in a combination are left out of it.

    Raises:
        RecipeError: A range has no step, or there are too many combinations.
    """
    without = [axis.name for axis in space.axes if axis.values() is None]
    if without:
        raise RecipeError(
            f"{space.where}: a grid needs choices or a step for {', '.join(without)}",
            code="E_SPACE",
            remedy="list the choices, give a step, or --sampler random",
        )
    points: list[Params] = [{}]
    for axis in space.axes:
        values = axis.values() or ()
        points = [
            extended
            for params in points
            for extended in ([{**params, axis.name: v} for v in values] if axis.exists(params) else [params])
        ]
        if len(points) > _MOST_POINTS:
            raise RecipeError(
                f"{space.where}: the grid has more than {_MOST_POINTS} combinations",
                code="E_SPACE",
                remedy="--sampler random or tpe, with --trials",
            )
    return points


def random_points(space: Space, count: int, *, seed: int) -> list[Params]:
    """``count`` distinct draws, the first of which do not depend on ``count``.

    Where every axis is finite, they are no more than the grid has; and they are the grid in a random order, unless an
    axis is logarithmic: its small values are then drawn more often, so they come sooner.
    """
    points = _finite(space)
    if points is not None and not any(axis.log for axis in space.axes):
        order = np.random.default_rng(seed).permutation(len(points))
        return [points[index] for index in order[:count]]
    drawn: dict[str, Params] = {}
    for number in range(count):
        params = _new(space, drawn, points, np.random.default_rng([seed, number]))
        if params is None:
            break
        drawn[params_key(params)] = params
    return list(drawn.values())


def distinct_points(space: Space) -> int | None:
    """How many trials a finite space has room for; None where it is not finite, or has more than 10,000 points."""
    points = _finite(space)
    return None if points is None else len(points)


def corners(space: Space) -> list[Params]:
    """Combinations in which every choice and both ends of every range occur: all of them where they are few."""
    points: list[Params] = [{}]
    for axis in space.axes:
        points = [
            extended
            for params in points
            for extended in (
                [{**params, axis.name: v} for v in axis.corners()] if axis.exists(params) else [params]
            )
        ]
        if len(points) > _MOST_CORNERS:
            return _one_at_a_time(space)
    return points


def tpe_point(
    space: Space,
    number: int,
    done: Sequence[tuple[Params, float]],
    *,
    seed: int,
    maximise: bool,
    pending: Sequence[Params] = (),
) -> Params:
    """What the tree-structured Parzen estimator (Bergstra et al. 2011) proposes after the trials ``done``.

    It is none of the points that are known already: where the estimator insists on those, a new one is drawn at random.
    The proposal is a function of the arguments alone: nothing is carried over from earlier calls.

    Args:
        space: Where to search.
        number: Of the trial.
        done: Values and objective of finished trials, by number.
        seed: With ``number`` the seed of the draw.
        maximise: Whether a larger objective is better.
        pending: Trials under way, and those that ended without an objective; the estimator keeps away from them.

    Raises:
        RecipeError: All points of the space are known (:func:`distinct_points`).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction="maximize" if maximise else "minimize")
        study.add_trials([_frozen(space, params, value) for params, value in done])
        study.add_trials([_frozen(space, params, None) for params in pending])
        known = {params_key(params) for params in (*(params for params, _ in done), *pending)}
        points = _finite(space)
        if points is None or any(params_key(point) not in known for point in points):
            for attempt in range(_REPROPOSED):
                # What was asked for in vain stays in the study as under way, which helps to get away from it.
                state = int(np.random.SeedSequence([seed, number, attempt]).generate_state(1)[0])
                study.sampler = optuna.samplers.TPESampler(seed=state, constant_liar=True)
                trial = study.ask()
                params: Params = {}
                for axis in space.axes:
                    if axis.exists(params):
                        params[axis.name] = _suggested(trial, axis)
                if params_key(params) not in known:
                    return params
    drawn = _new(space, known, points, np.random.default_rng([seed, number]))
    if drawn is None:
        raise RecipeError(
            f"{space.where}: all {len(known)} points of the space have been tried",
            code="E_SPACE",
            remedy=f"--trials {len(known)}, or a larger space",
        )
    return drawn


def distribution(axis: Axis) -> BaseDistribution:
    """An axis as Optuna describes it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.choices:
        return CategoricalDistribution([choice.value for choice in axis.choices])
    if axis.integer:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _frozen(space: Space, params: Params, value: float | None) -> Any:
    from optuna.trial import TrialState, create_trial

    axes = {axis.name: axis for axis in space.axes}
    return create_trial(
        params=dict(params),
        distributions={name: distribution(axes[name]) for name in params},
        value=value,
        state=TrialState.RUNNING if value is None else TrialState.COMPLETE,
    )


def _suggested(trial: Any, axis: Axis) -> Value:
    if axis.choices:
        shown = trial.suggest_categorical(axis.name, [choice.value for choice in axis.choices])
        return next(c.value for c in axis.choices if c.value == shown and type(c.value) is type(shown))
    if axis.integer:
        step = int(axis.step or 1)
        return int(trial.suggest_int(axis.name, int(axis.low), int(axis.high), log=axis.log, step=step))
    value = float(trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log, step=axis.step))
    # As the axis itself counts its steps: 0.3, not 0.30000000000000004.
    return value if axis.step is None else round(value, 12)


def _draw(space: Space, generator: np.random.Generator) -> Params:
    params: Params = {}
    for axis in space.axes:
        if not axis.exists(params):
            continue
        values = axis.values()
        if axis.choices or (values is not None and not axis.log):
            params[axis.name] = (values or ())[int(generator.integers(len(values or ())))]
        elif axis.log:
            # An integer stands for all that rounds to it.
            half = 0.5 if axis.integer else 0.0
            drawn = math.exp(generator.uniform(math.log(axis.low - half), math.log(axis.high + half)))
            params[axis.name] = (
                max(int(axis.low), min(int(axis.high), round(drawn))) if axis.integer else drawn
            )
        else:
            params[axis.name] = float(generator.uniform(axis.low, axis.high))
    return params


def _new(
    space: Space, known: Container[str], points: Sequence[Params] | None, generator: np.random.Generator
) -> Params | None:
    """A draw whose key is not known; of a finite space, with its ``points``, None where there is none left."""
    for _ in range(_REDRAWS):
        params = _draw(space, generator)
        if params_key(params) not in known:
            return params
    left = [point for point in points or () if params_key(point) not in known]
    return left[int(generator.integers(len(left)))] if left else None


def _finite(space: Space) -> list[Params] | None:
    """All points of a space that has no more than a grid may have."""
    if any(axis.values() is None for axis in space.axes) or _size(space) > _MOST_POINTS:
        return None
    return grid_points(space)


def _one_at_a_time(space: Space) -> list[Params]:
    """The first corner, and from it every other value of each axis; those under a condition with what they need."""
    axes = {axis.name: axis for axis in space.axes}

    def built(fixed: Params) -> Params:
        params: Params = {}
        for axis in space.axes:
            if axis.exists(params):
                params[axis.name] = fixed.get(axis.name, axis.corners()[0])
        return params

    def needs(axis: Axis) -> Params:
        found: Params = {}
        for name, values in axis.when.items():
            found |= needs(axes[name]) | {name: values[0]}
        return found

    points = [built({**needs(axis), axis.name: value}) for axis in space.axes for value in axis.corners()]
    return list({params_key(params): params for params in points}.values())


def _size(space: Space) -> int:
    return math.prod(len(axis.values() or ()) for axis in space.axes)
