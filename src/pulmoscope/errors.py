"""One tree of exceptions. Each message says what happened, what was expected, what was given and the remedy.

The command line prints ``str(error)`` as one line and leaves with ``error.exit_status``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


def near_names(
    word: str, known: Iterable[object], *, most: int = 1, cutoff: float = 0.6, fold_case: bool = False
) -> list[str]:
    """The names that a mistyped word may have meant, the nearest first.

    Args:
        word: As the user wrote it.
        known: The names there are; of a mapping its keys.
        most: So many at most.
        cutoff: How alike they must be, from 0 to 1, by :func:`difflib.get_close_matches`.
        fold_case: Take capital and small letters for the same.

    >>> near_names("grad_cam", ["grad-cam", "eigen-cam", "occlusion"])
    ['grad-cam']
    >>> near_names("COVID", ["Covid", "normal"]), near_names("COVID", ["Covid", "normal"], fold_case=True)
    ([], ['Covid'])
    """
    given = {(str(name).casefold() if fold_case else str(name)): str(name) for name in known}
    wanted = word.casefold() if fold_case else word
    return [given[one] for one in difflib.get_close_matches(wanted, given, n=most, cutoff=cutoff)]


def did_you_mean(names: Iterable[str], *, joined: str = ", ", before: str = "") -> str:
    """The question that ends a message about a name that is not known; empty where there is nothing to suggest.

    Args:
        names: What may have been meant, as by :func:`near_names`.
        joined: What stands between several.
        before: What leads from the message to the question.

    >>> did_you_mean(["adam", "adamw"], joined=" or ", before=", "), did_you_mean([], before=", ")
    (', did you mean adam or adamw?', '')
    """
    asked = joined.join(names)
    return f"{before}did you mean {asked}?" if asked else ""


class PulmoscopeError(Exception):
    """Base of every error that Pulmoscope raises on purpose.

    Args:
        what: What went wrong, naming the file, row or field.
        code: Stable code such as ``E_NOT_IMAGE``; defaults to the class's own.
        expected: What would have been right.
        got: What was found instead.
        remedy: What the user can do about it.
    """

    default_code: ClassVar[str] = "E_PULMOSCOPE"
    exit_status: ClassVar[int] = 2

    def __init__(
        self,
        what: str,
        *,
        code: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.code = code or self.default_code
        self.expected = expected
        self.got = got
        self.remedy = remedy
        parts = [f"{self.code}: {what}"]
        if expected:
            parts.append(f"expected {expected}")
        if got:
            parts.append(f"got {got}")
        if remedy:
            parts.append(f"remedy: {remedy}")
        # One line, whatever a file name or a library's message held.
        super().__init__("; ".join(parts).replace("\r", "\\r").replace("\n", " "))

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Survive the trip home from a worker process."""
        return _rebuild, (type(self), self.what, self.code, self.expected, self.got, self.remedy)


def _rebuild(
    cls: type[PulmoscopeError],
    what: str,
    code: str,
    expected: str | None,
    got: str | None,
    remedy: str | None,
) -> PulmoscopeError:
    return cls(what, code=code, expected=expected, got=got, remedy=remedy)


class ImageError(PulmoscopeError):
    """One picture cannot be used; the run goes on without it and counts it."""

    default_code = "E_NOT_IMAGE"


class TableError(PulmoscopeError):
    """A metadata or predictions table cannot be read as it stands."""

    default_code = "E_TABLE"


class CohortError(PulmoscopeError):
    """The radiographs do not make a usable cohort."""

    default_code = "E_COHORT"


class SplitLeakError(CohortError):
    """A split cuts a patient or a group of copies."""

    default_code = "E_SPLIT_LEAK"


class LabelError(PulmoscopeError):
    """Class names or a label scheme do not fit."""

    default_code = "E_LABEL"


class RecipeError(PulmoscopeError):
    """A recipe is wrong; all its mistakes are in one message."""

    default_code = "E_RECIPE"


class WeightsError(PulmoscopeError):
    """Pretrained weights are missing, altered or do not fit the network."""

    default_code = "E_WEIGHTS"


class BundleError(PulmoscopeError):
    """A saved model is missing, torn or was written by another version."""

    default_code = "E_BUNDLE"


class RunError(PulmoscopeError):
    """A run's folder does not hold what the command needs."""

    default_code = "E_RUN"


class RunBusyError(RunError):
    """Another process is writing to this folder."""

    default_code = "E_RUN_BUSY"


class StorageError(PulmoscopeError):
    """The disk is full or the folder cannot be written; what was there before is intact."""

    default_code = "E_STORAGE"
    exit_status = 4


class TrainingError(PulmoscopeError):
    """Training cannot go on; the last good checkpoint is kept."""

    default_code = "E_TRAINING"
