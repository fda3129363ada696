"""Starting weights as an axis, and their comparison paired by setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulmoscope.errors import RecipeError
from pulmoscope.search.samplers import grid_points
from pulmoscope.search.sources import compare_sources, with_sources
from pulmoscope.search.space import default_space, parse_space, read_space
from pulmoscope.training import load_recipe


def test_system_b_on_two_sources_is_144_trials_that_differ_as_they_should() -> None:
    recipe = load_recipe("system_b")
    space = with_sources(read_space(default_space(recipe)), ["imagenet", "run=r"])
    points = grid_points(space)
    assert len(points) == len({str(point) for point in points}) == 144
    content = recipe.model_dump(mode="json", exclude_unset=True)
    weights = [space.recipe(content, point)["model"]["weights"] for point in points]
    # Tables have it as it was given, workers by a path that leads there from any folder.
    assert {point["model.weights"] for point in points[72:]} == {"run=r"}
    assert weights == ["imagenet"] * 72 + [f"run={Path('r').absolute()}"] * 72
    rest = [{name: value for name, value in point.items() if name != "model.weights"} for point in points]
    assert rest[:72] == rest[72:]


@pytest.mark.parametrize("sources", [["imagenet"], ["imagenet", "imagenet"]])
def test_one_source_is_none_to_compare(sources: list[str]) -> None:
    space = parse_space({"axes": {"train.head.batch": [4, 8]}}, "my.yaml")
    with pytest.raises(RecipeError, match=r"E_SPACE.*--set model.weights"):
        with_sources(space, sources)


@pytest.mark.parametrize(
    "content",
    [
        {"axes": {"model.weights": ["random", "imagenet"]}},
        {"axes": {"a": [{"x": {"model.weights": "random"}}, {"y": {"model.weights": "imagenet"}}]}},
        {"axes": {"train.head.batch": [4, 8]}, "constants": {"model.weights": "random"}},
    ],
)
def test_a_space_that_sets_the_weights_itself_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"E_SPACE.*sets model.weights itself"):
        with_sources(parse_space(content, "my.yaml"), ["imagenet", "run=r"])


def test_differences_are_paired_by_setting_and_replicate() -> None:
    def point(weights: str, batch: int) -> dict[str, Any]:
        return {"model.weights": weights, "train.head.batch": batch}

    # The second source's settings come in another order, and one of the first's has no partner.
    params = [point("a", 4), point("a", 8), point("a", 16), point("b", 8), point("b", 4)]
    values = np.array([0.9, 0.8, 0.1, 0.8, 0.6])
    noise = np.random.default_rng(0).normal(0, 0.2, 1000)
    # What all trials share in a replicate says nothing of the sources.
    [found] = compare_sources(params, values, values[:, None] + noise)
    assert (found.first, found.second, found.settings) == ("a", "b", 2)
    assert (found.higher, found.equal, found.lower) == (1, 1, 0)
    assert found.difference == pytest.approx(0.15)
    assert (found.low, found.high) == pytest.approx((0.15, 0.15))
    # Of one trial alone: half of what it moves by is in the mean of two settings.
    replicates = np.repeat(values[:, None], 1000, axis=1)
    replicates[0] += noise
    [found] = compare_sources(params, values, replicates)
    assert (found.low, found.high) == pytest.approx(tuple(0.15 + np.quantile(noise, [0.025, 0.975]) / 2))


def test_three_sources_are_three_pairs_and_no_axis_none() -> None:
    params: list[dict[str, Any]] = [{"model.weights": name} for name in "abc"]
    found = compare_sources(params, np.arange(3.0), np.zeros((3, 5)))
    assert [(one.first, one.second, one.lower) for one in found] == [
        ("a", "b", 1),
        ("a", "c", 1),
        ("b", "c", 1),
    ]
    assert compare_sources([{"batch": 1}], np.zeros(1), np.zeros((1, 5))) == []
