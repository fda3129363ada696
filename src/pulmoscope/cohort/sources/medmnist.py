"""MedMNIST archives (Yang et al. 2023): ``NAME.npz`` with ``train|val|test_images`` and ``_labels``."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from pulmoscope.cohort.dropped import concat
from pulmoscope.cohort.sources.base import SourceRows
from pulmoscope.cohort.table import SPLITS
from pulmoscope.errors import CohortError

#: Label names of the radiograph sets, in the order of their numbers.
LABELS = {
    "pneumoniamnist": ("normal", "pneumonia"),
    "chestmnist": (
        *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia"),
        *("Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
    ),
}
_MAX_LABEL_BYTES = 1 << 30


class MedMnistSource:
    """Adapter for one MedMNIST archive, given itself or as the only one in its folder."""

    kind = "medmnist"

    def sniff(self, path: Path) -> bool:
        """Say whether ``path`` is an .npz file, or a folder with one and nothing else to read."""
        return _archive(path) is not None

    def read(self, name: str, path: Path) -> SourceRows:
        """Read labels and split; a picture's path is ``FILE.npz::ARRAY::INDEX``.

        Sets with several labels a picture get findings joined by "|", "No Finding" where all are 0.
        Patient ids are not published with MedMNIST.

        Args:
            name: The source's name.
            path: The archive or its folder.
        """
        file = _archive(path)
        if file is None:
            raise CohortError(f"source {name!r}: there is no single .npz archive at {path}")
        kind = next((known for known in LABELS if file.stem.casefold().startswith(known)), None)
        names = LABELS.get(kind or "")
        frames = []
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                for split in SPLITS:
                    if f"{split}_images" in archive.files:
                        frames.append(_part(name, file, archive, split, names))
        except (
            MemoryError,
            zipfile.BadZipFile,
            zlib.error,
            ValueError,
            LookupError,
            EOFError,
            OSError,
            RuntimeError,  # zipfile on an encrypted member or an unknown compression
            AttributeError,
            TypeError,
        ) as error:
            raise CohortError(
                f"{file} is not a MedMNIST archive: {error}",
                expected="train_images, train_labels, val_images, val_labels, test_images, test_labels",
            ) from error
        if not frames:
            raise CohortError(
                f"{file} holds no pictures", expected="train_images and train_labels, val_..., test_..."
            )
        notes = ["no patient ids are published for MedMNIST"]
        if names is None:
            notes.append(f"{file.stem} is not a set with known label names: labels are their numbers")
        return SourceRows(
            frame=pd.concat(frames, ignore_index=True), dropped=concat([]), notes=notes, kind=self.kind
        )


def _archive(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() == ".npz" else None
    archives = sorted(path.glob("*.npz")) if path.is_dir() else []
    return archives[0] if len(archives) == 1 else None


def _part(
    name: str, file: Path, archive: np.lib.npyio.NpzFile, split: str, names: tuple[str, ...] | None
) -> pd.DataFrame:
    shape = _shape(file, f"{split}_images")
    if len(shape) not in {3, 4}:
        raise ValueError(f"{split}_images has the shape {shape}, not (N, H, W) or (N, H, W, 3)")
    labels_size = int(np.prod(_shape(file, f"{split}_labels")))
    if labels_size > _MAX_LABEL_BYTES:
        raise ValueError(f"{split}_labels claims {labels_size} entries")
    labels = archive[f"{split}_labels"]
    if labels.ndim == 1:
        labels = labels[:, None]
    if len(labels) != shape[0]:
        raise ValueError(f"{shape[0]} {split} pictures but {len(labels)} labels")
    label = _one_of_many(labels, names) if labels.shape[1] == 1 else _several(labels, names)
    index = pd.Series(np.arange(shape[0]).astype(str), dtype="str")
    where = f"{file.absolute()}::{split}_images::"
    return pd.DataFrame(
        {
            "image_id": f"{name}/{split}_images::" + index,
            "path": where + index,
            "label": label,
            "finding": label,
            "split": split,
            "width": shape[2],
            "height": shape[1],
            "licence": "CC BY 4.0",
        }
    )


def _shape(file: Path, array: str) -> tuple[int, ...]:
    """Read an array's shape from its header, without its pixels."""
    with zipfile.ZipFile(file) as members, members.open(f"{array}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape: tuple[int, ...] = read(stream)[0]
    return shape


def _one_of_many(labels: np.ndarray, names: tuple[str, ...] | None) -> pd.Series:
    numbers = labels[:, 0].astype(np.int64)
    if names is None or numbers.min(initial=0) < 0 or numbers.max(initial=0) >= len(names):
        return pd.Series(numbers.astype(str), dtype="str")
    return pd.Series(np.asarray(names, dtype=object)[numbers], dtype="str")


def _several(labels: np.ndarray, names: tuple[str, ...] | None) -> pd.Series:
    texts = names if names is not None and len(names) == labels.shape[1] else map(str, range(labels.shape[1]))
    columns = np.asarray(list(texts), dtype=object)
    patterns, code = np.unique(labels > 0, axis=0, return_inverse=True)
    joined = ["|".join(columns[pattern]) or "No Finding" for pattern in patterns]
    return pd.Series(np.asarray(joined, dtype=object)[code.reshape(-1)], dtype="str")
