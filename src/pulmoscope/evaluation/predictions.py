"""The predictions table: what a model, ours or anybody's, said of each image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pulmoscope.errors import TableError
from pulmoscope.evaluation.reading import read_table
from pulmoscope.evaluation.validation import normalise

if TYPE_CHECKING:
    import pandas as pd


class Predictions:
    """One row an image (and model): true label and the probability of each class, or only the predicted label.

    The table given may hold: ``image_id`` (read as text); ``label``, which may be missing where the truth is unknown;
    one probability column a class, named ``p_<class>`` or as the class, or a column ``prediction`` with hard labels, or
    both (``prediction`` is then what the model decided, whatever the probabilities say); ``split``; ``model``;
    ``group_id``, else ``patient_id``, else each image is its own group. Other columns are left out. Where neither
    ``classes`` nor probability columns name the classes, they are what ``label`` and ``prediction`` hold, numbers by
    size, names by the alphabet. There may be 100 classes at most.

    Args:
        frame: The table.
        classes: The classes in order; by default as the probability columns stand.
        name: What error messages call the table.

    Raises:
        TableError: With every mistake found: missing columns or cells, labels that are no class, an image twice within
            one model, probabilities that are no numbers, outside [0, 1] or do not sum to 1 within 0.001.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        classes: Sequence[str] | None = None,
        *,
        name: str = "the predictions table",
    ) -> None:
        self._frame, self._classes, self._soft = normalise(frame, classes, name)
        self._name = name

    @classmethod
    def from_arrays(
        cls,
        *,
        image_id: Sequence[str],
        probabilities: npt.ArrayLike,
        classes: Sequence[str],
        label: Sequence[str] | None = None,
        group_id: Sequence[str] | None = None,
        split: str | Sequence[str] | None = None,
    ) -> Predictions:
        """Build the table from a model's output.

        Args:
            image_id: N names.
            probabilities: (N, C) in [0, 1], rows summing to 1.
            classes: The C names, in the order of the columns.
            label: N class names; None where the truth is unknown.
            group_id: N names of patients or groups; None for one group an image.
            split: One name for all rows, or N.

        Raises:
            TableError: As for the class itself.
        """
        import pandas as pd

        values = np.asarray(probabilities, np.float64)
        if values.shape != (len(image_id), len(classes)):
            raise TableError(
                "the probabilities do not fit the images and classes",
                expected=f"shape ({len(image_id)}, {len(classes)})",
                got=f"shape {values.shape}",
            )
        frame = pd.DataFrame({"image_id": list(image_id)})
        for column, given in (("group_id", group_id), ("label", label)):
            if given is not None:
                frame[column] = list(given)
        frame["split"] = [split] * len(frame) if split is None or isinstance(split, str) else list(split)
        marked = pd.DataFrame(values, columns=[f"p_{name}" for name in classes])
        return cls(pd.concat([frame, marked], axis=1), classes)

    def __len__(self) -> int:
        """Rows."""
        return len(self._frame)

    def __repr__(self) -> str:
        """Size and classes."""
        kind = "probabilities" if self._soft else "hard labels"
        return f"Predictions({len(self)} rows, {kind}, classes {', '.join(self._classes)})"

    @property
    def frame(self) -> pd.DataFrame:
        """A copy: image_id, group_id, [label], split, [model], [prediction], then ``p_<class>`` in class order."""
        return self._frame.copy()

    @property
    def name(self) -> str:
        """What error messages call the table."""
        return self._name

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of every array here."""
        return self._classes

    @property
    def has_labels(self) -> bool:
        """Whether the truth is known."""
        return "label" in self._frame

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """True classes, (N,) in [0, C).

        Raises:
            TableError: The table has no column ``label``.
        """
        if not self.has_labels:
            raise TableError(
                f"{self._name} has no column 'label'",
                expected="the true class of every image",
                remedy="add the column; predictions alone cannot be judged",
            )
        return self._codes("label")

    @property
    def probabilities(self) -> npt.NDArray[np.float64] | None:
        """Probability of each class, (N, C) in [0, 1]; None where the table has hard labels only."""
        if not self._soft:
            return None
        return np.asarray(self._frame[[f"p_{name}" for name in self._classes]], np.float64)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """Predicted classes, (N,): the column ``prediction`` if there is one, else the most probable class.

        Of equally probable classes the first in the order of :attr:`classes` is taken.
        """
        if "prediction" in self._frame:
            return self._codes("prediction")
        probabilities = np.asarray(self._frame[[f"p_{name}" for name in self._classes]], np.float64)
        return np.asarray(probabilities.argmax(axis=1), np.int64)

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """Group (patient) of each row, (N,) strings."""
        return np.asarray(self._frame["group_id"], dtype=object)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that occur, sorted; empty where no row has one."""
        return tuple(sorted(self._frame["split"].dropna().unique()))

    @property
    def models(self) -> tuple[str, ...]:
        """The models that occur, in order of appearance; empty where the table has no column ``model``."""
        return tuple(self._frame["model"].unique()) if "model" in self._frame else ()

    def part(self, split: str | None) -> Predictions:
        """The rows of one split; all rows for None.

        Raises:
            TableError: No row is of that split.
        """
        if split is None:
            return self
        return self._rows("split", split, self.splits)

    def of_model(self, model: str) -> Predictions:
        """The rows of one model.

        Raises:
            TableError: No row is of that model.
        """
        return self._rows("model", model, self.models)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table, whole or not at all: CSV if ``path`` ends in ``.csv``, else Parquet.

        Raises:
            StorageError: The disk is full or the folder cannot be written.
        """
        from pulmoscope.files import atomic_path

        with atomic_path(path) as temporary:
            if Path(path).suffix.lower() == ".csv":
                self._frame.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
            else:
                self._frame.to_parquet(temporary, index=False)

    def _codes(self, column: str) -> npt.NDArray[np.int64]:
        import pandas as pd

        return np.asarray(pd.Index(self._classes).get_indexer(self._frame[column]), np.int64)

    def _rows(self, column: str, value: str, known: Sequence[str]) -> Predictions:
        if value not in known:
            raise TableError(
                f"{self._name} has no row of {column} {value!r}",
                expected=f"one of {', '.join(known)}" if known else f"a column '{column}'",
            )
        part = object.__new__(Predictions)
        part._frame = self._frame[(self._frame[column] == value).to_numpy()].reset_index(drop=True)
        part._classes, part._soft, part._name = self._classes, self._soft, self._name
        return part


def one_model(
    table: Predictions, model: str | None = None, *, remedy: str = "choose one by its name"
) -> Predictions:
    """The rows of one model of a table; where the table holds no more than one it need not be named.

    Args:
        table: Of one model or of several.
        model: Its name in the column ``model``; None for the only one.
        remedy: How the caller's user names one.

    Raises:
        TableError: No row is of ``model``, or there are several models and none is named.
    """
    if model is not None:
        return table.of_model(model)
    if len(table.models) > 1:
        raise TableError(
            f"{table.name} holds the predictions of {len(table.models)} models", expected="one model at a time",
            got=", ".join(table.models[:5]) + (", ..." if len(table.models) > 5 else ""), remedy=remedy,
        )  # fmt: skip
    return table


def read_predictions(
    path: str | os.PathLike[str], *, classes: Sequence[str] | None = None, at_least: int = 1
) -> Predictions:
    """Read a predictions table that Pulmoscope or another program wrote.

    Args:
        path: CSV (UTF-8; comma, semicolon, tab or bar) or Parquet, with the columns of :class:`Predictions`.
        classes: The classes in order; by default as the table has them.
        at_least: Rows that it must have; 2 where a model is to be judged by it.

    Raises:
        TableError: The file cannot be read, has too few rows, or its rows hold mistakes: all in one message.
    """
    found = Predictions(read_table(path), classes, name=str(path))
    if len(found) < at_least:
        raise TableError(
            f"{path} holds too few rows to judge a model by", expected=f"{at_least} rows or more",
            got=str(len(found)), remedy="give one row for each picture of the test part",
        )  # fmt: skip
    return found
