"""The recipe's losses for many heads that see the same batches, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from pulmoscope.training.losses import BinaryCrossEntropy, CrossEntropy, Focal, Loss, normalised

# As in pulmoscope.training.losses: below it, 1 - p has no digits left in float32.
_TINY = 1.2e-7


class EpochLosses:
    """A loss over the batches of one epoch.

    What depends on the labels alone is computed once an epoch, because every head of a stack sees the same labels.

    Args:
        loss: Of the recipe.
        targets: Class indices in the epoch's order, (L,).
        batches: The steps' places in that order.
    """

    def __init__(self, loss: Loss, targets: torch.Tensor, batches: Sequence[slice]) -> None:
        shares = loss.shares(targets)
        counts = (shares * loss.weight).sum(dim=1)
        scale = torch.cat([counts[here].sum().expand(here.stop - here.start) for here in batches])
        self._loss = loss
        self._sizes = [here.stop - here.start for here in batches]
        self._shares = loss.smoothed(shares).t().contiguous()
        self._weighted = self._shares * loss.weight[:, None] / scale
        self._sums = self._weighted.sum(dim=0)
        self._counts = counts / (scale * shares.shape[1])

    def values(self, logits: torch.Tensor) -> torch.Tensor:
        """The mean loss of each batch, (K, batches), from the logits of the whole epoch, (K, C, L)."""
        each = self._each(logits, slice(None))
        return torch.stack([part.sum(dim=1) for part in torch.split(each, self._sizes, dim=1)], dim=1)

    def gradient(self, logits: torch.Tensor, here: slice) -> torch.Tensor:
        """Of the mean loss over the batch ``here`` by its logits, (K, C, B).

        The usual losses have theirs written out; autograd finds the others.
        """
        loss = self._loss
        softmax, classes = loss.output == "softmax", logits.shape[1]
        if isinstance(loss, CrossEntropy) and softmax:
            return torch.softmax(logits, dim=1).mul_(self._sums[here]).sub_(self._weighted[:, here])
        if isinstance(loss, BinaryCrossEntropy) and (classes == 2 or not softmax):
            against = logits - logits.flip(1) if softmax else logits
            slope = against.sigmoid().sub_(self._shares[:, here]).mul_(self._counts[here])
            return slope - slope.flip(1) if softmax else slope
        with torch.enable_grad():
            free = logits.detach().requires_grad_()
            return torch.autograd.grad(self._each(free, here).sum(), free)[0]

    def _each(self, logits: torch.Tensor, here: slice) -> torch.Tensor:
        """What each picture adds to the mean loss of its batch, (K, B)."""
        loss = self._loss
        if isinstance(loss, BinaryCrossEntropy):
            against = logits if loss.output == "sigmoid" else logits - _rest(logits)
            targets = self._shares[:, here].expand_as(against)
            each = functional.binary_cross_entropy_with_logits(against, targets, reduction="none")
            return each.sum(dim=1) * self._counts[here]
        log_p = functional.log_softmax(normalised(logits, loss.output), dim=1)
        if isinstance(loss, Focal):
            log_p = (-torch.expm1(log_p)).clamp(min=_TINY) ** loss.gamma * log_p
        return -(self._weighted[:, here] * log_p).sum(dim=1)


def _rest(logits: torch.Tensor) -> torch.Tensor:
    """The logsumexp of all other logits, (K, C, B)."""
    own = torch.eye(logits.shape[1], dtype=torch.bool)[None, :, :, None]
    return logits[:, None].masked_fill(own, -torch.inf).logsumexp(dim=2)
