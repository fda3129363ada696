"""Two classifiers in a row, joined to one set of probabilities.

The first tells a node of the label hierarchy (such as ``infected``) from the classes outside it, the second tells the
node's children apart (such as ``covid`` and ``pneumonia``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn

from pulmoscope.models.network import Classifier, build_classifier
from pulmoscope.models.spec import ModelSpec


class CascadeSpec(BaseModel):
    """A cascade's architecture.

    Attributes:
        first: Its classes are those outside the node and, anywhere among them, the node.
        second: Its classes are the node's children.
        node: The hierarchy's name for the children together.
        classes: All that are not the node, in the order of the outputs.
        routing: ``soft`` gives joint probabilities. ``hard`` decides the first stage before it asks the second, as
            system C's report does: classes of the branch not taken get 0, the others their probability within it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: ModelSpec
    second: ModelSpec
    node: str
    classes: tuple[str, ...]
    routing: Literal["soft", "hard"] = "soft"

    @model_validator(mode="after")
    def _check_classes(self) -> CascadeSpec:
        if self.node not in self.first.classes:
            raise ValueError(f"first.classes: expected {self.node!r} among {list(self.first.classes)}")
        leaves = [*self.outside, *self.children]
        if len(set(leaves)) != len(leaves) or self.node in leaves:
            raise ValueError(f"a class stands twice among {[*self.first.classes, *self.second.classes]}")
        if sorted(leaves) != sorted(self.classes):
            raise ValueError(f"classes: expected {leaves} in any order, got {list(self.classes)}")
        if (self.first.channels, self.first.size) != (self.second.channels, self.second.size):
            raise ValueError("both stages see the same pictures: channels and size must be equal")
        return self

    @property
    def outside(self) -> tuple[str, ...]:
        """The classes that the first stage decides alone."""
        return tuple(name for name in self.first.classes if name != self.node)

    @property
    def children(self) -> tuple[str, ...]:
        """The classes below the node."""
        return self.second.classes

    def stage_of(self, name: str) -> tuple[str, int]:
        """The stage that decides a class, ``first`` or ``second``, and the class's place among its outputs."""
        if name in self.children:
            return "second", self.second.classes.index(name)
        return "first", self.first.classes.index(name)


class CascadeClassifier(nn.Module):
    """Pictures to the logarithms of joint probabilities: p(outside), and p(node) * p(child | node).

    Attributes:
        spec: The architecture.
        first: The first stage.
        second: The second stage, asked about every picture.
    """

    def __init__(self, spec: CascadeSpec) -> None:
        super().__init__()
        self.spec = spec
        self.first = Classifier(spec.first)
        self.second = Classifier(spec.second)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (N, C) in the order of ``spec.classes``; their softmax is the probabilities."""
        return self.join(self.first(pictures), self.second(pictures))

    def join(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (N, C) from the logits of both stages, summed as logarithms so that none is lost."""
        spec = self.spec
        above = self.first.log_probabilities(first.float())
        below = self.second.log_probabilities(second.float())
        node = above[:, spec.first.classes.index(spec.node)]
        columns = []
        for name in spec.classes:
            stage, index = spec.stage_of(name)
            columns.append(above[:, index] if stage == "first" else node + below[:, index])
        joint = torch.stack(columns, dim=1)
        if spec.routing == "soft":
            return joint
        inside = torch.tensor([name in spec.children for name in spec.classes], device=joint.device)
        outside = joint.masked_fill(inside, -torch.inf)
        to_node = node > outside.amax(dim=1)
        taken = torch.where(to_node[:, None], inside, ~inside)
        return torch.log_softmax(joint.masked_fill(~taken, -torch.inf), dim=1)

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Logarithms (N, C) of probabilities that sum to 1, from what ``forward`` gave, also averaged over views."""
        return torch.log_softmax(logits, dim=1)


def build_network(spec: ModelSpec | CascadeSpec, *, seed: int) -> Classifier | CascadeClassifier:
    """Build either kind with weights drawn from ``seed``, leaving the global random state as it was."""
    if isinstance(spec, ModelSpec):
        return build_classifier(spec, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CascadeClassifier(spec)


def route(
    probabilities: NDArray[np.floating[Any]],
    cascade: CascadeSpec | tuple[Sequence[str], str, Sequence[str]],
) -> NDArray[np.int64]:
    """System C's hard routing, read from soft probabilities.

    The first stage answers: the class outside with the largest probability, or the node, whose probability is the sum
    of its children's. Pictures that go to the node get its likeliest child. This can differ from the largest of the
    probabilities, where the node wins by several children.

    Args:
        probabilities: (N, C), in [0, 1].
        cascade: The spec, or class names in the order of the columns, the node's name and its children.

    Returns:
        (N,) class indices. A tie between a class outside and the node goes to the class outside.

    Raises:
        ValueError: The children are not among the classes, or are all of them.

    >>> route(np.array([[0.4, 0.3, 0.3]]), (("normal", "covid", "pneumonia"), "infected", ("covid", "pneumonia")))
    array([1])
    """
    if isinstance(cascade, CascadeSpec):
        classes, children = cascade.classes, cascade.children
    else:
        classes, children = tuple(cascade[0]), tuple(cascade[2])
    below = np.array([index for index, name in enumerate(classes) if name in children], np.int64)
    outside = np.array([index for index, name in enumerate(classes) if name not in children], np.int64)
    if len(below) != len(set(children)) or not len(below) or not len(outside):
        raise ValueError(f"expected some of {list(classes)} below the node, got {list(children)}")
    likeliest = outside[probabilities[:, outside].argmax(axis=1)]
    child = below[probabilities[:, below].argmax(axis=1)]
    rows = np.arange(len(probabilities))
    to_node = probabilities[:, below].sum(axis=1) > probabilities[rows, likeliest]
    routed: NDArray[np.int64] = np.where(to_node, child, likeliest)
    return routed
