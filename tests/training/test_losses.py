from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from pulmoscope.errors import RecipeError
from pulmoscope.training.losses import class_weights, training_loss

WEIGHTS = torch.tensor([0.5, 1.0, 3.0])
KINDS = ("cross-entropy", "focal", "binary-cross-entropy")
OUTPUTS = ("softmax", "sigmoid")


def _batch(n: int = 7, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(n, classes, generator=generator), torch.randint(
        0, classes, (n,), generator=generator
    )


def _one_hot(labels: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(labels, 3).float()


def test_balanced_weights_by_hand_and_by_a_second_library() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 6 + [1] * 3 + [2] * 1)
    ours = class_weights("balanced", labels, ["a", "b", "c"]).numpy()
    assert ours == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert ours == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels))
    assert class_weights({"a": 1, "b": 2, "c": 3}, labels, ["a", "b", "c"]).tolist() == [1, 2, 3]
    with pytest.raises(RecipeError, match="every class once.*did you mean covid"):
        class_weights({"covis": 1, "b": 1}, labels, ["covid", "b"])


@pytest.mark.parametrize("smoothing", [0.0, 0.05])
def test_cross_entropy_of_labels_is_torchs_to_the_last_bit(smoothing: float) -> None:
    logits, labels = _batch(64)
    theirs = nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=smoothing)
    assert torch.equal(
        training_loss(WEIGHTS, label_smoothing=smoothing)(logits, labels), theirs(logits, labels)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_label_is_a_share_of_one(kind: str, output: str) -> None:
    logits, labels = _batch()
    loss = training_loss(WEIGHTS, kind=kind, label_smoothing=0.1, output=output)  # type: ignore[arg-type]
    assert float(loss(logits, _one_hot(labels))) == pytest.approx(float(loss(logits, labels)), rel=1e-6)


def test_without_weights_soft_targets_are_torchs() -> None:
    logits, labels = _batch()
    soft = 0.7 * _one_hot(labels) + 0.3 * _one_hot(labels.flip(0))
    ours = training_loss(torch.ones(3), label_smoothing=0.1)(logits, soft)
    theirs = nn.CrossEntropyLoss(label_smoothing=0.1)(logits, soft)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


def test_focal_loss_by_hand() -> None:
    # p of the right class: 0.5 and 0.8; (1 - p)^2 = 0.25 and 0.04.
    logits = torch.tensor([[0.0, 0.0], [math.log(4.0), 0.0]])
    loss = training_loss(torch.tensor([1.0, 3.0]), kind="focal", focal_gamma=2.0)
    expected = (3 * 0.25 * -math.log(0.5) + 1 * 0.04 * -math.log(0.8)) / 4
    assert float(loss(logits, torch.tensor([1, 0]))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_loss_of_two_classes_is_torchvisions(gamma: float) -> None:
    from torchvision.ops import sigmoid_focal_loss

    scores = _batch()[0][:, 0]
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    theirs = sigmoid_focal_loss(scores, labels.float(), alpha=-1, gamma=gamma, reduction="mean")
    logits = torch.stack([torch.zeros_like(scores), scores], dim=1)
    ours = training_loss(torch.ones(2), kind="focal", focal_gamma=gamma)(logits, labels)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_focal_loss_of_gamma_0_is_the_cross_entropy() -> None:
    logits, labels = _batch()
    focal = training_loss(WEIGHTS, kind="focal", focal_gamma=0.0, label_smoothing=0.1)
    assert torch.equal(focal(logits, labels), training_loss(WEIGHTS, label_smoothing=0.1)(logits, labels))
    nearly = training_loss(WEIGHTS, kind="focal", focal_gamma=1e-6)(logits, labels)
    assert float(nearly) == pytest.approx(float(training_loss(WEIGHTS)(logits, labels)), rel=1e-4)


def test_binary_cross_entropy_of_a_sigmoid_by_torch() -> None:
    logits, labels = _batch()
    terms = functional.binary_cross_entropy(
        torch.sigmoid(logits.double()), _one_hot(labels).double(), reduction="none"
    )
    counts = WEIGHTS.double()[labels]
    expected = (terms.mean(dim=1) * counts).sum() / counts.sum()
    loss = training_loss(WEIGHTS, kind="binary-cross-entropy", output="sigmoid")
    assert float(loss(logits, labels)) == pytest.approx(float(expected), rel=1e-5)


def test_binary_cross_entropy_of_a_softmax_is_kerass() -> None:
    """Keras clips the probabilities and averages -y log p - (1 - y) log(1 - p) over the classes."""
    logits, labels = _batch()
    p, y = torch.softmax(logits.double(), dim=1), _one_hot(labels).double()
    expected = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
    loss = training_loss(torch.ones(3), kind="binary-cross-entropy")
    assert float(loss(logits, labels)) == pytest.approx(float(expected), rel=1e-5)
    # Of two classes it is the cross-entropy.
    two, labels = _batch(classes=2)
    ours = training_loss(torch.ones(2), kind="binary-cross-entropy")(two, labels)
    assert float(ours) == pytest.approx(float(functional.cross_entropy(two, labels)), rel=1e-5)


def test_cross_entropy_of_a_sigmoid_head_is_of_its_answer() -> None:
    logits, labels = _batch()
    p = torch.sigmoid(logits.double())
    expected = -(p / p.sum(dim=1, keepdim=True)).log()[torch.arange(7), labels].mean()
    ours = training_loss(torch.ones(3), output="sigmoid")(logits, labels)
    assert float(ours) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_certainty_and_absent_classes_leave_loss_and_gradient_finite(kind: str, output: str) -> None:
    loss = training_loss(WEIGHTS, kind=kind, focal_gamma=0.5, label_smoothing=0.1, output=output)  # type: ignore[arg-type]
    for logits in ([[80.0, -80.0, 0.0]], [[-80.0, 80.0, 0.0]], [[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]]):
        given = torch.tensor(logits, requires_grad=True)
        value = loss(given, torch.zeros(len(logits), dtype=torch.long))  # two classes are absent
        value.backward()
        assert given.grad is not None
        assert torch.isfinite(value)
        assert torch.isfinite(given.grad).all()


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    output=st.sampled_from(OUTPUTS),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_mixing_two_labels_mixes_their_losses(kind: str, output: str, share: float, seed: int) -> None:
    logits = torch.randn(1, 3, generator=torch.Generator().manual_seed(seed)).double()
    loss = training_loss(torch.ones(3).double(), kind=kind, output=output)  # type: ignore[arg-type]
    one, other = (loss(logits, torch.tensor([label])) for label in (0, 2))
    mixed = loss(logits, torch.tensor([[share, 0.0, 1 - share]]).double())
    assert float(mixed) == pytest.approx(float(share * one + (1 - share) * other), rel=1e-6)
