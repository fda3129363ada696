"""Rows left out: nothing disappears without a code, a reason and a detail."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

COLUMNS = ("image_id", "path", "source", "reason", "detail")

#: What each code means; ``reason`` in the table is "CODE: meaning".
REASONS = {
    "E_MISSING": "the file is not there",
    "E_NOT_XRAY": "not a radiograph by its modality or view",
    "E_NOT_PICTURE": "not a picture",
    "E_NOT_REGULAR": "not a regular file (pipe, socket or device)",
    "E_SYMLINK": "a link that leaves the folder, is broken, or points to a folder that is read anyway",
    "E_FILENAME": "a name that cannot be stored or that no file can have",
    "E_UNREADABLE": "no permission to read it",
    "E_NOT_LISTED": "the source's table does not name this picture",
    "E_DUPLICATE_ROW": "an earlier row names the same picture",
    "E_NO_LABEL": "no label",
    "E_NO_CLASS": "no class of the label scheme takes this finding",
    "E_WHERE": "left out by a filter",
    "E_LABEL_CONFLICT": "the same picture stands under two different labels",
    "E_UNCERTAIN": "only uncertain findings",
    "E_PATH_ESCAPE": "the path leaves its folder",
    "E_SPLIT_LEAK": "its patient or a copy of it stands in another part of the split",
    "E_MASK": "a mask without its picture",
    "E_NOT_IMAGE": "not a readable picture",
    "E_EMPTY_FILE": "the file is empty",
    "E_TRUNCATED": "the picture is cut off or damaged",
    "E_TOO_LARGE": "over the limit of megapixels",
    "E_TOO_SMALL": "too few pixels",
    "E_MULTIFRAME": "several frames in one file",
    "E_NO_PIXELS": "DICOM without pixel data",
    "E_TRANSFER_SYNTAX": "DICOM compression that cannot be read here",
    "E_BLANK": "one constant value",
}


def reason(code: str) -> str:
    """Return the text of ``code`` as it stands in the ``reason`` column."""
    meaning = REASONS.get(code)
    return code if meaning is None else f"{code}: {meaning}"


def dropped_rows(
    source: str | Sequence[str] | pd.Series,
    image_id: Sequence[str] | pd.Series,
    path: Sequence[str] | pd.Series,
    code: str | Sequence[str],
    detail: str | Sequence[str] | pd.Series = "",
) -> pd.DataFrame:
    """Build dropped rows; a single text counts for every row.

    Args:
        source: Source names.
        image_id: Image ids, or the path below the source for what never became a radiograph.
        path: Paths; text that is not UTF-8 must be escaped before.
        code: One code or a code a row.
        detail: What was found, in words.
    """
    image_id = list(image_id)

    def column(value: str | Sequence[str] | pd.Series) -> list[str]:
        return [value] * len(image_id) if isinstance(value, str) else list(value)

    columns = {
        "image_id": image_id,
        "path": column(path),
        "source": column(source),
        "reason": [reason(one) for one in column(code)],
        "detail": column(detail),
    }
    return pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in columns.items()})


def concat(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join dropped tables, in a stable order of source, image and reason."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return dropped_rows([], [], [], [])
    joined = pd.concat(parts, ignore_index=True)
    return joined.sort_values(["source", "image_id", "reason"], kind="stable", ignore_index=True)
