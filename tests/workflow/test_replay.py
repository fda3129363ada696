"""Replays and several seeds, trained for real on noise pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml

import tiny
from commands import Command, contents
from pulmoscope.cohort import Cohort
from pulmoscope.errors import RecipeError, RunError
from pulmoscope.evaluation import Predictions
from pulmoscope.evaluation.spread import median_index, spread
from pulmoscope.imaging import Preprocess
from pulmoscope.models import Bundle, CascadeSpec, HeadSpec, ModelSpec, WeightsOrigin, build_classifier
from pulmoscope.training import load_recipe
from pulmoscope.workflow import replay, train_seeds
from pulmoscope.workflow.replay_table import (
    Judged,
    ModelRow,
    Replay,
    Variant,
    collection_names,
    hard_routed,
    judge_variant,
    parameter_count,
    seconds_per_epoch,
)
from pulmoscope.workflow.replay_text import models_table
from pulmoscope.workflow.seeds import parse_seeds
from pulmoscope.workflow.verdict import BY_PICTURE, QUICK, SECONDS, Measured

PUBLISHED = [
    {"metric": "accuracy", "value": 0.01, "split": "test", "source": "them", "data": "bars", "variant": "plain"},
    {"metric": "mean_ovr_accuracy", "value": 0.5, "split": "test", "source": "them", "data": "moon",
     "variant": "plain", "note": "Printed as accuracy."},
    {"metric": "parameters_millions", "value": 85.43, "split": "none", "source": "them", "variant": "plain"},
]  # fmt: skip


@pytest.fixture(autouse=True)
def _small_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer dots make the reports of the runs quick."""
    monkeypatch.setattr("pulmoscope.report.style.DPI", 30)


def kept(folder: Path) -> dict[str, bytes]:
    """Everything in a folder of runs but the logs, which say that a run was finished already."""
    return {name: content for name, content in contents(folder).items() if not name.endswith("log.jsonl")}


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("bars")
    return Cohort.from_sources({"bars": tiny.draw_pictures(folder / "data", n=60)}, near_copies=False)


def family(folder: Path, **changes: object) -> Path:
    """Two variants, one of which has no weights to start from; the head alone is trained."""
    train = {"head": {"epochs": 2}, "finetune": {"epochs": 0}}
    content = (
        tiny.RECIPE
        | {
            "name": "bars",
            "train": train,
            "variants": {"plain": {}, "lost": {"model": {"weights": "file:nowhere.safetensors"}}},
            "quick": {"train": {"limit": 12}},
            "published": PUBLISHED,
        }
        | changes
    )
    path = folder / "bars.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_a_replay_tells_published_from_ours_and_goes_on_past_a_failure(
    tmp_path: Path, cohort: Cohort, command: Command
) -> None:
    recipe = family(tmp_path)
    out = tmp_path / "replay"
    cohort.write(tmp_path / "cohort")
    asked = ("replay", recipe, "--cohort", tmp_path / "cohort", "--seeds", "0,1", "--out", out)
    # One variant cannot be trained: there is a table, and the exit status tells that it lacks something.
    assert command.run(*asked) == 3
    printed = command.out
    whole = pd.read_csv(out / "replay.csv")
    table = whole[whole["model"] == "plain"].set_index("metric")
    told = json.loads((out / "replay.json").read_text())
    runs = [json.loads((out / "plain" / f"seed-{seed}" / "metrics.json").read_text()) for seed in (0, 1)]
    ours = [run["test"]["accuracy"]["value"] for run in runs]

    accuracy = table.loc["accuracy"]
    assert accuracy["ours"] == pytest.approx(np.mean(ours))
    assert accuracy["sd"] == pytest.approx(np.std(ours, ddof=1))
    assert accuracy["published"] == 0.01
    assert accuracy["verdict"] == "ours is above"
    lower = int(np.argmin(ours)) if ours[0] != ours[1] else 0
    assert accuracy["interval_seed"] == lower
    assert accuracy["low"] == pytest.approx(runs[lower]["test"]["accuracy"]["low"])
    ovr = table.loc["mean_ovr_accuracy"]
    assert ovr["verdict"] == "not comparable: other data than moon"
    assert ovr["ours"] == pytest.approx(1 - 2 * (1 - np.mean(ours)) / 3)
    assert table.loc["parameters_millions"]["verdict"] == "ours is below"

    lost = [row for row in told["rows"] if row["model"] == "lost"]
    assert [row["verdict"].partition(": E_WEIGHTS")[0] for row in lost] == ["not trained"]
    assert "nowhere.safetensors" in told["failures"][0]["reason"]
    assert not (out / "lost" / "seed-0").exists()  # with other weights the variant may begin anew

    page = (out / "replay.html").read_text()
    assert "Research use only" in page
    assert "ours is above" in page
    assert "data:image/png;base64," in page
    assert "://" not in page
    markdown = (out / "replay.md").read_text()
    assert "| plain | accuracy over all classes | 0.01 [1] |" in markdown
    assert "Printed as accuracy." in markdown
    for words in ("ours is above", "not trained", "Research use only."):
        assert words in printed

    # Nothing that is finished is trained again: not a byte of the runs changes.
    before = kept(out / "plain")
    (out / "replay.html").unlink()
    replay(recipe, cohort, out=out, seeds=(0, 1))
    assert kept(out / "plain") == before
    assert (out / "replay.html").is_file()

    with pytest.raises(RunError, match="other settings"):
        replay(recipe, cohort, out=out, budget="quick")
    line = command.refused("E_RECIPE", "replay", recipe, "--cohort", tmp_path / "cohort", "--variants", "plian",
                           "--out", tmp_path / "other")  # fmt: skip
    assert "did you mean plain?" in line


def test_what_lies_in_the_folder_is_neither_overwritten_nor_dropped(tmp_path: Path, cohort: Cohort) -> None:
    recipe, out = family(tmp_path), tmp_path / "out"
    replay(recipe, cohort, out=out, variants=("plain",), budget="quick")
    before = kept(out)

    def refused(code: str, **options: Any) -> None:
        with pytest.raises(RunError) as caught:
            replay(recipe, cohort, out=out, variants=("lost", "plain"), budget="quick", **options)
        assert caught.value.code == code
        assert kept(out) == before

    refused("E_RUN_EXISTS", overrides=("train.head.epochs=1",))
    # Another recipe of the same name: the tables, which "lost" would be the first to write, stay as they are.
    family(tmp_path, train={"head": {"epochs": 1}, "finetune": {"epochs": 0}})
    refused("E_RESUME_MISMATCH")
    family(tmp_path)

    # Another seed alone, then another variant alone: the tables still hold what was finished.
    found = replay(recipe, cohort, out=out, variants=("plain",), budget="quick", seeds=(1,))
    assert found.seeds == (0, 1)
    assert [len(row.measured.values) for row in found.rows if row.metric == "accuracy"] == [2]
    # A folder that was there before is left, whatever it holds.
    (out / "lost" / "seed-0").mkdir(parents=True)
    (out / "lost" / "seed-0" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"nothing was trained: lost, seed 0: E_WEIGHTS.*nowhere\.safetensors"):
        replay(recipe, cohort, out=out, variants=("lost",), budget="quick")
    assert (out / "lost" / "seed-0" / "mine.txt").read_text() == "mine"
    table = pd.read_csv(out / "replay.csv").set_index(["model", "metric"])
    assert table.loc[("plain", "accuracy"), "seeds"] == 2
    assert table.loc[("lost", "accuracy"), "verdict"].startswith("not trained: E_WEIGHTS")

    cohort.write(out / "lost" / "seed-1")
    with pytest.raises(RunError) as caught:
        replay(recipe, cohort, out=out, variants=("lost",), budget="quick", seeds=(1,))
    assert caught.value.code == "E_RUN_EXISTS"
    assert (out / "lost" / "seed-1" / "cohort.parquet").is_file()


def test_a_changed_setting_is_not_the_reports(tmp_path: Path, cohort: Cohort) -> None:
    recipe, out = family(tmp_path), tmp_path / "out"
    harmless, telling = "evaluate.replicates=150", "train.head.epochs=1"
    found = replay(f"{recipe}:plain", cohort, out=out, overrides=(harmless, telling))
    verdicts = {row.metric: row.verdict for row in found.rows}
    assert verdicts["accuracy"] == f"not comparable: changed by --set {telling}"
    assert verdicts["parameters_millions"] == f"not comparable: changed by --set {telling}"
    assert json.loads((out / "replay.json").read_text())["overrides"] == [harmless, telling]
    assert set(pd.read_csv(out / "replay.csv")["overrides"]) == {f"{harmless}; {telling}"}
    page = (out / "replay.html").read_text()
    assert f"full budget, changed by --set {telling}" in page
    assert f"Set on the command line: {harmless}, {telling}." in (out / "replay.md").read_text()


def test_a_variant_for_other_classes_is_trained_only_where_it_is_named(
    tmp_path: Path, cohort: Cohort
) -> None:
    numbers = [
        PUBLISHED[0] | {"variant": name, "classes": count} for name, count in (("three", 3), ("two", 2))
    ]
    recipe = family(tmp_path, variants={"two": {}, "three": {}}, published=numbers)
    out = tmp_path / "out"
    rows = replay(recipe, cohort, out=out, budget="quick").rows
    assert [(row.model, row.measured is None) for row in rows] == [("two", True), ("three", False)]
    assert rows[0].verdict.startswith("not trained: its published numbers are of 2 classes, the cohort has 3")
    assert not (out / "two").exists()
    rows = replay(recipe, cohort, out=out, budget="quick", variants=("two",)).rows
    assert [(row.model, row.measured is None) for row in rows] == [("two", False), ("three", False)]


def test_the_chest_xray_variant_needs_weights_and_says_which(
    tmp_path: Path, command: Command, cohort: Cohort
) -> None:
    folder, out = cohort.write(tmp_path / "cohort"), tmp_path / "out"
    arguments = ("replay", "system_b:cxr", "--budget", "quick", "--cohort", folder, "--out", out)
    line = command.refused("E_RUN", *arguments)
    assert "no weights file torchxrayvision-densenet121.pt" in line
    assert "--variants cxr --set model.weights=xrv:file:PATH" in line
    rows = pd.read_csv(out / "replay.csv")
    assert rows["verdict"].str.startswith("not trained: E_WEIGHTS").all()
    assert rows["verdict"].str.contains("--set model.weights=xrv:file:PATH").all()
    # With them it trains, in the same folder, and naming them does not make it another setting.
    network = timm.create_model("densenet121", in_chans=1, num_classes=3)
    torch.save(network.state_dict(), tmp_path / "xrv.pt")
    command.done(*arguments, "--set", f"model.weights=xrv:file:{tmp_path / 'xrv.pt'}")
    verdicts = pd.read_csv(out / "replay.csv")["verdict"]
    assert verdicts.str.startswith(f"not comparable: {QUICK}").all()


def test_a_cascades_seconds_are_told_by_stage(cohort: Cohort) -> None:
    history = pd.DataFrame({
        "stage": ["first head", "first finetune", "first finetune", "second finetune"],
        "seconds": [9.0, 2.0, 4.0, 1.0],
    })  # fmt: skip
    other = history.assign(seconds=[9.0, 5.0, 5.0, 2.0])
    assert seconds_per_epoch([history]) == [3.0, 1.0]
    assert seconds_per_epoch([history, other]) == [4.0, 1.5]  # (2 + 4 + 5 + 5) / 4, (1 + 2) / 2
    plain = pd.DataFrame({"stage": ["head", "finetune"], "seconds": [9.0, 2.0]})
    assert seconds_per_epoch([plain]) == [2.0]
    assert seconds_per_epoch([]) == []

    stages = (Measured(values=(3.0,)), Measured(values=(1.0,)))
    row = ModelRow(model="two", batch="8 + 4", measured={SECONDS: Measured(values=(4.0,))}, seconds=stages,
                   published={})  # fmt: skip
    variant = Variant(recipe=load_recipe("system_c:cascade"))
    judged = (Judged(variant=variant, rows=(), models=(row,)),)
    table = models_table(Replay(name="system_c", seeds=(0,), cohort=cohort, judged=judged))
    assert table.rows == [["two", "3.0 + 1.0", "8 + 4"]]


def test_a_killed_replay_goes_on_where_it_was(
    tmp_path: Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    recipe = family(tmp_path)
    job = sys.modules["pulmoscope.workflow.trainings"]
    true_train, trained = job.train, []

    def train_until_killed(*args: object, seed: int, **options: object) -> object:
        if seed == 1 and len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(seed)
        return true_train(*args, seed=seed, **options)

    monkeypatch.setattr(job, "train", train_until_killed)
    with pytest.raises(KeyboardInterrupt):
        replay(recipe, cohort, out=tmp_path / "out", seeds=(0, 1), variants=("plain",), budget="quick")
    first = kept(tmp_path / "out" / "plain" / "seed-0")
    monkeypatch.setattr(job, "train", true_train)
    found = replay(recipe, cohort, out=tmp_path / "out", seeds=(0, 1), variants=("plain",), budget="quick")
    assert kept(tmp_path / "out" / "plain" / "seed-0") == first
    verdicts = {row.metric: row.verdict for row in found.rows}
    assert verdicts["accuracy"].startswith("not comparable: quick: reduced size/number")
    assert "quick: reduced size/number, not the report's setting" in (
        tmp_path / "out" / "replay.html"
    ).read_text().replace("&#39;", "'")


def test_a_cross_validated_cohort_counts_what_all_folds_held_out(tmp_path: Path) -> None:
    table = tiny.draw_pictures(tmp_path / "data", n=36)
    folds = Cohort.from_sources({"bars": table}, split="kfold:2", near_copies=False)
    published = [PUBLISHED[0] | {"split": "5-fold by picture"}, PUBLISHED[2]]
    recipe = family(tmp_path, published=published)
    found = replay(f"{recipe}:plain", folds, out=tmp_path / "out", budget="quick")
    rate, count = found.rows
    assert rate.verdict == f"not comparable: {QUICK} {BY_PICTURE}"
    assert count.verdict == "ours is below"
    leaked = Cohort(
        folds.frame, folds.info | {"split": {"kind": "kfold-pictures:2", "leaked": True}}, folds.dropped
    )
    rate, count = judge_variant(found.judged[0].variant, leaked).rows
    assert rate.verdict == f"leaked split: not comparable: {QUICK}"
    assert count.verdict == "ours is below"
    assert [row.n for row in found.rows if row.metric == "accuracy"] == [36]
    assert [len(one) for one in found.histories().values()] == [2]
    pooled = json.loads((tmp_path / "out" / "plain" / "seed-0" / "metrics.json").read_text())["test"]
    (model,) = found.models
    assert model.measured["accuracy"].values == (pytest.approx(pooled["accuracy"]["value"]),)
    assert model.measured["seconds_per_epoch"].values[0] > 0


def test_several_seeds_by_one_command(tmp_path: Path, cohort: Cohort, command: Command) -> None:
    cohort.write(tmp_path / "cohort")
    recipe = family(tmp_path)
    arguments = ("train", f"{recipe}:plain", "--cohort", tmp_path / "cohort", "--budget", "quick", "--seeds", "4,7",
                 "--out", tmp_path / "out")  # fmt: skip
    printed = command.done(*arguments)
    runs = {
        seed: json.loads((tmp_path / "out" / f"seed-{seed}" / "metrics.json").read_text())["test"]
        for seed in (4, 7)
    }
    told = json.loads((tmp_path / "out" / "seeds.json").read_text())
    values = [runs[seed]["classes"]["covid"]["sensitivity"]["value"] for seed in (4, 7)]
    found = told["metrics"]["sensitivity:covid"]
    assert found["mean"] == pytest.approx(sum(values) / 2)
    assert found["sd"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert found["seeds"]["7"] == runs[7]["classes"]["covid"]["sensitivity"]
    assert (told["variant"], told["budget"]) == ("plain", "quick")
    table = pd.read_csv(tmp_path / "out" / "seeds.csv").set_index("metric")
    assert table.loc["accuracy", "seed_4_low"] == pytest.approx(runs[4]["accuracy"]["low"])
    assert "2 seeds, the test part" in printed
    command.refused("E_RUN_EXISTS", *arguments)
    assert command.done(*arguments, "--resume") == printed
    command.refused("E_USAGE", *arguments, "--seed", "1")
    command.refused("E_USAGE", *arguments[:-4], "--seeds", "1,1", "--out", tmp_path / "x")


def test_spread_and_median_by_hand() -> None:
    found = spread([0.7, 0.9, 0.8, float("nan")])
    assert (found.n, found.minimum, found.maximum) == (3, 0.7, 0.9)
    assert found.mean == pytest.approx(0.8)
    assert found.sd == pytest.approx(0.1)  # squares .01 + .01, halved, rooted
    assert np.isnan(spread([0.5]).sd)
    assert np.isnan(spread([]).mean)
    assert median_index([0.4, 0.1, 0.3, 0.2]) == 3  # the lower of .2 and .3
    assert median_index([float("nan")]) is None
    assert parse_seeds(" 2, 0") == (2, 0)
    for wrong in ("", "a", "-1", "1,,2", "1.5", "0,0"):
        with pytest.raises(RunError):
            parse_seeds(wrong)


def test_hard_routing_lets_the_first_stage_decide() -> None:
    stage = {"backbone": "x", "channels": 1, "head": HeadSpec()}
    spec = CascadeSpec(
        first=ModelSpec(classes=("normal", "infected"), **stage),
        second=ModelSpec(classes=("covid", "other"), **stage),
        node="infected",
        classes=("normal", "covid", "other"),
    )
    table = Predictions.from_arrays(
        image_id=["a", "b"],
        probabilities=[[0.4, 0.35, 0.25], [0.6, 0.3, 0.1]],
        classes=["normal", "covid", "other"],
        label=["covid", "normal"],
    )
    # a: 0.4 is the largest single probability, but infected has 0.6 together.
    assert table.predicted.tolist() == [0, 0]
    assert hard_routed(table, spec).predicted.tolist() == [1, 0]


def test_parameters_are_counted_as_keras_counts_them() -> None:
    spec = ModelSpec(
        backbone="mobilenetv2", size=32, channels=3, head=HeadSpec(hidden=(128, 32)), classes=("a", "b", "c")
    )
    network = build_classifier(spec, seed=0)
    bundle = Bundle(
        spec=spec,
        preprocess=Preprocess(size=32),
        weights=network.state_dict(),
        origin=WeightsOrigin(name="random", source="test"),
    )
    # keras.applications.MobileNetV2(include_top=False) has 2,257,984; then 1280-128-32-3 with biases.
    head = 1280 * 128 + 128 + 128 * 32 + 32 + 32 * 3 + 3
    assert parameter_count(bundle) == 2_257_984 + head


def test_a_cohort_of_one_collection_knows_its_names(cohort: Cohort) -> None:
    assert {"bars", "table", "table.csv"} <= collection_names(cohort)
    frame = cohort.frame.copy()
    frame.loc[0, "source"] = "other"
    assert collection_names(Cohort(frame, cohort.info, cohort.dropped)) == frozenset()


def test_a_variant_is_named_once(tmp_path: Path, cohort: Cohort) -> None:
    recipe = family(tmp_path)
    with pytest.raises(RecipeError, match="names a variant already"):
        replay(f"{recipe}:plain", cohort, out=tmp_path / "out", variants=("lost",))
    with pytest.raises(RunError, match="distinct"):
        train_seeds(recipe, cohort, seeds=(), out=tmp_path / "out")


def test_two_processes_give_the_same_table(tmp_path: Path, cohort: Cohort) -> None:
    import torch

    from pulmoscope.cores import cores
    from pulmoscope.search.engine import LocalEngine

    recipe, threads = family(tmp_path), torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // 2))  # as each of two has: sums depend on it in their last bits
    try:
        one = replay(recipe, cohort, out=tmp_path / "one", seeds=(0, 1), variants=("plain",), budget="quick")
    finally:
        torch.set_num_threads(threads)
    two = replay(
        recipe,
        cohort,
        out=tmp_path / "two",
        seeds=(0, 1),
        variants=("plain",),
        budget="quick",
        engine=LocalEngine(2),
    )
    for ours, theirs in zip(one.rows, two.rows, strict=True):
        assert (ours.metric, ours.verdict) == (theirs.metric, theirs.verdict)
        if ours.metric != "seconds_per_epoch":
            assert ours.measured == theirs.measured
    assert sorted(path.name for path in (tmp_path / "two" / "plain").iterdir()) == ["seed-0", "seed-1"]
