"""What dropout keeps, drawn once an epoch for all stacks that see the same pictures in batches of other sizes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch

# Of all epochs that are kept for stacks to come; drawing takes as long as a tenth of the training.
_MOST_BYTES = 256 * 2**20

Masks = Callable[[int], list[torch.Tensor]]


class DropoutDraws:
    """Masks as ``nn.Dropout`` of the lone head draws them: layer after layer, step after step, one stream an epoch.

    Where the batches end makes no difference to the stream, so stacks of other batch sizes can use what the first drew.
    Epochs are kept as long as they fit in 256 MiB; later ones are drawn each time. Stacks may ask from several threads.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, float, int], torch.Tensor] = {}

    def epoch(self, seed: int, probability: float, pictures: int, widths: Sequence[int]) -> Masks:
        """The masks of an epoch.

        Args:
            seed: Of its stream.
            probability: Of being dropped; 0 for none.
            pictures: Shown in the epoch.
            widths: Of the inputs of all layers.

        Returns:
            What gives the masks of the next step from its number of pictures: what to multiply each layer's input by,
            (rows, width) each; none without dropout. The steps' pictures must add up to ``pictures``.
        """
        if not probability:
            return lambda _: []
        if not is_one_stream():
            generator = torch.Generator().manual_seed(seed)
            return lambda rows: [
                _scaled(_draw(rows * width, probability, generator), rows, probability) for width in widths
            ]
        places = self._places(seed, probability, pictures * sum(widths))
        used = 0

        def masks(rows: int) -> list[torch.Tensor]:
            nonlocal used
            found = []
            for width in widths:
                found.append(_scaled(places[used : used + rows * width], rows, probability))
                used += rows * width
            return found

        return masks

    def _places(self, seed: int, probability: float, count: int) -> torch.Tensor:
        key = seed, probability, count
        found = self._kept.get(key)
        if found is None:
            found = _draw(count, probability, torch.Generator().manual_seed(seed))
            if sum(one.nbytes for one in list(self._kept.values())) + found.nbytes <= _MOST_BYTES:
                self._kept[key] = found
        return found


@functools.cache
def is_one_stream() -> bool:
    """Whether drawing in two goes gives what drawing in one does.

    It does where torch draws by its own generator; where it draws by MKL's, each call begins a stream of its own.
    """
    whole = _draw(2000, 0.5, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    return torch.equal(torch.cat([_draw(500, 0.5, generator), _draw(1500, 0.5, generator)]), whole)


def _draw(count: int, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Which places stay."""
    return torch.empty(count, dtype=torch.bool).bernoulli_(1 - probability, generator=generator)


def _scaled(places: torch.Tensor, rows: int, probability: float) -> torch.Tensor:
    return places.view(rows, -1).to(torch.float32).div_(1 - probability)
