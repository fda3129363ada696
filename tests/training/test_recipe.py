from __future__ import annotations

from pathlib import Path

import pytest

from pulmoscope.errors import RecipeError
from pulmoscope.training import load_recipe, parse_recipe


def test_all_mistakes_come_at_once_with_suggestions(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("modell: {}\ntrain: {finetune: {epoch: 3, batch: -1}, select: test_loss}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert "modell: no such field, did you mean model?" in message
    assert "train.finetune.epoch: no such field, did you mean epochs?" in message
    assert "train.finetune.batch" in message
    assert "train.select" in message
    assert "\n" not in message


def test_overrides_change_single_fields() -> None:
    recipe = load_recipe(
        "default", ["train.finetune.epochs=2", "model.head.hidden=[64, 32]", "preprocess.size=96"]
    )
    assert recipe.train.finetune.epochs == 2
    assert recipe.model.head.hidden == (64, 32)
    assert recipe.preprocess.size == 96
    with pytest.raises(RecipeError, match="key=value"):
        load_recipe("default", ["train.finetune.epochs"])


def test_input_statistics_follow_the_weights_unless_given() -> None:
    lite = parse_recipe({"name": "x"}, "x").resolved()
    assert lite.preprocess.channels == 1
    assert lite.preprocess.mean == pytest.approx((127 / 255,))
    dense = parse_recipe({"name": "x", "model": {"backbone": "densenet121"}}, "x").resolved()
    assert dense.preprocess.channels == 3
    assert dense.preprocess.mean == pytest.approx((0.485, 0.456, 0.406))
    given = parse_recipe(
        {"name": "x", "preprocess": {"channels": 1, "mean": [0.2], "std": [0.1]}}, "x"
    ).resolved()
    assert given.preprocess.mean == (0.2,)


def test_unknown_names_and_hostile_yaml_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean default"):
        load_recipe("defualt")
    bomb = tmp_path / "bomb.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    bomb.write_text("\n".join(lines))
    with pytest.raises(RecipeError):
        load_recipe(bomb)
    code = tmp_path / "code.yaml"
    code.write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(RecipeError):
        load_recipe(code)
