"""A stack of heads against the same heads, each alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from pulmoscope.models import HeadSpec
from pulmoscope.models.head import build_head
from pulmoscope.search.stack import Learned, Lesson, train_stack
from pulmoscope.training.head_stage import head_judge, train_head
from pulmoscope.training.history import EpochRow
from pulmoscope.training.losses import training_loss
from pulmoscope.training.parts import HeadStage, TrainPart
from pulmoscope.training.sampling import Sampler, limited
from pulmoscope.training.selection import class_metric

WIDTH = 12
CLASSES = ("normal", "pneumonia", "covid")
OPTIMISERS = ("sgd", "adam", "adamw", "rmsprop")
SCHEDULES = ("constant", "cosine", "one-cycle", "step", "inverse-time", "plateau")


def pictures(counts: Sequence[int], views: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (V + 1, N, F) around a place for each class, and labels."""
    labels = np.repeat(np.arange(len(counts)), counts)
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(views + 1, len(labels), WIDTH))
    return (np.eye(3, WIDTH)[labels] * 1.5 + noise).astype(np.float32), labels


def lesson(
    spec: HeadSpec, batch: int, *, views: int = 0, seed: int = 0, classes: int = 3, **train: Any
) -> Lesson:
    """Of 29 pictures and 20 to validate on."""
    features, labels = pictures((14, 9, 6)[:classes], views)
    val_features, val_labels = pictures((8, 6, 6)[:classes], 0, seed=1)
    part = TrainPart(**train)
    weights = torch.tensor([0.5, 1.0, 2.5])[:classes]
    may = None if part.augment_only is None else np.array([name in part.augment_only for name in CLASSES])
    return Lesson(
        features=features,
        labels=labels,
        spec=spec,
        part=part,
        batch=batch,
        sampler=Sampler(labels=labels, sampling=part.sampling, expand=part.expand, may_change=may),
        loss=training_loss(
            weights,
            kind=part.loss,
            label_smoothing=part.label_smoothing,
            focal_gamma=part.focal_gamma,
            output=spec.output,
        ),
        seed=seed,
        val_features=val_features[0],
        val_labels=val_labels,
        val_weights=weights.double().numpy(),
        selected=class_metric(part.select, CLASSES[:classes]),
        plain=limited(labels, 20, seed=seed) if part.stop == "gap" else None,
    )


def start(shared: Lesson, seed: int = 5) -> nn.Sequential:
    """The same weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_head(WIDTH, len(shared.val_weights), shared.spec)


def log_probabilities(shared: Lesson, logits: torch.Tensor) -> torch.Tensor:
    """As the network would give them."""
    scores = logits if shared.spec.output == "softmax" else functional.logsigmoid(logits)
    return torch.log_softmax(scores, dim=1)


def alone(shared: Lesson, stage: HeadStage) -> tuple[nn.Sequential, list[EpochRow], float | None]:
    """The lone head."""
    head = start(shared)
    judge = head_judge(
        head,
        shared.val_features,
        shared.val_labels,
        shared.val_weights,
        lambda logits: log_probabilities(shared, logits),
        selected=shared.selected,
        plain=None
        if shared.plain is None
        else (shared.features[0][shared.plain], shared.labels[shared.plain]),
    )
    rows, best = train_head(
        head,
        shared.features,
        shared.labels,
        stage=stage,
        loss=shared.loss,
        sampler=shared.sampler,
        seed=shared.seed,
        judge=judge,
        select=shared.part.select,
        stop=shared.part.stop,
    )
    return head, rows, best


def together(shared: Lesson, stages: Sequence[HeadStage]) -> list[Learned]:
    """The stack."""
    return train_stack([start(shared) for _ in stages], stages, shared)


def check(shared: Lesson, stages: Sequence[HeadStage], tolerance: float = 2e-4) -> None:
    """Every head of the stack is the lone one."""
    for stage, one in zip(stages, together(shared, stages), strict=True):
        head, rows, best = alone(shared, stage)
        assert one.error is None
        assert [row.epoch for row in one.rows] == [row.epoch for row in rows], stage
        for mine, lone in zip(one.rows, rows, strict=True):
            for name in ("train_loss", "val_loss", "plain_train_loss", "val_macro_auroc", "learning_rate"):
                assert getattr(mine, name) == pytest.approx(
                    getattr(lone, name), rel=tolerance, abs=tolerance, nan_ok=True
                ), (stage, name, mine.epoch)
            assert mine.train_accuracy == pytest.approx(lone.train_accuracy, abs=1e-9), stage
        assert one.best_value == pytest.approx(best, rel=tolerance, abs=tolerance)
        for name, value in head.state_dict().items():
            torch.testing.assert_close(one.weights[name], value, rtol=tolerance, atol=tolerance)
        with torch.no_grad():
            answers = log_probabilities(
                shared, head.eval()(torch.from_numpy(shared.val_features)).double()
            ).exp()
        np.testing.assert_allclose(one.probabilities, answers.numpy(), atol=tolerance)


def stages(batch: int, **options: Any) -> list[HeadStage]:
    """Optimisers x rates x epochs, with other options in turn."""
    turned = itertools.cycle(
        [dict(zip(options, one, strict=True)) for one in itertools.product(*options.values())]
    )
    return [
        HeadStage(**({"optimizer": o, "learning_rate": rate, "epochs": e, "batch": batch} | next(turned)))
        for o, rate, e in itertools.product(OPTIMISERS, (1e-3, 1e-2), (2, 4))
    ]


@pytest.mark.parametrize("hidden", [(), (8,), (8, 6)])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize(("batch", "views"), [(5, 4), (16, 0)])
def test_a_grid_is_what_each_head_is_alone(
    hidden: tuple[int, ...], batch: int, dropout: float, views: int
) -> None:
    shared = lesson(HeadSpec(hidden=hidden, dropout=dropout), batch, views=views)
    check(shared, stages(batch, schedule=SCHEDULES, plateau_patience=[1], step_epochs=[2], warmup=[0, 0.3]))


@pytest.mark.parametrize("kind", ["cross-entropy", "focal", "binary-cross-entropy"])
@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize(("smoothing", "classes"), [(0.0, 2), (0.1, 3)])
def test_every_loss_and_output(kind: str, output: Any, smoothing: float, classes: int) -> None:
    spec = HeadSpec(hidden=(6,), dropout=0.3, output=output, activation="gelu")
    shared = lesson(spec, 8, views=2, loss=kind, label_smoothing=smoothing, classes=classes)
    check(shared, stages(8)[::3])


@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "elu", "gelu", "silu", "tanh"])
def test_every_activation(activation: Any) -> None:
    check(lesson(HeadSpec(hidden=(6, 5), dropout=0.2, activation=activation), 8), stages(8)[::5])


def test_penalties_momentum_decay_and_clip_are_each_heads_own() -> None:
    options: list[dict[str, Any]] = [
        {"l1": 0.01},
        {"gradient_clip": 0.05},
        {"momentum": 0.0},
        {"momentum": 0.5},
        {"weight_decay": 0.1},
        {"l1": 0.02, "gradient_clip": 0.1, "weight_decay": 0.0},
        {},
    ]
    given = [
        HeadStage(batch=8, epochs=3, learning_rate=0.01, optimizer=optimizer, **one)
        for one in options
        for optimizer in OPTIMISERS
    ]
    check(lesson(HeadSpec(hidden=(6,), dropout=0.0), 8), given)


@pytest.mark.parametrize("stop", ["select", "val_loss", "gap"])
@pytest.mark.parametrize("select", ["val_loss", "val_accuracy", "val_f1:covid"])
def test_each_head_stops_when_its_own_patience_ends(stop: Any, select: str) -> None:
    shared = lesson(HeadSpec(hidden=(6,), dropout=0.5), 8, stop=stop, select=select)
    given = [
        HeadStage(batch=8, epochs=15, learning_rate=rate, patience=patience, optimizer=optimizer)
        for rate in (0.01, 0.05)
        for patience in (1, 3)
        for optimizer in ("sgd", "adam")
    ]
    check(shared, given, tolerance=2e-3)
    assert len({len(one.rows) for one in together(shared, given)}) > 2


@pytest.mark.parametrize("sampling", ["over", "under"])
def test_sampling_and_pictures_that_stay_plain(sampling: Any) -> None:
    check(
        lesson(
            HeadSpec(dropout=0.2),
            7,
            views=3,
            sampling=sampling,
            expand=3,
            augment_only=("pneumonia", "covid"),
        ),
        stages(7)[::4],
    )


def test_a_head_that_diverges_is_named_and_leaves_the_others_alone() -> None:
    shared = lesson(HeadSpec(hidden=(6,), dropout=0.5), 8)
    good = HeadStage(batch=8, epochs=6, optimizer="adam")
    bad = HeadStage(batch=8, epochs=6, optimizer="sgd", learning_rate=1e30)
    first, failed, second = together(shared, [good, bad, good])
    assert failed.error is not None
    assert failed.error.code == "E_LOSS_NOT_FINITE"
    with pytest.raises(type(failed.error)) as caught:
        alone(shared, bad)
    assert str(failed.error) == str(caught.value)
    check(shared, [good])
    for one in (first, second):
        assert one.error is None
        torch.testing.assert_close(one.weights, together(shared, [good])[0].weights, rtol=1e-5, atol=1e-6)


def test_without_a_defined_metric_each_says_so() -> None:
    shared = lesson(HeadSpec(), 8, select="val_auroc:covid")
    object.__setattr__(shared, "val_labels", np.zeros_like(shared.val_labels))
    assert [one.error.code for one in together(shared, stages(8)[:2]) if one.error] == ["E_UNDEFINED"] * 2


# The same examples every time: where a gradient is next to nothing, RMSprop and Adam divide its rounding by itself, and
# two right answers lie a thousandth apart. Drawn at random, such a case comes up now and then.
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_combination(data: st.DataObject) -> None:
    draw = data.draw
    spec = HeadSpec(
        hidden=draw(st.lists(st.integers(1, 9), max_size=3)),
        dropout=draw(st.sampled_from([0.0, 0.1, 0.5, 0.9])),
        activation=draw(st.sampled_from(["relu", "elu", "tanh"])),
        output=draw(st.sampled_from(["softmax", "sigmoid"])),
    )
    batch = draw(st.integers(1, 40))
    shared = lesson(
        spec,
        batch,
        views=draw(st.integers(0, 4)),
        seed=draw(st.integers(0, 5)),
        loss=draw(st.sampled_from(["cross-entropy", "focal", "binary-cross-entropy"])),
        label_smoothing=draw(st.sampled_from([0.0, 0.2])),
        sampling=draw(st.sampled_from(["none", "over", "under"])),
    )
    stage = st.builds(
        HeadStage,
        optimizer=st.sampled_from(OPTIMISERS),
        learning_rate=st.sampled_from([1e-4, 1e-3]),
        weight_decay=st.sampled_from([0.0, 0.01]),
        momentum=st.sampled_from([None, 0.0, 0.5]),
        schedule=st.sampled_from(SCHEDULES),
        gradient_clip=st.sampled_from([0.0, 0.5]),
        l1=st.sampled_from([0.0, 1e-3]),
        epochs=st.integers(1, 3),
        batch=st.just(batch),
    )
    check(shared, draw(st.lists(stage, min_size=1, max_size=4)), tolerance=1e-3)
