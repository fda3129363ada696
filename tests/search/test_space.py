"""Spaces: what a file means, which trials it makes, and what is said of its mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pulmoscope.errors import RecipeError
from pulmoscope.search.samplers import (
    corners,
    distinct_points,
    grid_points,
    params_key,
    random_points,
    tpe_point,
)
from pulmoscope.search.space import SPACES, Space, default_space, parse_space, read_space, show
from pulmoscope.training import load_recipe, parse_recipe

CONDITIONAL = {
    "axes": {
        "train.head.optimizer": ["adam", "sgd"],
        "train.head.momentum": {"choices": [0.5, 0.9], "when": {"train.head.optimizer": "sgd"}},
        "train.head.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    }
}


def content(name: str = "system_b") -> dict[str, Any]:
    return load_recipe(name).model_dump(mode="json", exclude_unset=True)


def refused(given: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_space(given, "my.yaml")
    assert caught.value.code == "E_SPACE"
    return str(caught.value)


def space(**axes: Any) -> Space:
    return parse_space({"axes": {name.replace("__", "."): given for name, given in axes.items()}}, "my.yaml")


def test_system_b_is_its_72_configurations() -> None:
    """3 rates x 3 batches x 2 optimisers x 2 dropouts x 2 lengths, none stopped by patience."""
    found = read_space(default_space(load_recipe("system_b:cxr")))
    points = grid_points(found)
    assert len({params_key(one) for one in points}) == 72
    recipes = [parse_recipe(found.recipe(content(), one), "x").resolved() for one in points]
    heads = [recipe.train.head for recipe in recipes]
    assert {head.learning_rate for head in heads} == {5e-4, 1e-4, 1e-3}
    assert {head.batch for head in heads} == {16, 32, 64}
    assert {head.optimizer for head in heads} == {"adam", "sgd"}
    assert {recipe.model.head.dropout for recipe in recipes} == {0.0, 0.5}
    assert {head.epochs for head in heads} == {25, 50}
    assert all(head.patience >= head.epochs for head in heads)
    assert found.objective == "val_accuracy"


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_space_that_ships_fits_its_recipe(path: Path) -> None:
    found = read_space(path)
    recipe = load_recipe(path.stem)
    assert default_space(recipe) == path
    assert found.mistakes(content(path.stem), grid_points(found)) == []


def test_a_recipe_without_a_space_says_which_have_one() -> None:
    with pytest.raises(RecipeError, match=r"E_SPACE.*--space FILE.*system_b"):
        default_space(load_recipe("demo"))


def test_all_mistakes_of_a_file_stand_in_one_line() -> None:
    said = refused(
        {
            "axis": 1,
            "objective": "val_accuracies",
            "constants": {"train.head.batch": 16},
            "axes": {
                "train.head.learning_rate": {"lo": 1, "high": 2},
                "train.head.batch": [16, 16],
                "train.head.epochs": {"choices": [1], "when": {"train.head.bach": 16}},
                "evaluate.replicates": [100, 200],
                "train.head.l1": {"low": 0.0, "high": 1.0, "log": True},
                "train.head.factor": {"low": 0.9, "high": 0.1},
                "model.head": [{"a": 1, "b": 2}],
            },
        }
    )
    for piece in (
        "no such key 'axis', did you mean axes?",
        "did you mean val_accuracy?",
        "no such key 'lo', did you mean low?",
        "a choice stands twice",
        "no axis 'train.head.bach' before it, did you mean train.head.batch?",
        "evaluate.replicates cannot vary",
        "a logarithmic range lies above 0",
        "low must lie below high",
        "a mapping must be {name: {field: value, ...}}",
        "train.head.batch is both a constant and set by the axis",
    ):
        assert piece in said
    assert "\n" not in said


def test_a_condition_names_a_value_that_is_there() -> None:
    axes = {"a": ["x", "y"], "b": {"choices": [1], "when": {"a": "z"}}}
    assert "'z' is no value of a" in refused({"axes": axes})
    ranged = {"a": {"low": 0.0, "high": 1.0}, "b": {"choices": [1], "when": {"a": 0.5}}}
    assert "a condition needs choices or a step" in refused({"axes": ranged})


@pytest.mark.parametrize(
    "given", [None, [], {"axes": {}}, {"axes": [1]}, {"axes": {"a": "adam"}}, {"axes": {"a": []}}]
)
def test_what_is_no_space_is_refused(given: Any) -> None:
    refused(given)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.yaml").write_text("axes: [")
    for name in ("torn.yaml", "missing.yaml"):
        with pytest.raises(RecipeError, match="cannot be read"):
            read_space(tmp_path / name)
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(CONDITIONAL, sort_keys=False))
    assert len(read_space(tmp_path / "good.yaml").axes) == 3


def test_mistakes_of_the_recipes_are_named_once_with_a_trial_that_has_them() -> None:
    found = space(train__head__bacth=[16], train__head__batch=[0, 16])
    said = found.mistakes(content(), grid_points(found))
    assert len(said) == 2
    assert any("did you mean batch?" in one for one in said)
    assert any("train.head.batch" in one and "got 0" in one and "batch 0" in one for one in said)


def test_axes_under_a_condition_are_left_out_where_it_does_not_hold() -> None:
    found = parse_space(
        {
            "axes": {
                "a": ["x", "y"],
                "b": {"choices": [1, 2], "when": {"a": "y"}},
                "c": {"choices": [3, 4], "when": {"b": [2]}},
            }
        },
        "my.yaml",
    )
    assert grid_points(found) == [
        {"a": "x"},
        {"a": "y", "b": 1},
        {"a": "y", "b": 2, "c": 3},
        {"a": "y", "b": 2, "c": 4},
    ]
    assert sorted(map(params_key, corners(found))) == sorted(map(params_key, grid_points(found)))


def test_a_named_choice_sets_several_fields_and_a_preset_comes_before_what_lies_over_it() -> None:
    found = parse_space(
        {
            "axes": {
                "start": [
                    {"lite": {"model.backbone": "efficientnet_lite0"}},
                    {"plain": {"model.weights": "random"}},
                ],
                "augment.rotate": [7],
                "augment": ["system_a", "none"],
                "model.head.hidden": [[64], [128, 64]],
            }
        },
        "my.yaml",
    )
    points = grid_points(found)
    assert len(points) == 8
    first = parse_recipe(found.recipe(content(), points[0]), "x")
    assert first.model.backbone == "efficientnet_lite0"
    assert first.augment.rotate == 7
    assert first.augment.multiply == load_recipe("system_a").augment.multiply
    last = parse_recipe(found.recipe(content(), points[-1]), "x")
    assert (last.model.backbone, last.model.weights) == ("densenet121", "random")
    assert last.model.head.hidden == (128, 64)
    assert points[-1]["model.head.hidden"] == "[128, 64]"


def test_a_grid_of_a_range_needs_a_step() -> None:
    with pytest.raises(RecipeError, match=r"needs choices or a step for train.head.learning_rate"):
        grid_points(parse_space(CONDITIONAL, "my.yaml"))
    stepped = space(a={"low": 0.1, "high": 0.5, "step": 0.2}, b={"low": 2, "high": 4})
    assert [(one["a"], one["b"]) for one in grid_points(stepped)] == [
        (a, b) for a in (0.1, 0.3, 0.5) for b in (2, 3, 4)
    ]


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), more=st.integers(0, 8))
def test_random_draws_are_distinct_inside_and_do_not_depend_on_how_many(
    seed: int, count: int, more: int
) -> None:
    found = parse_space(CONDITIONAL, "my.yaml")
    few, many = random_points(found, count, seed=seed), random_points(found, count + more, seed=seed)
    assert many[:count] == few
    assert len({params_key(one) for one in many}) == count + more
    for one in many:
        assert 1e-4 <= one["train.head.learning_rate"] <= 1e-1
        assert ("train.head.momentum" in one) == (one["train.head.optimizer"] == "sgd")


def test_random_draws_of_a_finite_space_are_its_grid_shuffled() -> None:
    found = space(a=[1, 2, 3], b=["x", "y"])
    drawn = random_points(found, 99, seed=0)
    assert sorted(map(show, drawn)) == sorted(map(show, grid_points(found)))
    assert drawn != grid_points(found)
    assert drawn != random_points(found, 99, seed=1)


def test_proposals_are_a_function_of_the_trials_before_and_learn_from_them() -> None:
    found = parse_space(CONDITIONAL, "my.yaml")

    def course(seed: int) -> list[dict[str, Any]]:
        done: list[tuple[dict[str, Any], float]] = []
        for number in range(30):
            params = tpe_point(found, number, done, seed=seed, maximise=True)
            done.append((params, 1.0 if params["train.head.optimizer"] == "sgd" else 0.0))
        return [params for params, _ in done]

    first = course(0)
    assert first == course(0)
    assert first != course(1)
    assert sum(one["train.head.optimizer"] == "sgd" for one in first[15:]) >= 12


@pytest.mark.parametrize("maximise", [True, False])
def test_proposals_are_new_until_a_finite_space_is_used_up(maximise: bool) -> None:
    """The objective draws all proposals to one point; some trials have no objective."""
    found = space(a=[1, 2, None], b={"low": 0.1, "high": 0.5, "step": 0.2})
    assert distinct_points(found) == 9
    done: list[tuple[dict[str, Any], float]] = []
    ended: list[dict[str, Any]] = []
    for number in range(9):
        params = tpe_point(found, number, done, seed=0, maximise=maximise, pending=ended)
        if number % 4 == 3:
            ended.append(params)
        else:
            done.append((params, float((params["a"] == 1) == maximise)))
    tried = [*(params for params, _ in done), *ended]
    assert sorted(map(params_key, tried)) == sorted(map(params_key, grid_points(found)))
    with pytest.raises(RecipeError, match=r"E_SPACE.*all 9 points of the space have been tried.*--trials 9"):
        tpe_point(found, 9, done, seed=0, maximise=maximise, pending=ended)


def test_a_space_with_a_range_has_no_end() -> None:
    assert distinct_points(parse_space(CONDITIONAL, "my.yaml")) is None


def test_an_integer_range_is_drawn_on_its_logarithmic_scale() -> None:
    """From 1 to 1000 half of the draws lie under about 30 (on a plain scale 3% do), and all come in the end."""
    logarithmic = space(a={"low": 1, "high": 1000, "log": True})
    drawn = [one["a"] for one in random_points(logarithmic, 40, seed=0)]
    assert len(set(drawn)) == 40
    assert np.median(drawn) < 120
    assert [one["a"] for one in random_points(logarithmic, 10, seed=0)] == drawn[:10]
    few = space(a={"low": 1, "high": 9, "log": True}, b=["x", "y"])
    assert sorted(map(params_key, random_points(few, 99, seed=1))) == sorted(
        map(params_key, grid_points(few))
    )
    first = [random_points(few, 1, seed=seed)[0]["a"] for seed in range(300)]
    # Of the logarithm of .5 to 9.5, 37% belong to what rounds to 1.
    assert 0.27 < np.mean(np.array(first) == 1) < 0.47


def test_corners_reach_every_value_where_there_are_too_many_combinations() -> None:
    found = space(**{f"a{index}": list(range(4)) for index in range(6)}, b={"low": 0.0, "high": 1.0})
    points = corners(found)
    assert len(points) < 100
    for axis in found.axes:
        assert {one[axis.name] for one in points} == set(axis.corners())
