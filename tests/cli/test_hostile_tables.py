"""Hostile tables and label schemes through the command line: one line, the right status, nothing lost."""

from __future__ import annotations

import codecs
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from commands import Command, build, contents, rows_of

Rewrite = Callable[[str], str | bytes]


# --- hostile tables ---------------------------------------------------------------------------------------


def edited(line: int, old: str, new: str) -> Rewrite:
    def rewrite(text: str) -> str:
        lines = text.splitlines()
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new)
        return "\n".join(lines)

    return rewrite


TABLES: dict[str, tuple[Rewrite, tuple[str, ...], str]] = {
    "empty": (lambda _: "", (), "E_EMPTY_FILE"),
    "only-blank-lines": (lambda _: "\n\n \n", (), "E_EMPTY_FILE"),
    "header-only": (lambda text: text.splitlines()[0], (), "E_COHORT"),
    "no-label-column": (edited(0, "label", "klass"), (), "E_COLUMNS"),
    "column-twice": (edited(0, "view", "label"), (), "E_COLUMNS"),
    "column-twice-but-for-case": (edited(0, "view", "Label"), (), "E_COLUMNS"),
    "utf-16": (lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"), (), "E_ENCODING"),
    "utf-16-without-mark": (lambda text: text.encode("utf-16-le"), (), "E_ENCODING"),
    "latin-1": (lambda text: text.replace("normal", "négatif").encode("latin-1"), (), "E_ENCODING"),
    "binary": (lambda _: bytes(range(256)) * 20, (), "E_ENCODING"),
    "one-endless-line": (lambda _: "x" * 200_000, (), "E_COLUMNS"),
    "endless-cell": (lambda text: text + "images/z.png," + "x" * 300_000 + ",9,PA\n", (), ""),
    "open-quote": (edited(5, "images", '"images'), (), "E_TABLE"),
    "cells-too-many": (edited(5, "images", "images,images"), (), "E_TABLE"),
    "a-workbook-that-is-none": (lambda _: b"PK\x03\x04" + bytes(400), (), "E_TABLE"),
    "no-picture-is-there": (lambda text: text.replace("images/", "gone/"), (), "E_NOTHING_LEFT"),
    "every-path-climbs-out": (lambda text: text.replace("images/", "../images/"), (), "E_COHORT"),
    "unknown-part-of-a-split": (edited(0, "view", "split"), (), "E_TABLE"),
    "class-with-one-patient": (edited(3, "pneumonia", "rare"), (), "E_CLASS_TOO_SMALL"),
    "class-emptied-by-a-filter": (
        lambda text: "\n".join(
            line.replace("PA", "AP") if ",covid," in line else line for line in text.splitlines()
        ),
        ("--where", "view=PA"),
        "E_EMPTY_CLASS",
    ),
    "one-class": (
        lambda text: text.replace("pneumonia", "normal").replace("covid", "normal"),
        ("--split", "patient:0.7,0.15,0.15"),
        "E_ONE_CLASS",
    ),
    "unknown-column-in-a-filter": (str, ("--where", "viev=PA"), "E_WHERE"),
    "unknown-value-in-a-filter": (str, ("--where", "view=P A"), "E_WHERE"),
    "no-filter": (str, ("--where", "PA"), "E_WHERE"),
    "no-such-split": (str, ("--split", "patients:0.7"), "E_SPLIT"),
    "fractions-not-1": (str, ("--split", "patient:0.7,0.7,0.7"), "E_SPLIT"),
    "fractions-nan": (str, ("--split", "patient:nan,nan,nan"), "E_SPLIT"),
    "one-fold": (str, ("--split", "kfold:1"), "E_SPLIT"),
    "more-folds-than-patients": (str, ("--split", "kfold:999"), "E_CLASS_TOO_SMALL"),
    "predefined-where-there-is-none": (str, ("--split", "predefined"), "E_SPLIT"),
    "val-from-train-over-1": (str, ("--val-from-train", "1.5"), "E_SPLIT"),
    "unknown-scheme": (str, ("--labels", "binary-covit"), "E_LABEL"),
    "seed-no-number": (str, ("--seed", "x"), "E_USAGE"),
}


@pytest.mark.parametrize(("rewrite", "options", "code"), TABLES.values(), ids=TABLES)
def test_a_table_that_makes_no_cohort(
    pictures: Path, tmp_path: Path, command: Command, rewrite: Rewrite, options: tuple[str, ...], code: str
) -> None:
    command.done(*build(pictures, tmp_path / "out"))
    before = contents(tmp_path / "out")
    said = rewrite(pictures.read_text())
    pictures.write_bytes(said if isinstance(said, bytes) else said.encode())
    command.refused(code, *build(pictures, tmp_path / "out", *options))
    assert contents(tmp_path / "out") == before


USABLE: dict[str, Rewrite] = {
    "byte-order-mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "semicolons": lambda text: text.replace(",", ";"),
    "windows-line-ends": lambda text: text.replace("\n", "\r\n"),
    "windows-separators": lambda text: text.replace("images/", "images\\"),
    "shouted-column-names": lambda text: text.replace("path,label", "Path, LABEL "),
    "blank-lines": lambda text: text.replace("\n", "\n\n"),
}


@pytest.mark.parametrize("rewrite", USABLE.values(), ids=USABLE)
def test_an_unusual_table_gives_the_same_cohort(
    pictures: Path, tmp_path: Path, command: Command, rewrite: Rewrite
) -> None:
    command.done(*build(pictures, tmp_path / "plain"))
    said = rewrite(pictures.read_text())
    pictures.write_bytes(said if isinstance(said, bytes) else said.encode())
    command.done(*build(pictures, tmp_path / "unusual"))
    plain, _ = rows_of(tmp_path / "plain")
    unusual, dropped = rows_of(tmp_path / "unusual")
    pd.testing.assert_frame_equal(unusual, plain)
    assert dropped.empty
    assert plain.loc["images/014.png", "patient_id"] == "s:007"


ROWS: dict[str, tuple[str, str]] = {
    "path-climbs-out": ("../data/images/000.png", "E_PATH_ESCAPE"),
    "path-climbs-out-in-windows": (r"images\..\images\000.png", "E_PATH_ESCAPE"),
    "windows-drive": (r"C:\films\000.png", "E_MISSING"),
    "absolute-and-missing": ("/nowhere/000.png", "E_MISSING"),
    "network-share": (r"\\server\films\000.png", "E_MISSING"),
    "web-address": ("https://example.org/000.png", "E_MISSING"),
    "the-folder": ("images", "E_NOT_REGULAR"),
    "endless-device": ("/dev/zero", "E_NOT_REGULAR"),
    "no-path": ("", "E_NO_LABEL"),
    "control-character": ("images/000\x07.png", "E_FILENAME"),
    "too-long-a-name": ("images/" + "x" * 300 + ".png", "E_FILENAME"),
    "a-table-as-picture": ("table.csv", "E_NOT_IMAGE"),
    "member-of-no-archive": ("none.npz::train_images::0", "E_MISSING"),
    "named-twice": ("images/001.png", "E_DUPLICATE_ROW"),
}


@pytest.mark.parametrize(("path", "code"), ROWS.values(), ids=ROWS)
def test_a_row_that_cannot_be_used_is_dropped_with_its_reason(
    pictures: Path, tmp_path: Path, command: Command, path: str, code: str
) -> None:
    edit = edited(1, "images/000.png", path)
    text = str(edit(pictures.read_text()))
    pictures.write_text(text)
    command.done(*build(pictures, tmp_path / "out"))
    kept, dropped = rows_of(tmp_path / "out")
    assert len(kept) == 35
    assert "images/000.png" not in kept.index
    assert dropped["reason"].str.partition(":")[0].tolist() == [code]


def test_the_same_bytes_under_two_labels_are_all_dropped(
    pictures: Path, tmp_path: Path, command: Command
) -> None:
    folder = pictures.parent / "images"
    shutil.copy(folder / "000.png", folder / "002.png")
    command.done(*build(pictures, tmp_path / "out"))
    kept, dropped = rows_of(tmp_path / "out")
    assert len(kept) == 34
    assert set(dropped.index) == {"images/000.png", "images/002.png"}
    assert set(dropped["reason"].str.partition(":")[0]) == {"E_LABEL_CONFLICT"}


def test_na_and_none_are_labels_like_any_other(pictures: Path, tmp_path: Path, command: Command) -> None:
    pictures.write_text(pictures.read_text().replace("normal", "NA").replace("pneumonia", "None"))
    command.done(*build(pictures, tmp_path / "out"))
    kept, dropped = rows_of(tmp_path / "out")
    assert kept["label"].value_counts().to_dict() == {"NA": 12, "None": 12, "covid": 12}
    assert dropped.empty


SCHEMES: dict[str, str] = {
    "python-tag": "classes: !!python/object/apply:os.system ['touch {ran}']\nrules: {a: b}",
    "alias-bomb": "a: &a [x, x]\nb: &b [*a, *a]\nclasses: [*b, *b]\nrules: {a: x}",
    "deep-nesting": "classes: " + "[" * 5000 + "]" * 5000,
    "key-twice": "classes: [a, b]\nclasses: [a, c]\nrules: {a: a}",
    "impossible-date": "classes: [2020-99-99, b]\nrules: {a: b}",
    "numbers-for-names": "classes: [1, 2]\nrules: {a: 1}",
    "list": "- a\n- b",
    "empty": "",
    "no-rule-for-a-class": "classes: [normal, covid]\nrules: {normal: normal}",
    "not-yaml": "classes: [a",
}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_a_label_scheme_that_is_none(pictures: Path, tmp_path: Path, command: Command, scheme: str) -> None:
    (tmp_path / "mine.yaml").write_text(scheme.replace("{ran}", str(tmp_path / "ran")))
    command.refused("E_LABEL", *build(pictures, tmp_path / "out", "--labels", tmp_path / "mine.yaml"))
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()
