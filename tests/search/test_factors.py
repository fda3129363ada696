"""Factor files, designs, and the recipe of each cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulmoscope.errors import RecipeError
from pulmoscope.search.factors import (
    cell_label,
    cell_recipes,
    design_cells,
    factors_of,
    parse_factors,
    read_factors,
    shipped_factors,
)
from pulmoscope.training import load_recipe
from pulmoscope.training.family import read_family

TWO = {
    "size": {"small": {}, "large": {"preprocess": {"size": 500}}},
    "head": {
        "linear": {},
        "8": {"model": {"head": {"hidden": [8]}}},
        "16": {"model": {"head": {"hidden": [16]}}},
    },
}


def test_cells_of_both_designs() -> None:
    factors = parse_factors({"factors": TWO}, "here").factors
    assert design_cells(factors, "one-at-a-time") == [
        ("small", "linear"), ("large", "linear"), ("small", "8"), ("small", "16"),
    ]  # fmt: skip
    assert design_cells(factors, "factorial") == [
        ("small", "linear"), ("small", "8"), ("small", "16"), ("large", "linear"), ("large", "8"), ("large", "16"),
    ]  # fmt: skip
    assert cell_label(factors, ("small", "linear")) == "plain"
    assert cell_label(factors, ("large", "8")) == "size large, head 8"
    many = {str(number): {"a": {}, "b": {"train": {f"x{number}": 1}}} for number in range(9)}
    with pytest.raises(RecipeError, match=r"512 cells; expected at most 256; .*one-at-a-time"):
        design_cells(parse_factors({"factors": many}, "here").factors, "factorial")


def test_the_plain_cell_is_the_recipe_and_another_has_no_published_numbers() -> None:
    recipe = load_recipe("system_e:vgg16")
    file = read_factors(factors_of(recipe))
    assert file.design == "factorial"
    cells = design_cells(file.factors, file.design)
    found = cell_recipes(recipe, file.factors, cells)
    assert len(found) == 8
    assert found[cells[0]] == recipe.resolved()
    last = found[cells[-1]]
    assert (last.preprocess.size, last.model.head.hidden, last.model.head.dropout) == (500, (1024, 1024), 0.5)
    assert recipe.published
    assert last.published == ()
    assert "Ablation: input 500x500, head 1024-1024-3, dropout 0.5." in last.description
    assert last.train == recipe.train


def test_weights_bring_their_own_statistics() -> None:
    # Nobody set mean and standard deviation, so a cell with other weights must not keep those of the plain one.
    recipe = load_recipe("default")
    content = {"factors": {"weights": {"imagenet": {}, "random": {"model": {"weights": "random"}}}}}
    factors = parse_factors(content, "here").factors
    found = cell_recipes(recipe, factors, design_cells(factors, "factorial"))
    for name in ("imagenet", "random"):
        expected = load_recipe("default", (f"model.weights={name}",)).resolved()
        assert found[(name,)].preprocess == expected.preprocess
    assert found[("imagenet",)].preprocess != found[("random",)].preprocess


@pytest.mark.parametrize("name", shipped_factors())
def test_shipped_factors_fit_every_variant_of_their_recipe(name: str) -> None:
    family = read_family(name)
    for variant in family.variants or (None,):
        recipe = family.recipe(variant)
        file = read_factors(factors_of(recipe))
        cells = design_cells(file.factors, file.design)
        assert len(cell_recipes(recipe, file.factors, cells)) == len(cells)


def test_system_c_is_as_the_report_says() -> None:
    assert shipped_factors() == ["system_c", "system_e"]
    flat = load_recipe("system_c:flat")
    factors = read_factors(factors_of(flat)).factors
    found = cell_recipes(flat, factors, design_cells(factors, "one-at-a-time"))
    plain = next(iter(found.values()))
    # Its plain levels are its final setting: written out, they change nothing.
    assert plain.model_copy(update={"description": "", "published": ()}) == flat.resolved().model_copy(
        update={"description": "", "published": (), "model": plain.model}
    )
    assert plain.model.options == {"blocks": 5}
    off = next(one for cell, one in found.items() if cell[0] == "off")
    assert not off.augment.changes
    assert [one.model.options["blocks"] for cell, one in found.items() if cell[1] != "5"] == [4, 3]


def test_no_factors_for_a_recipe_of_one_s_own() -> None:
    with pytest.raises(RecipeError, match=r"no factors come with the recipe 'demo'; expected --factors FILE"):
        factors_of(load_recipe("demo"))


def test_levels_may_be_called_by_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text(
        "factors: {rate: {1e-3: {}, 0.1: {train: {head: {learning_rate: 0.1}}}, 64: {model: {}}}}"
    )
    assert [level.name for level in read_factors(path).factors[0].levels] == ["0.001", "0.1", "64"]
    with pytest.raises(RecipeError, match="batch: two levels are called 64"):
        parse_factors({"factors": {"batch": {64: {}, "64": {"model": {}}}}}, "here")


def test_all_mistakes_of_a_file_at_once() -> None:
    content = {
        "desing": 1,
        "design": "both",
        "factors": {
            "flip": {True: {}, "off": {}},
            "one": {"alone": {}},
            "text": {"a": {}, "b": "c"},
            "name": {"a": {}, "b": {"name": "mine"}},
        },
    }
    with pytest.raises(RecipeError) as caught:
        parse_factors(content, "mine.yaml")
    for said in (
        "desing: no such field", "design: expected one-at-a-time or factorial, got 'both'", "put it in quotes",
        "one: expected a mapping of at least two levels", "text.b: expected a mapping",
        "name.b: name cannot be changed",
    ):  # fmt: skip
        assert said in str(caught.value)
    with pytest.raises(RecipeError, match="mine is no factor file; expected factors:"):
        parse_factors([1], "mine")


def test_two_factors_must_not_set_one_field() -> None:
    content = {
        "tones": {"a": {}, "b": {"augment": {"gamma": 0.1}}},
        "preset": {"a": {}, "b": {"augment": "none"}},
    }
    with pytest.raises(RecipeError, match="tones and preset both change augment"):
        parse_factors({"factors": content}, "here")


def test_cells_with_mistakes_and_cells_alike() -> None:
    recipe = load_recipe("demo")
    content = {
        "size": {"plain": {}, "wrong": {"preprocess": {"size": -1}}},
        "typo": {"plain": {}, "b": {"model": {"hed": {}}}},
        "same": {"plain": {}, "again": {"train": {"label_smoothing": 0.05}}},
    }
    factors = parse_factors({"factors": content}, "here").factors
    with pytest.raises(RecipeError) as caught:
        cell_recipes(recipe, factors, design_cells(factors, "one-at-a-time"))
    for said in (
        "size wrong: preprocess.size",
        "did you mean head?",
        "same again and plain are the same recipe",
    ):
        assert said in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.yaml cannot be read"):
        read_factors(tmp_path / "nowhere.yaml")
    torn = tmp_path / "torn.yaml"
    torn.write_text("factors: {a: [")
    with pytest.raises(RecipeError, match=r"torn\.yaml cannot be read"):
        read_factors(torn)
    torn.write_text("#" + "x" * (1 << 20))
    with pytest.raises(RecipeError, match="too large"):
        read_factors(torn)
