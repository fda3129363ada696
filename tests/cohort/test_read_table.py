"""Tables as people write them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pulmoscope.cohort.read_table import header_of, read_table
from pulmoscope.errors import TableError


def write(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_every_cell_stays_the_text_it_is(tmp_path: Path) -> None:
    file = write(tmp_path, "path,label,id\n a.png,NA,007\nb.png,None,1e5\nc.png,,nan\n")
    table, notes = read_table(file, needed=("path", "label"))
    assert table.to_numpy().tolist() == [
        [" a.png", "NA", "007"],
        ["b.png", "None", "1e5"],
        ["c.png", "", "nan"],
    ]
    assert notes == []


@pytest.mark.parametrize(
    ("delimiter", "word"),
    [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")],
    ids=["semicolon", "tab", "bar"],
)
def test_other_delimiters_are_found_and_noted(tmp_path: Path, delimiter: str, word: str) -> None:
    file = write(tmp_path, f'path{delimiter}label{delimiter}age\na.png{delimiter}"x, y"{delimiter}"34,5"\n')
    table, notes = read_table(file, needed=("path", "label"))
    assert table.iloc[0].tolist() == ["a.png", "x, y", "34,5"]
    assert notes == [f"t.csv: columns are parted by {word}"]


def test_a_mark_of_utf8_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    table, _ = read_table(
        write(tmp_path, b"\xef\xbb\xbfPath, Label\r\na.png,\xc3\xa4\r\n"), needed=("path", "label")
    )
    assert table.to_dict("records") == [{"path": "a.png", "label": "ä"}]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("path,label\n".encode("utf-16"), "UTF-16"),
        ("path,label\n".encode("utf-16-le"), "UTF-16 without its mark"),
        ("path,label\nä,x\n".encode("latin-1"), "Latin-1"),
        (b"path,label\n\x00\n", "binary"),
    ],
)
def test_another_encoding_is_named(tmp_path: Path, content: bytes, word: str) -> None:
    with pytest.raises(TableError, match=word) as caught:
        read_table(write(tmp_path, content))
    assert caught.value.code == "E_ENCODING"
    assert "t.csv" in str(caught.value)


def test_the_line_of_a_stray_byte_is_named_or_it_is_replaced_on_demand(tmp_path: Path) -> None:
    file = write(tmp_path, b"a,b\n1,2\n3,\xe9\n")
    with pytest.raises(TableError, match="byte 0xe9 in line 3"):
        read_table(file)
    assert read_table(file, stray_bytes=True)[0]["b"].tolist() == ["2", "\ufffd"]


def test_missing_and_repeated_columns_list_what_was_expected_and_found(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        read_table(write(tmp_path, "file,label\n"), needed=("path", "label"))
    assert "lacks the columns path; expected path, label; got 'file', 'label'" in str(caught.value)
    for header in ("path,label,label", "path,label,Label "):
        with pytest.raises(TableError, match="twice"):
            read_table(write(tmp_path, header + "\na,b,c\n"), needed=("path", "label"))


@pytest.mark.parametrize("content", ["", "  \n\n"])
def test_an_empty_table_is_said_to_be_empty(tmp_path: Path, content: str) -> None:
    with pytest.raises(TableError, match="is empty"):
        read_table(write(tmp_path, content))


@pytest.mark.parametrize("rows", ["a,b,c\n", "a,b\na,b,c\n", 'a,"b\n'])
def test_rows_of_another_length_are_one_error(tmp_path: Path, rows: str) -> None:
    with pytest.raises(TableError, match="same number of cells"):
        read_table(write(tmp_path, "path,label\n" + rows))


def test_a_workbook_keeps_text_ids(tmp_path: Path) -> None:
    file = tmp_path / "t.xlsx"
    pd.DataFrame({"path": ["a.png"], "label": ["NA"], "patient_id": ["007"], "age": [34]}).to_excel(
        file, index=False
    )
    table, _ = read_table(file, needed=("path", "label"))
    assert table.iloc[0].tolist() == ["a.png", "NA", "007", "34"]


def test_a_broken_workbook_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="not a readable XLSX"):
        read_table(write(tmp_path, b"PK\x03\x04 nothing else", "t.xlsx"))


def test_the_header_of_no_table_is_empty(tmp_path: Path) -> None:
    assert header_of(tmp_path / "none.csv") == frozenset()
    assert header_of(write(tmp_path, b"\x00\x01")) == frozenset()
    assert header_of(write(tmp_path, "a;b c;d\n1;2;3\n")) == {"a", "b c", "d"}
