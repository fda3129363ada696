from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RecipeError, SplitLeakError
from pulmoscope.inference import Predictor
from pulmoscope.models import route
from pulmoscope.training import Recipe
from pulmoscope.workflow import Run, train
from pulmoscope.workflow.cascade import _examples, _warn_of_other_inputs, find_routing
from pulmoscope.workflow.parts import decode_all
from tiny import RECIPE, draw_pictures

CASCADE = {"node": "infected", "children": ["covid", "pneumonia"]}


def recipe(**cascade: object) -> Recipe:
    return Recipe.model_validate(RECIPE | {"cascade": CASCADE | cascade})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    table = draw_pictures(tmp_path_factory.mktemp("pictures"))
    return Cohort.from_sources({"t": table}, near_copies=False)


@pytest.fixture(scope="module")
def run(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    # Stage one is trained again on validation pictures, stage two is not.
    changes = {"first": {"train": {"refit": True}}}
    return train(recipe(**changes), cohort, out=tmp_path_factory.mktemp("runs") / "cascade", seed=0)


def test_probabilities_are_those_of_two_networks(run: Run, cohort: Cohort) -> None:
    bundle = run.model
    network = bundle.network()
    parts = decode_all(run.cohort, bundle.preprocess, progress=False)
    test = parts.examples("test")
    inputs = bundle.preprocess.to_input(test.take(np.arange(len(test)))[0])
    with torch.no_grad():
        first = torch.softmax(network.first(inputs), dim=1).numpy()  # type: ignore[operator, union-attr]
        second = torch.softmax(network.second(inputs), dim=1).numpy()  # type: ignore[operator, union-attr]
    assert bundle.spec.first.classes == ("normal", "infected")  # type: ignore[union-attr]
    assert bundle.spec.second.classes == ("covid", "pneumonia")  # type: ignore[union-attr]
    table = run.predict("test")
    frame = table.frame
    assert np.allclose(frame["p_normal"], first[:, 0], atol=0.02)
    assert np.allclose(frame["p_covid"], first[:, 1] * second[:, 0], atol=0.02)
    assert np.allclose(table.probabilities.sum(axis=1), 1)


def test_both_stages_and_what_they_chose_are_on_record(run: Run) -> None:
    history = (run.folder / "history.csv").read_text()
    for stage in ("first head", "first finetune", "second head", "second finetune"):
        assert f"\n{stage}," in history
    chosen = json.loads((run.folder / "environment.json").read_text())["chosen"]
    assert set(chosen) == {"first", "second"}
    page = (run.folder / "report.html").read_text()
    assert f"Epoch {chosen['second']['epoch']} of second network" in page
    assert "refit" in chosen["first"]


def test_validation_is_judged_by_networks_that_have_not_learned_it(run: Run) -> None:
    """Stage one was refitted on validation pictures: their probabilities must come from the weights before that."""
    parts = decode_all(run.cohort, run.model.preprocess, progress=False)
    refitted = Predictor(run.model).predict_store(parts.store, parts.cohort.part("val").frame["image_id"])
    assert not np.allclose(run.predict("val").probabilities, refitted, atol=1e-3)


def test_each_stage_sees_its_own_pictures(cohort: Cohort) -> None:
    parts = decode_all(cohort, recipe().preprocess, progress=False)
    classes = tuple(cohort.classes)
    whole = parts.examples("train")
    names = np.array(classes)[whole.labels]
    first = _examples(parts, "train", classes, ("normal", "infected"))
    assert np.array_equal(first.rows, whole.rows)
    assert np.array_equal(first.labels, (names != "normal").astype(int))
    second = _examples(parts, "train", classes, ("covid", "pneumonia"))
    assert np.array_equal(second.rows, whole.rows[names != "normal"])
    assert np.array_equal(second.labels, (names[names != "normal"] == "pneumonia").astype(int))


def test_hard_routing_decides_the_first_stage_first(run: Run) -> None:
    from dataclasses import replace

    soft = run.model
    hard = replace(soft, spec=soft.spec.model_copy(update={"routing": "hard"}))
    pictures = np.random.default_rng(0).integers(0, 256, (40, 32, 32)).astype(np.uint8)
    joint = Predictor(soft, precision="float32").probabilities(pictures)
    routed = Predictor(hard, precision="float32").probabilities(pictures)
    assert np.allclose(routed.sum(axis=1), 1)
    assert np.array_equal(routed.argmax(axis=1), route(joint, soft.spec))  # type: ignore[arg-type]
    below = [soft.classes.index(name) for name in ("covid", "pneumonia")]
    taken = routed[:, below].sum(axis=1)
    assert set(np.round(taken, 6)) <= {0.0, 1.0}
    inside = taken > 0.5
    wanted = joint[:, below] / joint[:, below].sum(axis=1, keepdims=True)
    assert np.allclose(routed[np.ix_(inside, below)], wanted[inside], atol=1e-6)


def test_a_finished_cascade_is_not_trained_again(run: Run, cohort: Cohort) -> None:
    before = (run.folder / "stages" / "second" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    changes = {"first": {"train": {"refit": True}}}
    train(recipe(**changes), cohort, out=run.folder, seed=0, resume=True)
    assert (run.folder / "stages" / "second" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "cascade",
    [
        {"node": "normal"},  # a class is no node
        {"children": ["covid"]},  # one child is nothing to tell apart
        {"children": ["covid", "flu"]},  # no such class
        {"children": ["covid", "pneumonia", "normal"]},  # nothing is left outside
        {"node": None, "children": []},  # neither the recipe nor the cohort says it
    ],
)
def test_a_cascade_that_does_not_fit_the_classes_is_refused(
    cohort: Cohort, cascade: dict[str, object]
) -> None:
    with pytest.raises(RecipeError, match="E_HIERARCHY"):
        find_routing(recipe(**cascade), cohort)


def test_the_hierarchy_of_the_label_scheme_is_enough(cohort: Cohort) -> None:
    scheme = Cohort(
        cohort.frame, cohort.info | {"hierarchy": {"sick": ["pneumonia", "covid"]}}, cohort.dropped
    )
    routing = find_routing(recipe(node=None, children=[]), scheme)
    assert (routing.node, routing.first, routing.second) == (
        "sick",
        ("normal", "sick"),
        ("covid", "pneumonia"),
    )


def test_a_metric_of_a_class_that_a_stage_has_not_is_known_at_once(cohort: Cohort, tmp_path: Path) -> None:
    # The first stage knows pneumonia only as infected; without the check it would train before the second one says so.
    changes = {"second": {"train": {"select": "val_f1:normal"}}}
    with pytest.raises(RecipeError, match="train.select names no class"):
        train(recipe(**changes), cohort, out=tmp_path / "run", seed=0)
    assert not (tmp_path / "run" / "stages" / "first").exists()


def test_weights_that_expect_another_input_are_told(caplog: pytest.LogCaptureFixture) -> None:
    stages = {
        "first": {"model": {"backbone": "resnet18", "weights": "imagenet"}},
        "second": {"model": {"backbone": "efficientnet_lite0", "weights": "imagenet"}},
    }
    with caplog.at_level("WARNING", logger="pulmoscope"):
        _warn_of_other_inputs(recipe(**stages))
    assert "the first stage's weights expect mean 0.449 and deviation 0.226" in caplog.text
    assert "second stage" not in caplog.text


def test_a_start_that_knows_the_test_pictures_is_refused(run: Run, cohort: Cohort, tmp_path: Path) -> None:
    other = cohort.frame.assign(
        split=cohort.frame["split"].map({"train": "test", "test": "train", "val": "val"})
    )
    swapped = Cohort(other, cohort.info, cohort.dropped)
    start = RECIPE | {"model": RECIPE["model"] | {"weights": f"run={run.folder}#first"}}  # type: ignore[operator]
    with pytest.raises(SplitLeakError, match="was trained on patients or pictures"):
        train(Recipe.model_validate(start), swapped, out=tmp_path / "leak", seed=0)
    again = train(Recipe.model_validate(start), cohort, out=tmp_path / "fair", seed=0)
    assert again.model.origin.name == "run=cascade#first"
