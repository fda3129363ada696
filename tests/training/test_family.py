"""Families of recipes: variants, budgets, and every recipe that is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pulmoscope.errors import RecipeError
from pulmoscope.training import every_shipped, load_recipe, read_family, shipped, split_variant
from pulmoscope.training.recipe import merged

FAMILY = {
    "name": "pair",
    "preprocess": {"size": 64},
    "train": {"finetune": {"epochs": 9, "batch": 8}},
    "variants": {
        "small": {"preprocess": {"size": 32}, "quick": {"train": {"finetune": {"epochs": 1}}}},
        "large": {"train": {"finetune": {"batch": 4}}},
    },
    "quick": {"preprocess": {"size": 48}, "train": {"limit": 10, "finetune": {"epochs": 2}}},
    "published": [
        {"metric": "accuracy", "value": 0.9, "split": "test", "source": "them", "variant": "large"},
        {"metric": "f1", "value": 0.8, "split": "test", "source": "them"},
    ],
}


def write(folder: Path, **changes: object) -> str:
    path = folder / "pair.yaml"
    path.write_text(yaml.safe_dump(FAMILY | changes, sort_keys=False))
    return str(path)


def test_changes_lie_over_each_other_in_order(tmp_path: Path) -> None:
    path = write(tmp_path)
    alone = load_recipe(path)
    assert (alone.variant, alone.budget, alone.preprocess.size) == ("small", "full", 32)
    assert (alone.train.finetune.epochs, alone.train.finetune.batch) == (9, 8)
    large = load_recipe(f"{path}:large")
    assert (large.variant, large.preprocess.size, large.train.finetune.batch) == ("large", 64, 4)
    quick = load_recipe(f"{path}:large", budget="quick")
    assert (quick.budget, quick.preprocess.size, quick.train.limit) == ("quick", 48, 10)
    assert (quick.train.finetune.epochs, quick.train.finetune.batch) == (2, 4)
    # The variant's own quick budget wins over the file's; what is set on the command line wins over all.
    own = load_recipe(f"{path}:small", ["preprocess.size=80"], budget="quick")
    assert (own.train.finetune.epochs, own.preprocess.size) == (1, 80)
    assert [one.metric for one in alone.published] == ["f1"]
    assert [one.metric for one in large.published] == ["accuracy", "f1"]


def test_a_resolved_variant_is_a_plain_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(f"{write(tmp_path)}:large", budget="quick").resolved()
    kept = tmp_path / "recipe.yaml"
    kept.write_text(recipe.as_yaml())
    assert load_recipe(kept) == recipe
    assert recipe.title == "pair:large"


def test_mistakes_of_all_variants_come_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        train={"finetun": {}},
        variants={"a": {"modell": {}}, "b": {"quick": {"preprocess": {"size": 1}}}},
        published=[{**FAMILY["published"][0], "variant": "aa"}],
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(f"{path}:b")
    message = str(caught.value)
    assert "train.finetun: no such field, did you mean finetune?" in message
    assert message.count("finetun: no such field") == 1  # all variants have it: said once
    assert "variants.a: modell: no such field, did you mean model?" in message
    assert "variants.b: quick: preprocess.size" in message
    assert "published: no variant 'aa', did you mean a?" in message


def test_stages_of_a_cascade_are_checked_by_name(tmp_path: Path) -> None:
    path = write(
        tmp_path, variants={"two": {"cascade": {"first": {"train": {"limt": 3}}, "second": {"predict": {}}}}}
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert "cascade.first.train.limt: no such field, did you mean limit?" in str(caught.value)
    assert "cascade.second may change model, train and augment only" in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (":lrge", "did you mean large?"),
        (":", "has no variant ''"),
        ("x:large", "no recipe"),
    ],
)
def test_unknown_variants_are_named(tmp_path: Path, asked: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe(write(tmp_path) + asked)


def test_a_file_without_variants_or_quick_says_so(tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text("preprocess: {size: 64}\n")
    with pytest.raises(RecipeError, match="no variant: it has none"):
        load_recipe(f"{plain}:large")
    with pytest.raises(RecipeError, match="no quick budget"):
        load_recipe(plain, budget="quick")
    for wrong in (
        "variants: [a]",
        "variants: {a: 3}",
        "variants: {'../a': {}}",
        "quick: 3",
        "variants: {a: {quick: 3}}",
    ):
        plain.write_text(wrong)
        with pytest.raises(RecipeError, match="variants|quick"):
            load_recipe(plain)


def test_colons_of_files_and_drives_are_no_variants(tmp_path: Path) -> None:
    odd = tmp_path / "a:b"
    odd.write_text("name: x\n")
    assert split_variant(str(odd)) == (str(odd), None)
    assert split_variant("C:recipe.yaml") == ("C:recipe.yaml", None)
    assert split_variant(r"C:\recipes\mine.yaml") == (r"C:\recipes\mine.yaml", None)
    assert split_variant(r"C:\recipes\mine.yaml:flat") == (r"C:\recipes\mine.yaml", "flat")


def test_colours_need_three_channels(tmp_path: Path) -> None:
    path = write(tmp_path, augment={"rgb_shift": 0.1}, model={"weights": "random"})
    assert load_recipe(path).resolved().preprocess.channels == 3
    with pytest.raises(RecipeError, match="one channel has not"):
        load_recipe(path, ["preprocess.channels=1"]).resolved()
    path = write(tmp_path, model={"weights": "random"})
    assert load_recipe(path).resolved().preprocess.channels == 1


@pytest.mark.parametrize(("name", "variant", "budget"), every_shipped())
def test_every_shipped_variant_is_valid_and_survives_its_own_yaml(
    name: str, variant: str | None, budget: str, tmp_path: Path
) -> None:
    recipe = load_recipe(name if variant is None else f"{name}:{variant}", budget=budget).resolved()
    assert (recipe.name, recipe.variant, recipe.budget) == (name, variant, budget)
    assert recipe.description
    path = tmp_path / "again.yaml"
    path.write_text(recipe.as_yaml())
    assert load_recipe(path) == recipe
    assert load_recipe(path).resolved() == recipe


def test_the_five_systems_are_shipped_with_what_they_published() -> None:
    assert {f"system_{letter}" for letter in "abcde"} < set(shipped())
    for name in (name for name in shipped() if name.startswith("system_")):
        family = read_family(name)
        for variant in family.variants:
            assert "quick" in family.budgets(variant), f"{name}:{variant}"
            assert family.recipe(variant).published, f"{name}:{variant}"


def test_system_es_printed_accuracy_is_the_mean_of_one_vs_rest_accuracies() -> None:
    """Two published numbers of each network agree: 1 - 2 (1 - three-class accuracy) / 3."""
    family = read_family("system_e")
    for variant in family.variants:
        found = {one.metric: one.value for one in family.recipe(variant).published}
        assert 1 - 2 * (1 - found["accuracy"]) / 3 == pytest.approx(found["mean_ovr_accuracy"], abs=1.1e-4)


def test_another_backbone_leaves_the_options_of_the_one_before_behind() -> None:
    base = {"model": {"backbone": "plain_cnn", "options": {"blocks": 4}, "weights": "random"}}
    other = merged(base, {"model": {"backbone": "residual_cnn"}})
    assert other == {"model": {"backbone": "residual_cnn", "weights": "random"}}
    assert merged(base, {"model": {"backbone": "plain_cnn"}}) == base
    assert merged(base, {"model": {"options": {"width": 8}}})["model"]["options"] == {"blocks": 4, "width": 8}


def test_a_preset_starts_anew() -> None:
    laid = merged({"augment": {"rotate": 30.0, "noise": 0.1}}, {"augment": {"preset": "none", "rotate": 2}})
    assert laid == {"augment": {"preset": "none", "rotate": 2}}


def test_single_fields_lie_over_a_presets_name(tmp_path: Path) -> None:
    before = load_recipe("system_c:flat").augment
    for key in ("augment.rotate=9", "augment[rotate]=9"):
        after = load_recipe("system_c:flat", (key,)).augment
        assert after == before.model_copy(update={"rotate": 9.0})
    twice = load_recipe("system_c:flat", ("augment=system_d", "augment.rotate=9")).augment
    assert twice == load_recipe("system_d:vgg19").augment.model_copy(update={"rotate": 9.0})
    path = write(
        tmp_path,
        augment="system_c",
        variants={
            "mild": {"augment": {"rotate": 2}},
            "two": {
                "cascade": {
                    "first": {"augment": {"rotate": 3}},
                    "second": {"augment": {"preset": "system_d"}},
                }
            },
        },
        published=[],
    )
    assert load_recipe(f"{path}:mild").augment == before.model_copy(update={"rotate": 2.0})
    two = load_recipe(f"{path}:two", ("cascade.second.augment.rotate=9",))
    assert two.stage("first").augment == before.model_copy(update={"rotate": 3.0})
    assert two.stage("second").augment == twice


@pytest.mark.parametrize("key", ["budget=full", "variant=flat", "name=mine", " [budget] = full"])
def test_what_a_recipe_is_called_cannot_be_set(key: str) -> None:
    with pytest.raises(RecipeError, match=r"cannot be set.*--budget"):
        load_recipe("system_c:flat", (key,), budget="quick")


@pytest.mark.parametrize("variant", [["large"], {"large": 1}, 3])
def test_a_published_number_of_no_variant_is_a_mistake(tmp_path: Path, variant: object) -> None:
    path = write(tmp_path, published=[{**FAMILY["published"][0], "variant": variant}])
    with pytest.raises(RecipeError, match="published: no variant"):
        load_recipe(path)


def test_class_weights_are_replaced_whole() -> None:
    base = {"train": {"class_weights": {"covid": 2.0, "normal": 1.0}, "limit": 9}}
    laid = merged(base, {"train": {"class_weights": {"infected": 3.0}}})
    assert laid == {"train": {"class_weights": {"infected": 3.0}, "limit": 9}}
