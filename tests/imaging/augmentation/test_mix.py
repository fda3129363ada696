"""Mixup and cutmix: pictures and targets by the same share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from pulmoscope.imaging import Augment, mix


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _levels(count: int, height: int = 20, width: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat pictures, each of its own level, each of its own class."""
    batch = (torch.arange(count) / count).view(-1, 1, 1, 1).expand(-1, 3, height, width).contiguous()
    return batch, torch.eye(count)


def test_nothing_to_mix() -> None:
    batch, targets = _levels(4)
    assert mix(batch, targets, Augment(rotate=5), _generator())[0] is batch
    one = mix(batch[:1], targets[:1], Augment(mixup=1), _generator())
    assert torch.equal(one[0], batch[:1])


@pytest.mark.parametrize("recipe", [Augment(mixup=0.4), Augment(cutmix=1.0), Augment(mixup=1, cutmix=1)])
def test_targets_stay_distributions_and_inputs_stay_as_they_are(recipe: Augment) -> None:
    for seed in range(20):
        batch, targets = _levels(6)
        before = batch.clone(), targets.clone()
        pictures, labels = mix(batch, targets, recipe, _generator(seed))
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(6))
        assert (labels >= 0).all()
        assert torch.equal(batch, before[0])
        assert torch.equal(targets, before[1])
        again = mix(batch, targets, recipe, _generator(seed))
        assert torch.equal(again[0], pictures)
        assert torch.equal(again[1], labels)


def test_mixup_blends_pictures_by_the_targets_share() -> None:
    for seed in range(10):
        batch, targets = _levels(8)
        pictures, labels = mix(batch, targets, Augment(mixup=1.0), _generator(seed))
        expected = (labels @ batch.flatten(1)).view(batch.shape)
        torch.testing.assert_close(pictures, expected)
    # A batch has one share and one permutation.
    assert len({round(float(value), 5) for value in labels.diagonal() if value < 0.99999}) == 1


def test_cutmix_share_is_the_pasted_area_by_counting() -> None:
    pasted = []
    for seed in range(60):
        batch, targets = _levels(8)
        pictures, labels = mix(batch, targets, Augment(cutmix=1.0), _generator(seed))
        for index in range(8):
            own = float((pictures[index, 0] == batch[index, 0]).float().mean())
            partner = int((labels[index] * (1 - torch.eye(8)[index])).argmax())
            assert float(labels[index, index]) == pytest.approx(own, abs=1e-6)
            other = pictures[index][pictures[index] != batch[index]]
            assert (other == batch[partner].max()).all() or not len(other)
        changed = pictures[0, 0] != batch[0, 0]
        if changed.any():
            rows, columns = changed.any(dim=1), changed.any(dim=0)
            assert torch.equal(changed, rows[:, None] & columns[None])  # a rectangle
            assert int(rows.nonzero().max() - rows.nonzero().min()) + 1 == int(rows.sum())
        pasted.append(1 - float(labels.diagonal().min()))
    assert max(pasted) > 0.5
    assert min(pasted) < 0.1


def test_mixup_share_follows_the_beta_distribution() -> None:
    batch, targets = torch.zeros(16, 1, 2, 2), torch.eye(16)
    for alpha in (0.3, 2.0):
        shares = []
        for seed in range(500):
            labels = mix(batch, targets, Augment(mixup=alpha), _generator(seed))[1]
            shares.append(float(labels.diagonal().min()))
        assert stats.kstest(np.asarray(shares), stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_both_take_turns_by_chance() -> None:
    batch, targets = _levels(4)
    recipe = Augment(mixup=1.0, cutmix=1.0)
    blended = 0
    for seed in range(200):
        pictures, _ = mix(batch, targets, recipe, _generator(seed))
        # Cutmix leaves only levels that were there before.
        blended += not bool(torch.isin(pictures, batch).all())
    assert 70 < blended < 130
