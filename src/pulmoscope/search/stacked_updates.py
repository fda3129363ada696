"""The optimisers' steps for a stack of heads, each with its own optimiser, rate and decay."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch

from pulmoscope.search.stacked_network import StackedHeads
from pulmoscope.training.parts import HeadStage

# Torch's defaults, which recipes cannot change.
_BETAS, _ALPHA, _EPS = (0.9, 0.999), 0.99, 1e-8
_SGD_MOMENTUM = 0.9


class StackedUpdates:
    """Optimisers of K heads, as :func:`pulmoscope.training.optimisers.build_optimiser` gives each.

    The weights are too many for the cache, so a step reads and writes each as seldom as can be. Torch's fused kernels
    take Adam's and AdamW's, a head at a time, right after the head's gradient has been written to a place that all
    share. Of plain descent with momentum the gradient's product is added to the momentum as it is computed.

    Args:
        heads: Changed in place.
        stages: One a head.
    """

    def __init__(self, heads: StackedHeads, stages: Sequence[HeadStage]) -> None:
        self._heads = heads
        self._stages = list(stages)
        self._first_gradient = torch.empty_like(heads.first[0])
        self._mean = [torch.zeros_like(heads.first), torch.zeros_like(heads.rest)]
        self._square = [torch.zeros_like(heads.first), torch.zeros_like(heads.rest)]
        self._step = torch.zeros(())
        self._arrange()

    def keep(self, chosen: torch.Tensor) -> None:
        """Go on with the heads at ``chosen`` alone; the stack itself must have been told before."""
        self._stages = [self._stages[at] for at in chosen.tolist()]
        self._mean = [one[chosen] for one in self._mean]
        self._square = [one[chosen] for one in self._square]
        self._arrange()

    def step(self, entry_gradient: torch.Tensor, shown: torch.Tensor, rates: torch.Tensor) -> None:
        """Move every head.

        Args:
            entry_gradient: By the first layers' outputs, (K, H, B); that by the other weights lies in the heads.
            shown: What the heads saw, (B, F).
            rates: The learning rate of each, (K,).
        """
        self._step += 1
        of_each = rates.tolist()
        for begin, end, momentum in self._runs:
            if momentum is not None:
                self._descend(slice(begin, end), momentum, entry_gradient, shown, of_each)
                continue
            for at in range(begin, end):
                torch.mm(entry_gradient[at], shown, out=self._first_gradient)
                self._penalise(at)
                self._move(at, of_each[at])

    def _arrange(self) -> None:
        """Views of every head's tensors, and runs of heads whose gradient goes straight into their momentum."""
        heads = self._heads
        count = range(len(self._stages))
        self._weights = [[heads.first[at], heads.rest[at]] for at in count]
        self._gradients = [[self._first_gradient, heads.rest_gradient[at]] for at in count]
        self._decays = torch.tensor([stage.weight_decay for stage in self._stages])
        self._means = [[one[at] for one in self._mean] for at in count]
        self._squares = [[one[at] for one in self._square] for at in count]
        self._runs = [
            (members[0], members[-1] + 1, momentum)
            for momentum, members in (
                (momentum, list(group))
                for momentum, group in groupby(count, key=lambda at: folded_momentum(self._stages[at]))
            )
        ]

    def _descend(
        self,
        run: slice,
        momentum: float,
        entry_gradient: torch.Tensor,
        shown: torch.Tensor,
        rates: list[float],
    ) -> None:
        """Move the heads of a run, whose momentum is the same."""
        heads, decays = self._heads, self._decays[run]
        self._mean[1][run].mul_(momentum).add_(heads.rest_gradient[run])
        # A head at a time: what its product wrote is still in the cache when its weights move.
        for at in range(run.start, run.stop):
            mean, weight = self._means[at][0], self._weights[at][0]
            torch.addmm(mean, entry_gradient[at], shown, beta=momentum, out=mean)
            if self._stages[at].weight_decay:
                mean.add_(weight, alpha=self._stages[at].weight_decay)
            weight.add_(mean, alpha=-rates[at])
        mean = self._mean[1][run]
        if decays.any():
            mean.addcmul_(heads.rest[run], decays[:, None])
        moved = torch.tensor(rates[run], dtype=mean.dtype)
        heads.rest[run].addcmul_(mean, moved[:, None], value=-1)

    def _penalise(self, at: int) -> None:
        """Add the l1 penalty's gradient and bound the norm, where the head's stage asks for it."""
        stage, (first, rest) = self._stages[at], self._gradients[at]
        if stage.l1:
            first.add_(self._weights[at][0].sign(), alpha=stage.l1)
            rest.add_(self._weights[at][1].sign() * self._heads.matrix, alpha=stage.l1)
        if stage.gradient_clip:
            norm = torch.hypot(torch.linalg.vector_norm(first), torch.linalg.vector_norm(rest))
            # As nn.utils.clip_grad_norm_ has it.
            share = (stage.gradient_clip / (norm + 1e-6)).clamp(max=1.0)
            first.mul_(share)
            rest.mul_(share)

    def _move(self, at: int, rate: float) -> None:
        stage = self._stages[at]
        weights, gradients = self._weights[at], self._gradients[at]
        means, squares = self._means[at], self._squares[at]
        if stage.optimizer in {"adam", "adamw"}:
            kernel = torch._fused_adamw_ if stage.optimizer == "adamw" else torch._fused_adam_
            kernel(
                weights,
                gradients,
                means,
                squares,
                [],
                [self._step, self._step],
                lr=rate,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                weight_decay=stage.weight_decay,
                eps=_EPS,
                amsgrad=False,
                maximize=False,
            )
            return
        momentum = sgd_momentum(stage) if stage.optimizer == "sgd" else stage.momentum or 0.0
        for weight, gradient, mean, square in zip(weights, gradients, means, squares, strict=True):
            if stage.weight_decay:
                gradient.add_(weight, alpha=stage.weight_decay)
            if stage.optimizer == "rmsprop":
                square.mul_(_ALPHA).addcmul_(gradient, gradient, value=1 - _ALPHA)
                gradient.div_(square.sqrt().add_(_EPS))
            if momentum:
                gradient = mean.mul_(momentum).add_(gradient)
            weight.add_(gradient, alpha=-rate)


def sgd_momentum(stage: HeadStage) -> float:
    """The momentum of plain descent."""
    return _SGD_MOMENTUM if stage.momentum is None else stage.momentum


def folded_momentum(stage: HeadStage) -> float | None:
    """The momentum that takes the gradient as it is; None where the gradient must be seen first."""
    if stage.optimizer != "sgd" or stage.l1 or stage.gradient_clip:
        return None
    return sgd_momentum(stage) or None
