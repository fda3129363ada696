from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pulmoscope.errors import RecipeError
from pulmoscope.training.history import (
    UNKNOWN_SCORES,
    EpochRow,
    best_row,
    improves,
    validation_scores,
    write_history,
)
from pulmoscope.training.parts import TrainPart
from pulmoscope.training.selection import class_metric, column_of
from pulmoscope.training.stopping import ran_out

SELECTS = [
    "val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_macro_auroc",
    "val_sensitivity:covid", "val_specificity:covid", "val_f1:covid", "val_auroc:covid",
]  # fmt: skip


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return np.asarray(torch.log_softmax(torch.from_numpy(logits), dim=1).numpy())


def _row(epoch: int, *, train_loss: float = 0.0, **scores: float) -> EpochRow:
    return EpochRow(
        stage="finetune", epoch=epoch, train_loss=train_loss, train_accuracy=0.5, learning_rate=0.1, seconds=1.0,
        **{**UNKNOWN_SCORES, **scores},
    )  # fmt: skip


def test_validation_scores_agree_with_torch_and_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(50, 3)), generator.choice(3, 50, p=[0.7, 0.2, 0.1])
    weights = np.array([0.5, 1.0, 3.0])
    log_p = _log_softmax(logits)
    scores = validation_scores(log_p, labels, weights)
    loss = torch.nn.CrossEntropyLoss(weight=torch.from_numpy(weights))
    predicted = logits.argmax(axis=1)
    assert scores == pytest.approx(
        {
            "val_loss": float(loss(torch.from_numpy(logits), torch.from_numpy(labels))),
            "val_accuracy": accuracy_score(labels, predicted),
            "val_macro_auroc": np.mean([roc_auc_score(labels == c, log_p[:, c]) for c in range(3)]),
            "val_balanced_accuracy": balanced_accuracy_score(labels, predicted),
            "val_macro_f1": f1_score(labels, predicted, average="macro"),
            "val_selected": float("nan"),
        },
        nan_ok=True,
    )
    assert set(scores) == set(UNKNOWN_SCORES)


def test_the_metrics_of_one_class_agree_with_scikit_learn() -> None:
    from sklearn.metrics import f1_score, recall_score, roc_auc_score

    generator = np.random.default_rng(2)
    logits, labels = generator.normal(size=(60, 3)), generator.choice(3, 60)
    log_p, predicted = _log_softmax(logits), logits.argmax(axis=1)
    names = ["normal", "pneumonia", "covid"]
    expected = {
        "val_sensitivity": recall_score(labels == 2, predicted == 2),
        "val_specificity": recall_score(labels != 2, predicted != 2),
        "val_f1": f1_score(labels == 2, predicted == 2),
        "val_auroc": roc_auc_score(labels == 2, log_p[:, 2]),
    }
    assert len(set(expected.values())) == 4
    for metric, value in expected.items():
        selected = class_metric(f"{metric}:covid", names)
        scores = validation_scores(log_p, labels, np.ones(3), selected)
        assert scores["val_selected"] == pytest.approx(value), metric
        without = validation_scores(log_p[labels != 2], labels[labels != 2], np.ones(3), selected)
        assert np.isnan(without["val_selected"]) == (metric in {"val_sensitivity", "val_auroc"})
    assert class_metric("val_loss", names) is None
    with pytest.raises(RecipeError, match="got val_f1:covit; remedy: did you mean val_f1:covid"):
        class_metric("val_f1:covit", names)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("val_los", "did you mean val_loss"),
        ("val_sensitivty:covid", "did you mean val_sensitivity:covid"),
        ("val_f1", "did you mean val_f1:CLASS"),
        ("val_auroc:", "did you mean val_auroc:CLASS"),
        ("val_accuracy:covid", "expected one of"),
    ],
)
def test_a_metric_that_there_is_not_is_named(wrong: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        TrainPart(select=wrong)


def test_a_class_without_validation_pictures_is_left_out_of_the_means() -> None:
    from sklearn.metrics import balanced_accuracy_score

    logits = np.array([[2.0, 0, -1], [1, 0, 0], [0, 1, 0], [3, 0, 0]])
    labels = np.array([0, 0, 1, 1])
    scores = validation_scores(_log_softmax(logits), labels, np.ones(3))
    assert scores["val_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)))
    assert scores["val_macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert not np.isnan(scores["val_macro_auroc"])
    alone = validation_scores(_log_softmax(logits[:2]), labels[:2], np.ones(3))
    assert np.isnan(alone["val_macro_auroc"])
    assert alone["val_balanced_accuracy"] == 1
    broken = validation_scores(np.full((2, 3), np.nan), labels[:2], np.ones(3))
    assert all(np.isnan(value) for value in broken.values())


@pytest.mark.parametrize("select", SELECTS)
def test_what_is_better_for_every_metric_that_can_be_selected(select: str) -> None:
    assert TrainPart(select=select).select == select
    better, worse = (0.2, 0.3) if select == "val_loss" else (0.3, 0.2)
    assert improves(select, better, worse)
    assert not improves(select, worse, better)
    assert not improves(select, better, better)
    assert improves(select, worse, None)
    assert not improves(select, float("nan"), None)
    column = column_of(select)
    rows = [_row(1), _row(2, **{column: worse}), _row(3, **{column: better}), _row(4, **{column: better})]
    assert best_row(rows, select) == rows[2]
    assert best_row(rows[:1], select) is None
    assert not ran_out(rows[:3], stop="select", select=select, patience=1)
    assert ran_out(rows, stop="select", select=select, patience=1)
    assert ran_out(rows[:3], stop="select", select=select, patience=3, bar=better)


def test_an_old_history_has_no_new_columns_and_still_reads(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [_row(1, val_loss=0.5)])
    table = pd.read_csv(tmp_path / "history.csv")
    last = ["val_balanced_accuracy", "val_macro_f1", "plain_train_loss", "val_selected"]
    assert table.columns[-4:].tolist() == last
    old = {
        "stage": "head", "epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "train_accuracy": 0.5, "val_accuracy": 0.5,
        "val_macro_auroc": 0.5, "learning_rate": 0.1, "seconds": 1.0,
    }  # fmt: skip
    assert all(np.isnan(getattr(EpochRow(**old), name)) for name in last)


def _stops_after(rows: list[EpochRow], **options: object) -> int | None:
    for count in range(1, len(rows) + 1):
        if ran_out(rows[:count], **options):  # type: ignore[arg-type]
            return count
    return None


def test_patience_waits_for_the_metric_that_it_is_told_to() -> None:
    losses = [0.9, 0.8, 0.85, 0.84, 0.83, 0.82]
    accuracies = [0.5, 0.5, 0.6, 0.7, 0.7, 0.7]
    rows = [
        _row(i, val_loss=a, val_accuracy=b)
        for i, (a, b) in enumerate(zip(losses, accuracies, strict=True), 1)
    ]
    assert _stops_after(rows, stop="select", select="val_loss", patience=2) == 4
    assert _stops_after(rows, stop="val_loss", select="val_accuracy", patience=3) == 5
    assert _stops_after(rows, stop="select", select="val_accuracy", patience=2) == 6
    # A bar that is never reached: patience counts from the start; it is of the selected metric alone.
    assert _stops_after(rows, stop="select", select="val_accuracy", patience=2, bar=0.9) == 2
    assert _stops_after(rows, stop="val_loss", select="val_accuracy", patience=3, bar=0.9) == 5


def test_the_gap_stops_when_it_keeps_growing_and_never_because_it_shrinks() -> None:
    def rows(gaps: list[float]) -> list[EpochRow]:
        # The loss while learning, of changed pictures, falls all the time: it must not matter.
        return [
            _row(i, train_loss=9.0 - i, val_loss=1.0 + gap, plain_train_loss=1.0)
            for i, gap in enumerate(gaps, 1)
        ]

    growing = rows([0.1, 0.2, 0.3, 0.4])
    assert _stops_after(growing, stop="gap", select="val_loss", patience=2) == 3
    shrinking = rows([0.5, 0.4, 0.3, 0.2, 0.1, 0.0, -0.1, -0.2])
    assert _stops_after(shrinking, stop="gap", select="val_loss", patience=1) is None
    steady = rows([0.25] * 8)
    assert _stops_after(steady, stop="gap", select="val_loss", patience=1) is None
    back_in_time = rows([0.25, 0.5, 0.25, 0.5, 0.375])
    assert _stops_after(back_in_time, stop="gap", select="val_loss", patience=2) == 5
    # Validation pictures that are easier than those of the training: nothing is overfitted.
    easier = rows([-0.5, -0.375, -0.25, -0.125, 0.0, 0.125, 0.25])
    assert _stops_after(easier, stop="gap", select="val_loss", patience=2) == 7
