"""The one inference path: a bundle turned into probabilities. Commands, reports and servers all call it."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pulmoscope.errors import ImageError
from pulmoscope.evaluation import PrevalenceShift
from pulmoscope.imaging import PictureStore, decode
from pulmoscope.inference.compute import (
    Precision,
    bfloat16_pays,
    choose_device,
    forward_precision,
    keep_memory,
)
from pulmoscope.inference.views import VIEWS, apply_view
from pulmoscope.models import Bundle, CascadeClassifier, Classifier

# A bfloat16 pass moves the margin between two classes by about as much as one grey level does: on EfficientNet-lite0
# 0.2 in the mean and 0.85 at most, for logits up to 5. Pictures whose two leading classes are closer than that are run
# again in float32, so that precision does not decide a label.
_CLOSE_ABSOLUTE, _CLOSE_RELATIVE = 0.25, 0.2
# Forward passes of few sizes: every new size costs the CPU library a compilation.
_ROUND_UP = 8


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One picture's answer: probabilities by class name, summing to 1."""

    path: str
    label: str
    probabilities: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"path": self.path, "label": self.label, "probabilities": self.probabilities}


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A picture that could not be read, with the reason in one line."""

    path: str
    error: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"path": self.path, "error": self.error}


class Predictor:
    """Probabilities from a bundle.

    Args:
        bundle: The model.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto`` uses bfloat16 where the hardware has it and float32 for close calls.
        batch: Pictures a forward pass.
        prevalence: Applied last: the bundle's probabilities carried over to a place with other shares of the classes.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        batch: int = 64,
        prevalence: PrevalenceShift | None = None,
    ) -> None:
        self.bundle = bundle
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_memory()
        self.precision: Precision = precision
        self.batch = batch
        self._prevalence = prevalence
        self._network: Classifier | CascadeClassifier = bundle.network().to(  # type: ignore[call-overload]
            self.device, memory_format=torch.channels_last
        )
        self._reduced = precision == "bfloat16" or (precision == "auto" and bfloat16_pays(self.device))

    @property
    def network(self) -> Classifier | CascadeClassifier:
        """The network that answers, in evaluation mode on :attr:`device`; who explains it needs no second one."""
        return self._network

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.bundle.classes

    def probabilities(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities (N, C) of pictures as the store keeps them, (N, S, S) uint8, after the bundle's calibration."""
        parts = [
            self._probabilities(np.ascontiguousarray(pictures[start : start + self.batch]))
            for start in range(0, len(pictures), self.batch)
        ]
        if not parts:
            return np.empty((0, len(self.classes)))
        probabilities: NDArray[np.float64] = torch.cat(parts).numpy()
        for step in (self.bundle.calibration, self._prevalence):
            if step is not None:
                probabilities = step.apply(probabilities)
        return probabilities

    def predict_store(self, store: PictureStore, image_ids: Iterable[str]) -> NDArray[np.float64]:
        """Probabilities (N, C) of pictures in a store, streamed from the disk."""
        rows = store.rows(list(image_ids))
        parts = [
            self.probabilities(np.asarray(store.pixels[rows[start : start + self.batch]]))
            for start in range(0, len(rows), self.batch)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes)))

    def predict(self, image: NDArray[np.float32]) -> dict[str, float]:
        """Probabilities by class of one grey picture (H, W) in [0, 1]."""
        stored = self.bundle.preprocess.to_store(image)
        return self._named(self.probabilities(stored[None])[0])

    def predict_files(
        self, paths: Iterable[str | os.PathLike[str]], *, workers: int | None = None
    ) -> Iterator[Prediction | Unread]:
        """Answer every file in order; those that cannot be read come back as :class:`Unread`.

        Decoding runs in threads a few batches ahead, so memory does not grow with the number of files.
        """
        workers = workers or min(8, os.cpu_count() or 1)
        source = iter(paths)
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[tuple[str, Future[NDArray[np.uint8] | ImageError]]] = deque()

            def fill() -> None:
                for path in itertools.islice(source, max(0, 2 * self.batch - len(waiting))):
                    waiting.append((os.fspath(path), pool.submit(self._prepare, path)))

            fill()
            while waiting:
                chunk = [waiting.popleft() for _ in range(min(self.batch, len(waiting)))]
                answers = [(path, future.result()) for path, future in chunk]
                fill()
                yield from self._answer(answers)

    def _prepare(self, path: str | os.PathLike[str]) -> NDArray[np.uint8] | ImageError:
        try:
            return self.bundle.preprocess.to_store(decode(path).pixels)
        except ImageError as error:
            return error

    def _answer(
        self, prepared: list[tuple[str, NDArray[np.uint8] | ImageError]]
    ) -> Iterator[Prediction | Unread]:
        pictures = [stored for _, stored in prepared if not isinstance(stored, ImageError)]
        found = iter(self.probabilities(np.stack(pictures)) if pictures else ())
        for path, stored in prepared:
            if isinstance(stored, ImageError):
                yield Unread(path=path, error=str(stored))
            else:
                named = self._named(next(found))
                yield Prediction(path=path, label=max(named, key=named.__getitem__), probabilities=named)

    def _named(self, row: NDArray[np.float64]) -> dict[str, float]:
        return {name: float(value) for name, value in zip(self.classes, row, strict=True)}

    @torch.inference_mode()
    def _probabilities(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        probabilities, size = self._forward(pictures, self.precision)
        if self._reduced:
            top = probabilities.clamp_min(1e-300).log().topk(2, dim=1).values
            close = torch.nonzero(top[:, 0] - top[:, 1] < _CLOSE_ABSOLUTE + _CLOSE_RELATIVE * size).flatten()
            if len(close):
                again = np.resize(close.numpy(), -(-len(close) // _ROUND_UP) * _ROUND_UP)
                probabilities[close] = self._forward(pictures[again], "float32")[0][: len(close)]
        return probabilities

    def _forward(
        self, pictures: NDArray[np.uint8], precision: Precision
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities (n, C), averaged over the bundle's views, and the mean size (n,) of the largest logit."""
        batch = torch.from_numpy(pictures).to(self.device)
        prepare = self.bundle.preprocess.to_input
        answers, sizes = [], []
        for index, view in enumerate(VIEWS[: self.bundle.views]):
            varied = apply_view(batch[:, None].float() / 255, view) if index else batch
            inputs = prepare(varied).contiguous(memory_format=torch.channels_last)
            with forward_precision(self.device, precision):
                logits = self._network(inputs)
            logits = logits.double().cpu()
            answers.append(self._network.log_probabilities(logits).exp())
            sizes.append(logits.abs().amax(dim=1))
        return torch.stack(answers).mean(dim=0), torch.stack(sizes).mean(dim=0)


def find_pictures(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Files as given; folders expanded to the files in them, in order of name, hidden ones left out.

    A folder that cannot be read, and a link to a folder (it may lead in a circle), come back themselves, so that
    whoever reads them says so.
    """
    for given in paths:
        path = Path(given)
        if path.is_dir():
            yield from _files_below(path)
        else:
            yield path


def _files_below(path: Path) -> Iterator[Path]:
    unreadable: list[Path] = []
    for folder, folders, files in os.walk(
        path, onerror=lambda error: unreadable.append(Path(error.filename))
    ):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder) / name for name in folders if (Path(folder) / name).is_symlink())
        yield from (Path(folder) / name for name in sorted(files) if not name.startswith("."))
    yield from unreadable
