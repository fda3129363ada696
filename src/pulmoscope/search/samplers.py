"""Which trials a sweep makes: a grid, random draws, or proposals that learn from the trials before."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
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

    Where every axis is finite, they are the grid in a random order, and no more than it has.
    """
    if all(axis.values() is not None for axis in space.axes) and _size(space) <= _MOST_POINTS:
        points = grid_points(space)
        order = np.random.default_rng(seed).permutation(len(points))
        return [points[index] for index in order[:count]]
    drawn: dict[str, Params] = {}
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        for _ in range(_REDRAWS):
            params = _draw(space, generator)
            if params_key(params) not in drawn:
                drawn[params_key(params)] = params
                break
    return list(drawn.values())


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

    The proposal is a function of the arguments alone: nothing is carried over from earlier calls.

    Args:
        space: Where to search.
        number: Of the trial.
        done: Values and objective of finished trials, by number.
        seed: With ``number`` the seed of the draw.
        maximise: Whether a larger objective is better.
        pending: Trials under way, which are not proposed again.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        state = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        study = optuna.create_study(
            direction="maximize" if maximise else "minimize",
            sampler=optuna.samplers.TPESampler(seed=state, constant_liar=True),
        )
        study.add_trials([_frozen(space, params, value) for params, value in done])
        study.add_trials([_frozen(space, params, None) for params in pending])
        trial = study.ask()
        params: Params = {}
        for axis in space.axes:
            if axis.exists(params):
                params[axis.name] = _suggested(trial, axis)
    return params


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
    return float(trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log, step=axis.step))


def _draw(space: Space, generator: np.random.Generator) -> Params:
    params: Params = {}
    for axis in space.axes:
        if not axis.exists(params):
            continue
        values = axis.values()
        if axis.choices or (values is not None and not axis.log):
            params[axis.name] = (values or ())[int(generator.integers(len(values or ())))]
        elif axis.log:
            drawn = math.exp(
                generator.uniform(math.log(axis.low), math.log(axis.high + (0.5 if axis.integer else 0)))
            )
            params[axis.name] = min(int(axis.high), round(drawn)) if axis.integer else drawn
        else:
            params[axis.name] = float(generator.uniform(axis.low, axis.high))
    return params


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
