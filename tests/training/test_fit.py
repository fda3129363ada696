"""Whole trainings on pictures in memory, stopped, poisoned and starved."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import in_memory
from pulmoscope import files
from pulmoscope.errors import CohortError, RecipeError, TrainingError
from pulmoscope.imaging import Augment
from pulmoscope.training import Fitted, Recipe, fit
from pulmoscope.training import features as features_module
from pulmoscope.training.batches import Batch, Examples
from pulmoscope.training.failures import one_line
from pulmoscope.training.finetune import Finetune
from pulmoscope.training.parts import FinetuneStage, TrainPart, check_mixing


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(tmp_path / "cache"))


def _fit(folder: Path, recipe: Recipe, parts: tuple[Examples, Examples] | None = None) -> Fitted:
    train, val = parts or in_memory.train_and_val()
    return fit(
        recipe,
        train=train,
        val=val,
        classes=in_memory.CLASSES[: len(set(train.labels))],
        folder=folder,
        seed=3,
    )


def _state(fitted: Fitted) -> dict[str, torch.Tensor]:
    return fitted.network.state_dict()


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def _die_in(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, count: int) -> None:
    real: Callable[..., Any] = getattr(owner, name)
    left = [count]

    def counted(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, counted)


EVERYTHING = {
    "loss": "focal",
    "sampling": "over",
    "expand": 2,
    "augment_only": "minority",
    "refit": True,
    "select": "val_auroc:covid",
    "stop": "gap",
    "finetune": {
        "epochs": 4, "optimizer": "rmsprop", "learning_rate": 0.03, "schedule": "plateau", "plateau_patience": 1,
        "factor": 0.5, "warmup": 0.0, "l1": 1e-4, "backbone_rate": 0.5, "frozen": 0.4, "ema": 0.0,
    },
}  # fmt: skip


def test_a_killed_run_of_everything_at_once_resumes_to_the_same_weights(tmp_path: Path) -> None:
    recipe = in_memory.small_recipe(**EVERYTHING)
    whole = _fit(tmp_path / "whole", recipe)
    rates = [row.learning_rate for row in whole.rows if row.stage == "finetune"]
    assert len(set(rates)) > 1, "the plateau was never reached: choose other numbers"
    refit_history = pd.read_csv(tmp_path / "whole" / "refit" / "history.csv")
    refit_rates = refit_history.loc[refit_history["stage"] == "finetune", "learning_rate"].tolist()
    assert refit_rates == pytest.approx(rates[: whole.chosen["epoch"]])
    deaths = 0
    for owner, name, count in (
        (Finetune, "training_step", 14),
        (files.os, "fsync", 3),
        (files.os, "replace", 1),
        (Finetune, "training_step", 30),
        (files.os, "fsync", 4),
    ):
        with pytest.MonkeyPatch.context() as patch:
            _die_in(patch, owner, name, count)
            try:
                _fit(tmp_path / "broken", recipe)
            except Killed:
                deaths += 1
    assert deaths == 5
    broken = _fit(tmp_path / "broken", recipe)
    assert _same(_state(whole), _state(broken))
    assert whole.selected is not None
    assert broken.selected is not None
    assert _same(whole.selected.state_dict(), broken.selected.state_dict())
    assert whole.chosen == broken.chosen
    strip = [[{**row.__dict__, "seconds": 0} for row in one.rows] for one in (whole, broken)]
    np.testing.assert_equal(*strip)
    # Finished, it only reads.
    with pytest.MonkeyPatch.context() as patch:
        _die_in(patch, Finetune, "training_step", 1)
        assert _same(_state(_fit(tmp_path / "broken", recipe)), _state(whole))


def test_a_refit_learns_from_all_pictures_for_the_chosen_epochs(tmp_path: Path) -> None:
    plain = _fit(tmp_path / "plain", in_memory.small_recipe())
    assert plain.selected is None
    refitted = _fit(tmp_path / "refit", in_memory.small_recipe(refit=True))
    assert refitted.selected is not None
    assert _same(refitted.selected.state_dict(), _state(plain))
    assert not _same(_state(refitted), _state(plain))
    assert refitted.pictures == 39 == plain.pictures + 12
    strip = [[row.__dict__ | {"seconds": 0} for row in one.rows] for one in (refitted, plain)]
    np.testing.assert_equal(*strip)
    chosen = refitted.chosen
    assert chosen["stage"] == "finetune"
    assert chosen["refit"] == {"pictures": 39, "epochs": {"head": 2, "finetune": chosen["epoch"]}}
    train, val = in_memory.train_and_val()
    by_hand = _fit(
        tmp_path / "by-hand",
        in_memory.small_recipe(head={"patience": 99}, finetune={"patience": 99}),
        (train.joined(val), val),
    )
    # The last of the planned epochs was the chosen one: the refit is the training on everything.
    assert chosen["epoch"] == len(by_hand.rows) - 2 == 3
    last = torch.load(tmp_path / "refit" / "refit" / "checkpoints" / "last.ckpt", weights_only=True)[
        "state_dict"
    ]
    same = torch.load(tmp_path / "by-hand" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    names = [name for name in same if name.startswith("averaged.module.")]
    assert names
    for name in names:
        assert torch.equal(last[name], same[name]), name
        assert torch.equal(last[name], _state(refitted)[name.removeprefix("averaged.module.")])


def test_a_refit_of_the_head_alone_does_not_fine_tune(tmp_path: Path) -> None:
    fitted = _fit(tmp_path, in_memory.small_recipe(refit=True, finetune={"epochs": 0}))
    assert fitted.chosen["refit"] == {
        "pictures": 39,
        "epochs": {"head": fitted.chosen["epoch"], "finetune": 0},
    }
    assert not (tmp_path / "refit" / "checkpoints" / "last.ckpt").exists()
    assert fitted.selected is not None
    assert not _same(_state(fitted), fitted.selected.state_dict())


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_frozen_layers_keep_weights_and_statistics(tmp_path: Path, ema: float) -> None:
    recipe = in_memory.small_recipe(
        head={"epochs": 0}, finetune={"frozen": 0.5, "ema": ema, "epochs": 2}, select="val_accuracy"
    )
    starts: list[dict[str, torch.Tensor]] = []
    configure = Finetune.configure_optimizers

    def remember(self: Finetune) -> Any:
        starts.append({name: value.clone() for name, value in self.network.state_dict().items()})
        return configure(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Finetune, "configure_optimizers", remember)
        fitted = _fit(tmp_path, recipe)
    changed = {name for name, value in _state(fitted).items() if not torch.equal(value, starts[0][name])}
    first = {name for name in starts[0] if name.startswith("backbone.blocks.0")}
    assert any("running_mean" in name for name in first)
    assert not changed & first
    assert {name for name in changed if name.startswith("backbone.blocks.1") and "running_mean" in name}
    assert all(parameter.requires_grad for parameter in fitted.network.parameters())


@pytest.mark.parametrize("field", ["augment_only", "expand"])
@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_mixing_and_pictures_that_must_stay_plain_are_refused(field: str, mixing: str) -> None:
    train = TrainPart.model_validate({field: 2 if field == "expand" else ["covid"]})
    with pytest.raises(ValueError, match=rf"augment\.{mixing} and train\.{field} do not go together"):
        check_mixing(Augment.model_validate({mixing: 0.5}), train)
    check_mixing(Augment(rotate=5), train)
    check_mixing(Augment.model_validate({mixing: 0.5}), TrainPart())


@pytest.mark.parametrize(("empty", "remedy"), [("training", "--split"), ("validation", "--val-from-train")])
def test_an_empty_part_is_one_line_with_the_remedy(tmp_path: Path, empty: str, remedy: str) -> None:
    full = in_memory.train_and_val()
    none = full[0].part(np.empty(0, np.int64))
    parts = (none, full[1]) if empty == "training" else (full[0], none)
    with pytest.raises(
        CohortError, match=f"E_EMPTY_PART: the {empty} part has no picture of normal.*{remedy}"
    ):
        fit(
            in_memory.small_recipe(),
            train=parts[0],
            val=parts[1],
            classes=in_memory.CLASSES,
            folder=tmp_path,
            seed=3,
        )


def _relabelled(part: Examples, seed: int) -> Examples:
    return replace(part, labels=np.random.default_rng(seed).permutation(part.labels))


def test_the_gap_lets_learning_go_on_and_ends_memorising(tmp_path: Path) -> None:
    stages = {stage: {"epochs": 10, "patience": 3} for stage in ("head", "finetune")}
    learning = in_memory.small_recipe(stop="gap", **stages)
    fitted = _fit(tmp_path / "learning", learning, in_memory.train_and_val((60, 60, 60), (60, 60, 60)))
    for stage in ("head", "finetune"):
        rows = [row for row in fitted.rows if row.stage == stage]
        assert len(rows) == 10, stage
    assert fitted.rows[-1].val_loss < 0.1
    train, val = in_memory.train_and_val((14, 14, 14), (14, 14, 14))
    memorising = in_memory.small_recipe(
        stop="gap",
        recipe={"augment": {}},
        head={"epochs": 0},
        finetune={"epochs": 40, "patience": 3, "learning_rate": 0.02},
    )
    rows = _fit(tmp_path / "noise", memorising, (_relabelled(train, 1), _relabelled(val, 2))).rows
    assert len(rows) < 12
    gaps = [row.val_loss - row.plain_train_loss for row in rows]
    assert min(gaps[-3:]) > max(0.0, min(gaps[:-3]))


def test_the_plain_loss_is_that_of_the_kept_weights_in_evaluation_mode(tmp_path: Path) -> None:
    train, val = in_memory.train_and_val()
    recipe = in_memory.small_recipe(stop="gap", head={"epochs": 0}, finetune={"epochs": 1})
    fitted = _fit(tmp_path, recipe, (train, val))
    pictures, labels = train.take(np.arange(len(train)))
    counts = torch.bincount(labels)
    loss = torch.nn.CrossEntropyLoss(weight=len(labels) / (3 * counts))
    with torch.inference_mode():
        logits = fitted.network(recipe.preprocess.to_input(pictures))
    assert fitted.rows[0].plain_train_loss == pytest.approx(float(loss(logits, labels)), rel=1e-4)
    plain = _fit(tmp_path / "select", in_memory.small_recipe(head={"epochs": 0}, finetune={"epochs": 1}))
    assert np.isnan(plain.rows[0].plain_train_loss)
    assert _same(_state(plain), _state(fitted))


def test_a_metric_of_one_class_chooses_the_epoch_above_the_heads_bar(tmp_path: Path) -> None:
    recipe = in_memory.small_recipe(select="val_specificity:normal", finetune={"epochs": 4})
    fitted = _fit(tmp_path, recipe)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history.columns[-1] == "val_selected"
    assert history["val_selected"].notna().all()
    by_stage = {stage: rows["val_selected"].tolist() for stage, rows in history.groupby("stage")}
    head, tuned = max(by_stage["head"]), max(by_stage["finetune"])
    stage = "finetune" if tuned > head else "head"
    expected = {
        "stage": stage,
        "epoch": 1 + int(np.argmax(by_stage[stage])),
        "metric": "val_specificity:normal",
    }
    assert {name: fitted.chosen[name] for name in expected} == expected
    assert fitted.chosen["value"] == max(head, tuned)
    with pytest.raises(RecipeError, match="did you mean val_f1:covid"):
        _fit(tmp_path / "wrong", in_memory.small_recipe(select="val_f1:covit"))


def test_a_limit_and_sampling_reach_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Batch] = []
    step = Finetune.training_step

    def spy(self: Finetune, batch: Batch, batch_idx: int) -> torch.Tensor:
        seen.append(batch)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Finetune, "training_step", spy)
    fitted = _fit(tmp_path, in_memory.small_recipe(limit=12, sampling="under", finetune={"epochs": 2}))
    assert fitted.pictures == 12
    labels = torch.cat([batch.labels for batch in seen])
    # 14, 8 and 5 pictures: 12 by class shares are 6, 4 and 2.
    assert torch.bincount(labels).tolist() == [4, 4, 4]
    assert len({int(at) for batch in seen for at in batch.positions}) <= 12


def test_only_pictures_that_may_change_are_augmented_and_mixing_reaches_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulmoscope.training import finetune

    calls: list[tuple[torch.Tensor | None, torch.Tensor]] = []
    targets: list[torch.Tensor] = []
    real, mixed = finetune.augment, finetune.mix

    def spy(
        batch: torch.Tensor, recipe: Augment, generator: torch.Generator, only: torch.Tensor | None = None
    ) -> Any:
        after = real(batch, recipe, generator, only=only)
        calls.append((only, (after != batch).flatten(1).any(dim=1)))
        return after

    def spy_mix(*arguments: Any) -> Any:
        pictures, found = mixed(*arguments)
        targets.append(found)
        return pictures, found

    monkeypatch.setattr(finetune, "augment", spy)
    monkeypatch.setattr(finetune, "mix", spy_mix)
    recipe = in_memory.small_recipe(
        augment_only=["covid"], recipe={"augment": {"rotate": 20}}, finetune={"epochs": 1}
    )
    _fit(tmp_path / "only", recipe)
    for only, changed in calls:
        assert only is not None
        assert torch.equal(only, changed)
    assert sum(int(changed.sum()) for _, changed in calls) == 5
    assert not targets
    _fit(
        tmp_path / "mixed", in_memory.small_recipe(recipe={"augment": {"mixup": 0.5}}, finetune={"epochs": 1})
    )
    assert any(((one > 0) & (one < 1)).any() for one in targets)
    with pytest.raises(RecipeError, match="did you mean covid"):
        _fit(tmp_path / "wrong", in_memory.small_recipe(augment_only=["covit"]))


def test_nan_in_epoch_2_leaves_the_best_weights_of_epoch_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = in_memory.small_recipe(head={"epochs": 0})
    step = Finetune.training_step

    def poisoned(self: Finetune, batch: Batch, batch_idx: int) -> torch.Tensor:
        if batch.epoch == 2 and batch.index == 1:
            batch.pictures.zero_()
            with torch.no_grad():
                self.network.head[1].bias.fill_(float("inf"))
        return step(self, batch, batch_idx)

    one_epoch = _fit(tmp_path / "one", in_memory.small_recipe(head={"epochs": 0}))  # the same first epoch
    monkeypatch.setattr(Finetune, "training_step", poisoned)
    with pytest.raises(TrainingError, match=r"E_LOSS_NOT_FINITE.*epoch 2, batch 2, .*positions \d+, \d+"):
        _fit(tmp_path / "run", recipe)
    best = load_file(tmp_path / "run" / "checkpoints" / "best.safetensors")
    one_epoch.network.load_state_dict(best, strict=True)
    assert all(torch.isfinite(value).all() for value in best.values())
    monkeypatch.undo()
    monkeypatch.setenv("PULMOSCOPE_CACHE", str(tmp_path / "cache"))
    resumed = _fit(tmp_path / "run", recipe)
    assert _same(_state(resumed), _state(_fit(tmp_path / "again", recipe)))


def _starve(error: Exception) -> Callable[..., Any]:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    return fail


NO_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: f"{type(error).__name__}{len(str(error))}")
def test_memory_that_runs_out_is_one_line_in_either_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with (
        pytest.raises(TrainingError, match="E_MEMORY.*train.finetune.batch=8.*half the batch") as found,
        one_line(in_memory.small_recipe(), "finetune"),
    ):
        raise error
    assert "\n" not in str(found.value)
    with (
        pytest.raises(TrainingError, match="E_MEMORY.*while predicting.*predict.views=1.*--resume"),
        one_line(in_memory.small_recipe(), "prediction"),
    ):
        raise error
    monkeypatch.setattr(features_module, "augment", _starve(error))
    with pytest.raises(TrainingError, match="E_MEMORY.*training the head.*preprocess.size=24"):
        _fit(tmp_path, in_memory.small_recipe(head={"views": 1}))


def test_other_errors_pass_and_those_of_other_processes_come_home_as_one_line() -> None:
    recipe = in_memory.small_recipe()
    with pytest.raises(RuntimeError, match="shapes"), one_line(recipe, "finetune"):
        raise RuntimeError("shapes do not fit")
    child = (
        "\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call last):\n  File x\n"
        "pulmoscope.errors.TrainingError: E_LOSS_NOT_FINITE: the loss became nan in epoch 2; remedy: lower it\n"
    )
    with pytest.raises(TrainingError) as found, one_line(recipe, "finetune"):
        raise torch.multiprocessing.ProcessRaisedException(child, 1, 99)
    assert str(found.value) == "E_LOSS_NOT_FINITE: the loss became nan in epoch 2; remedy: lower it"


@pytest.mark.parametrize("loss", ["cross-entropy", "focal", "binary-cross-entropy"])
def test_a_class_missing_from_batches_and_validation_and_batches_of_two(tmp_path: Path, loss: str) -> None:
    """The network's last map is 1 x 1 and batch-normalised: a batch of one picture would be an error."""
    parts = in_memory.train_and_val((3, 1, 1), (2, 1, 0))
    recipe = in_memory.small_recipe(
        loss=loss,
        select="val_macro_f1",
        finetune={"batch": 2, "epochs": 1},
        recipe={
            "preprocess": {"size": 32, "channels": 1},
            "model": {"backbone": "test_efficientnet", "weights": "random", "head": {"output": "sigmoid"}},
        },
    )
    fitted = _fit(tmp_path, recipe, parts)
    assert all(np.isfinite([row.val_loss, row.val_macro_f1, row.train_loss]).all() for row in fitted.rows)


def test_nothing_to_train_is_a_mistake_in_the_recipe() -> None:
    with pytest.raises(RecipeError, match="nothing would be trained"):
        in_memory.small_recipe(head={"epochs": 0}, finetune={"epochs": 0})


def test_an_undefined_metric_chooses_nothing_without_a_head_either(tmp_path: Path) -> None:
    parts = in_memory.train_and_val((5, 4, 3), (3, 0, 0))
    recipe = in_memory.small_recipe(select="val_macro_auroc", head={"epochs": 0}, finetune={"epochs": 1})
    with pytest.raises(TrainingError, match="E_UNDEFINED"):
        _fit(tmp_path, recipe, parts)


def test_a_backbone_rate_of_nearly_nothing_moves_the_head_alone(tmp_path: Path) -> None:
    stage = {"backbone_rate": 1e-9, "weight_decay": 0.0, "epochs": 1, "ema": 0.0}
    assert FinetuneStage(**stage).backbone_rate == 1e-9  # type: ignore[arg-type]
    before: list[torch.Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        configure = Finetune.configure_optimizers

        def remember(self: Finetune) -> Any:
            before.extend(p.detach().clone() for p in self.network.parameters())
            return configure(self)

        patch.setattr(Finetune, "configure_optimizers", remember)
        fitted = _fit(tmp_path, in_memory.small_recipe(head={"epochs": 0}, finetune=stage))
    for (name, after), start in zip(fitted.network.named_parameters(), before, strict=True):
        moved = float((after.detach() - start).abs().max())
        assert (moved > 1e-4) == name.startswith("head"), name
