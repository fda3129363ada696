"""Heads trained together against whole trainings, one a head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from in_memory import CLASSES, RECIPE, small_recipe, train_and_val
from pulmoscope.errors import RecipeError
from pulmoscope.search import heads, lessons
from pulmoscope.search.heads import HeadJob, train_heads
from pulmoscope.training import Recipe, fit
from pulmoscope.training.recipe import merged


def head_recipe(head: dict[str, Any] | None = None, weights: str = "random", **stage: Any) -> Recipe:
    """One without fine-tuning."""
    model = merged(RECIPE["model"], {"head": head or {}, "weights": weights})
    return small_recipe({"model": model}, head={"epochs": 4, "batch": 8} | stage, finetune={"epochs": 0})


def test_each_head_is_that_of_a_whole_training(tmp_path: Path) -> None:
    train, val = train_and_val()
    jobs = [
        HeadJob(recipe=head_recipe({"hidden": hidden, "dropout": dropout}, views=views, **stage), seed=seed)
        for hidden, dropout, views, seed in (([6], 0.5, 2, 0), ([6], 0.0, 2, 0), ([], 0.1, 0, 3))
        for stage in (
            {"optimizer": "adam", "learning_rate": 0.01},
            {"optimizer": "sgd", "epochs": 6, "patience": 1, "learning_rate": 0.1},
            {"batch": 5, "schedule": "plateau", "plateau_patience": 1},
        )
    ]
    before = torch.get_num_threads(), torch.random.get_rng_state()
    found = train_heads(jobs, train=train, val=val, classes=CLASSES)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    for number, (job, one) in enumerate(zip(jobs, found, strict=True)):
        alone = fit(
            job.recipe, train=train, val=val, classes=CLASSES, folder=tmp_path / str(number), seed=job.seed
        )
        assert one.error is None
        assert one.best_epoch == alone.chosen["epoch"]
        assert one.best_value == pytest.approx(alone.chosen["value"], rel=1e-4)
        assert [row.val_loss for row in one.rows] == pytest.approx(
            [row.val_loss for row in alone.rows], rel=1e-4
        )
        assert set(one.weights) == set(alone.network.head.state_dict())
        for name, value in alone.network.head.state_dict().items():
            torch.testing.assert_close(one.weights[name], value, rtol=1e-3, atol=1e-4)
        assert one.val_probabilities.sum(axis=1) == pytest.approx(1.0)
        right = (one.val_probabilities.argmax(axis=1) == val.labels).mean()
        assert right == pytest.approx(one.rows[one.best_epoch - 1].val_accuracy)


def test_features_are_computed_once_a_distinct_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = train_and_val()
    asked: list[int] = []
    compute = lessons.frozen_features

    def spy(*args: Any, **options: Any) -> Any:
        asked.append(options.get("views", 0))
        return compute(*args, **options)

    monkeypatch.setattr(lessons, "frozen_features", spy)
    jobs = [
        HeadJob(recipe=head_recipe({"hidden": hidden}, views=views, batch=batch, epochs=1), seed=0)
        for hidden in ([], [3], [4])
        for views in (0, 2)
        for batch in (4, 8)
    ]
    train_heads(jobs, train=train, val=val, classes=CLASSES)
    # Training pictures with and without views, and the validation pictures of each.
    assert sorted(asked) == [0, 0, 0, 2]


def test_a_job_that_fails_says_why_and_the_others_go_on() -> None:
    train, val = train_and_val()
    good = HeadJob(recipe=head_recipe({"hidden": [4]}, epochs=2), seed=0)
    wild = HeadJob(recipe=head_recipe({"hidden": [4]}, optimizer="sgd", learning_rate=1e30, epochs=4), seed=0)
    absent = HeadJob(recipe=head_recipe(weights="file:nowhere.safetensors"), seed=0)
    first, lost, failed, again = train_heads(
        [good, absent, wild, absent], train=train, val=val, classes=CLASSES
    )
    assert first.error is None
    assert len(first.rows) == 2
    assert failed.error is not None
    assert failed.error.startswith("E_LOSS_NOT_FINITE: the loss became")
    assert (failed.best_epoch, failed.best_value, failed.weights) == (0, None, {})
    assert failed.val_probabilities.shape == (len(val), 3)
    assert np.isnan(failed.val_probabilities).all()
    assert lost.error == again.error
    assert lost.error is not None
    assert "nowhere.safetensors" in lost.error


def test_what_is_more_than_a_head_is_refused() -> None:
    train, val = train_and_val()
    with pytest.raises(RecipeError, match="more than a head.*finetune.epochs=3"):
        train_heads([HeadJob(recipe=small_recipe(), seed=0)], train=train, val=val, classes=CLASSES)


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = train_and_val()
    jobs = [
        HeadJob(recipe=head_recipe({"hidden": [5], "dropout": 0.3}, learning_rate=rate), seed=0)
        for rate in (1e-3, 1e-2, 3e-2)
    ]
    before = torch.get_num_threads()
    values = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found = train_heads(jobs, train=train, val=val, classes=CLASSES)
            values.append([one.best_value for one in found])
    finally:
        torch.set_num_threads(before)
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_who_learns_together_does_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = train_and_val()
    jobs = [
        HeadJob(recipe=head_recipe({"hidden": [3]}, learning_rate=rate, epochs=1), seed=0)
        for rate in np.linspace(1e-3, 1e-2, 9)
    ]
    companies: list[list[float]] = []
    alone = heads.train_stack

    def spy(given: Any, stages: Any, lesson: Any) -> Any:
        companies.append([stage.learning_rate for stage in stages])
        return alone(given, stages, lesson)

    monkeypatch.setattr(heads, "train_stack", spy)
    before = torch.get_num_threads()
    seen = []
    try:
        for threads in (1, 6):
            torch.set_num_threads(threads)
            companies.clear()
            train_heads(jobs, train=train, val=val, classes=CLASSES)
            seen.append(sorted(companies))
    finally:
        torch.set_num_threads(before)
    assert seen[0] == seen[1]
    assert [len(company) for company in seen[0]].count(9) == 0


def test_stacks_fit_the_cache_and_leave_a_few_cores_busy() -> None:
    head = torch.nn.Sequential(torch.nn.Linear(1000, 100))
    recipe = head_recipe()
    lesson: Any = type("Lesson", (), {"sampler": range(50), "batch": 8, "spec": recipe.model.head})()
    stack = heads._Stack(places=list(range(40)), heads=[head] * 40, lesson=lesson, recipes=[recipe] * 40)
    # 400 kB a head: 13 fit into 5 MiB.
    sized = heads._sized([stack])
    assert sorted(len(one.places) for one in sized) == [10, 10, 10, 10]
    assert sorted(place for one in sized for place in one.places) == list(range(40))
    small = stack.split(20)[0]
    assert sorted(len(one.places) for one in heads._sized([small])) == [1, 1]
