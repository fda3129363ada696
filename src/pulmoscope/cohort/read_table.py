"""Read a table file as text: CSV, TSV or XLSX, as people and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import io
import os
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pulmoscope.errors import TableError

TABLE_ENDINGS = frozenset({".csv", ".tsv", ".txt", ".xlsx"})
_DELIMITERS = (",", ";", "\t", "|")
_MAX_XLSX_BYTES = 1 << 30
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def read_table(
    path: str | os.PathLike[str], *, needed: Sequence[str] = (), stray_bytes: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Read every cell as text; blank cells are "", and "NA", "None" or "007" stay what they are.

    Column names are stripped. The delimiter is found from the header: comma, semicolon, tab or bar.

    Args:
        path: A .csv, .tsv, .txt or .xlsx file.
        needed: Columns that must be there, found whatever their case and renamed to this spelling.
        stray_bytes: Replace bytes that are not UTF-8 instead of refusing the file.

    Returns:
        The table and notes on what was not as usual.

    Raises:
        TableError: Not readable, not UTF-8 (the encoding is named), columns missing or named twice.
    """
    file = Path(path)
    if not file.is_file():
        raise TableError(f"there is no table at {file}", expected="a CSV, TSV or XLSX file")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise TableError(f"cannot read {file}: {error.strerror}") from error
    if content.startswith(b"PK\x03\x04"):
        frame = _read_xlsx(file, content)
        notes: list[str] = []
    else:
        frame, notes = _read_text(file, _decode(file, content, stray_bytes=stray_bytes), needed)
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    return _check_columns(file, frame, needed), notes


def _decode(file: Path, content: bytes, *, stray_bytes: bool) -> str:
    if not content.strip():
        raise TableError(f"{file} is empty", code="E_EMPTY_FILE", expected="a header line and rows")
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    if encoding is None and b"\x00" in content[:4096]:
        encoding = (
            "UTF-16 without its mark"
            if content[:4096].count(b"\x00") > len(content[:4096]) // 4
            else "binary"
        )
    if encoding is not None:
        raise TableError(
            f"{file} is not a UTF-8 table",
            code="E_ENCODING",
            expected="UTF-8",
            got=encoding,
            remedy="save it as 'CSV UTF-8'",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if stray_bytes:
            return content.decode("utf-8-sig", "replace")
        line = content.count(b"\n", 0, error.start) + 1
        guess = "Latin-1 or Windows-1252"
        raise TableError(
            f"{file} is not UTF-8: byte 0x{content[error.start]:02x} in line {line}",
            code="E_ENCODING",
            expected="UTF-8",
            got=f"probably {guess}",
            remedy=f"save it as 'CSV UTF-8', or convert it with: iconv -f latin1 -t utf-8 {file.name}",
        ) from error


def _read_text(file: Path, text: str, needed: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    first = next(line for line in text.splitlines() if line.strip())
    try:
        delimiter = _delimiter(first, needed)
        header = next(csv.reader([first], delimiter=delimiter))
    except csv.Error as error:
        raise TableError(f"{file} has no header line that can be read: {error}", code="E_COLUMNS") from error
    _refuse_twice(file, header)
    try:
        with warnings.catch_warnings():
            # Longer rows than the header would lose their end with a mere warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text),
                sep=delimiter,
                dtype="str",
                keep_default_na=False,
                na_filter=False,
                index_col=False,
                skip_blank_lines=True,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, csv.Error) as error:
        raise TableError(
            f"{file} does not hold the same number of cells in every row: {error}",
            expected=f"{len(header)} columns ({', '.join(header)})",
            remedy="quote cells that hold the delimiter",
        ) from error
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
    usual = "\t" if file.suffix.lower() == ".tsv" else ","
    notes = [f"{file.name}: columns are parted by {names[delimiter]}"] if delimiter != usual else []
    return frame.fillna(""), notes


def _delimiter(header: str, needed: Sequence[str]) -> str:
    wanted = {name.casefold() for name in needed}

    def fit(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=delimiter))
        return len(wanted & {cell.strip().casefold() for cell in cells}), len(cells)

    return max(_DELIMITERS, key=fit)


def _read_xlsx(file: Path, content: bytes) -> pd.DataFrame:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MAX_XLSX_BYTES:
            raise TableError(
                f"{file} unpacks to {size >> 20} MiB", code="E_TOO_LARGE", expected="at most 1024 MiB"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # openpyxl on styles it does not know
            frame = pd.read_excel(
                io.BytesIO(content),
                header=None,
                dtype="str",
                keep_default_na=False,
                na_filter=False,
                engine="openpyxl",
            )
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, SyntaxError) as error:
        raise TableError(
            f"{file} is not a readable XLSX workbook: {error}", remedy="save it as CSV"
        ) from error
    frame = frame.fillna("")
    frame = frame[(frame != "").any(axis=1)]
    if frame.empty:
        raise TableError(f"{file} is empty", code="E_EMPTY_FILE", expected="a header line and rows")
    header = [str(cell).strip() for cell in frame.iloc[0]]
    _refuse_twice(file, header)
    body = frame.iloc[1:].reset_index(drop=True).astype("str")
    body.columns = pd.Index(header)
    return body


def _refuse_twice(file: Path, header: Sequence[str]) -> None:
    names = [name.strip() for name in header]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise TableError(
            f"{file} names columns twice: {', '.join(twice)}",
            code="E_COLUMNS",
            expected="each column once",
            got=", ".join(names),
        )


def _check_columns(file: Path, frame: pd.DataFrame, needed: Sequence[str]) -> pd.DataFrame:
    spelling = {name.casefold(): name for name in needed}
    found = [spelling.get(name.casefold(), name) for name in frame.columns]
    # "label" beside "Label" is a doubt, not a choice.
    _refuse_twice(file, found)
    frame.columns = pd.Index(found)
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise TableError(
            f"{file} lacks the columns {', '.join(missing)}",
            code="E_COLUMNS",
            expected=", ".join(needed),
            got=", ".join(map(repr, frame.columns)),
            remedy="rename the columns in its header line",
        )
    return frame


def header_of(path: str | os.PathLike[str]) -> frozenset[str]:
    """Return the column names of a CSV file, or none where it is no such file (for recognising a source)."""
    try:
        with Path(path).open("rb") as file:
            first = file.readline(1 << 16)
    except OSError:
        return frozenset()
    text = first.decode("utf-8-sig", "replace").strip("\r\n")
    if not text or "\x00" in text:
        return frozenset()
    return frozenset(cell.strip() for cell in next(csv.reader([text], delimiter=_delimiter(text, ())), []))
