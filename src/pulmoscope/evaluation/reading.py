"""Tables from disk, as they stand: CSV (any usual delimiter) as text, Parquet as typed. Nothing is judged here."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pulmoscope.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

_DELIMITERS = ",;\t|"
_AS_UTF8 = "save it as UTF-8 (in Excel: 'CSV UTF-8')"


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a CSV (UTF-8, with or without BOM; comma, semicolon, tab or bar) or Parquet file, told by its content.

    Every CSV cell stays text, so the identifier ``007`` is not 7; an empty cell is ``""``.

    Raises:
        TableError: There is no such file, or it is empty, in another encoding, torn or of another kind.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise TableError(f"{file} does not exist", code="E_MISSING", remedy="check the path") from None
    except OSError as error:
        raise TableError(
            f"{file} cannot be read: {error.strerror}",
            expected="a CSV or Parquet file",
            remedy="check the path",
        ) from error
    if not content.strip():
        raise TableError(f"{file} is empty", expected="a header line and one row an image")
    if content[:4] == b"PAR1":
        return _parquet(file, content)
    if content[:2] == b"PK":
        raise TableError(
            f"{file} is a spreadsheet or an archive", expected="CSV or Parquet", remedy="save it as CSV"
        )
    return _csv(file, content)


def _parquet(file: Path, content: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(io.BytesIO(content))
        _refuse_twin_columns(file, schema.names)
        # The plain columns, not an index that pandas stored beside them.
        return pq.read_table(io.BytesIO(content)).replace_schema_metadata(None).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise TableError(
            f"{file} is a torn Parquet file: {error}", remedy="write it again, or check the copy"
        ) from error


def _csv(file: Path, content: bytes) -> pd.DataFrame:
    import pandas as pd

    text = _decode(file, content)
    first = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count) if any(mark in first for mark in _DELIMITERS) else ","
    try:
        header = next(csv.reader(io.StringIO(text.lstrip("\r\n")), delimiter=delimiter))
        _refuse_twin_columns(file, [name.strip() for name in header])
        with warnings.catch_warnings():
            # Cells beyond the header would be cut off with a warning; they mean that columns have slipped.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.StringIO(text),
                sep=delimiter,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                low_memory=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error, StopIteration, ValueError) as error:
        raise TableError(
            f"{file} is no regular CSV table: {str(error).strip()}",
            expected="as many cells in each row as in the header",
        ) from error


def _decode(file: Path, content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError(
            f"{file} is in UTF-16",
            code="E_ENCODING",
            expected="UTF-8",
            remedy=_AS_UTF8,
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(
            f"{file} is not in UTF-8",
            code="E_ENCODING",
            expected="UTF-8",
            got=f"byte 0x{content[error.start]:02x} in line {line}, probably Latin-1 or Windows-1252",
            remedy=_AS_UTF8,
        ) from None
    if "\0" in text:
        raise TableError(f"{file} is a binary file", expected="CSV or Parquet")
    return text


def _refuse_twin_columns(file: Path, names: list[str]) -> None:
    twins = sorted(name for name, count in Counter(names).items() if count > 1 and name)
    if twins:
        raise TableError(
            f"{file} has more than one column named {', '.join(map(repr, twins))}",
            expected="each column once",
        )
