"""``pulmoscope recipes``."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from commands import Command
from pulmoscope.training import shipped
from pulmoscope.workflow.listing import as_text, list_recipes


def test_all_recipes_are_listed_with_what_was_published(command: Command) -> None:
    text = command.done("recipes")
    listed = json.loads(command.done("recipes", "--json"))
    assert [one["name"] for one in listed] == shipped()
    for name in shipped():
        assert f"\n{name}\n" in f"\n{text}"
    system_c = next(one for one in listed if one["name"] == "system_c")
    assert [one["name"] for one in system_c["variants"]] == ["cascade", "flat"]
    assert {one["value"] for one in system_c["published"]} >= {0.9008, 0.8943}
    after = text.partition("system_c:flat")[2]
    assert "published (System C (SUTD); test): accuracy over all classes 0.8943" in after
    assert "0.9008" in text.partition("system_c:cascade")[2].partition("system_c:flat")[0]


def test_budgets_and_weights_are_told_of_each_variant(command: Command, tmp_path: Path) -> None:
    (tmp_path / "pair.yaml").write_text(
        "variants: {a: {}, b: {quick: {train: {limit: 9}}}, c: {model: {weights: 'xrv:file:none.pt'}}}\n"
    )
    text = as_text(list_recipes([str(tmp_path / "pair.yaml")]))
    for line in ("budgets of a: full", "budgets of b: full, quick", "budgets of c: full"):
        assert f"  {line}\n" in text
    needs = "    needs --set model.weights=xrv:file:PATH, xrv:url:URL#sha256=HEX or run=RUN\n"
    assert text.count(needs) == 1
    assert needs in text.partition(":c")[2]
    system_b = next(one for one in list_recipes() if one["name"] == "system_b")
    assert [bool(one["needs"]) for one in system_b["variants"]] == [False, True]
    shown = yaml.safe_load(command.done("recipes", "system_b:cxr", "--budget", "quick"))
    assert "--set model.weights=xrv:file:PATH" in shown["description"]
    assert "300 training pictures" in shown["description"]


def test_one_recipe_is_shown_whole(command: Command, tmp_path: Path) -> None:
    shown = yaml.safe_load(command.done("recipes", "system_c:flat", "--budget", "quick"))
    assert (shown["variant"], shown["budget"], shown["train"]["limit"]) == ("flat", "quick", 800)
    assert shown["train"]["finetune"]["optimizer"] == "adam"
    assert json.loads(command.done("recipes", "system_c:flat", "--budget", "quick", "--json")) == shown
    assert "did you mean system_c" in command.refused("E_RECIPE", "recipes", "sytem_c")
    assert "did you mean flat?" in command.refused("E_RECIPE", "recipes", "system_c:flatt")
