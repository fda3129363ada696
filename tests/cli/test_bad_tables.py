"""Tables of predictions that cannot be judged: every command that takes one ends in one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from commands import Command

CLASSES = ("covid", "normal", "other")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def good(seed: int = 0) -> pd.DataFrame:
    """Forty pictures of three classes, half of them of the validation part."""
    random = np.random.default_rng(seed)
    truth = np.arange(40) % 3
    scores = (random.dirichlet(np.ones(3), 40) + np.eye(3)[truth]) / 2
    frame = pd.DataFrame(scores, columns=[f"p_{name}" for name in CLASSES])
    frame.insert(0, "label", np.array(CLASSES)[truth])
    frame.insert(0, "image_id", [f"i{row}" for row in range(40)])
    return frame.assign(split=["val" if row % 2 else "test" for row in range(40)])


def changed(row: int, **cells: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        other = frame.astype(object)
        for column, value in cells.items():
            other.loc[row, column] = value
        return other

    return change


def logits(frame: pd.DataFrame) -> pd.DataFrame:
    columns = [f"p_{name}" for name in CLASSES]
    return frame.assign(**{column: 4 * np.log(frame[column]) for column in columns})


#: What is wrong, how, and a part of what the line must say.
BAD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing-class-column": (lambda frame: frame.drop(columns="p_other"), "label 'other' is none of the classes"),
    "one-class-column": (lambda frame: frame.drop(columns=["p_other", "p_normal"]), "only one class column"),
    "no-class-column": (lambda frame: frame[["image_id", "label", "split"]], "no column of probabilities"),
    "no-image-id": (lambda frame: frame.drop(columns="image_id"), "no column 'image_id'"),
    "do-not-sum-to-1": (changed(3, p_covid=0.9, p_normal=0.8), "do not sum to 1"),
    "logits": (logits, "look like logits"),
    "per-cent": (
        lambda frame: frame.assign(**{f"p_{name}": 100 * frame[f"p_{name}"] for name in CLASSES}),
        "look like per cent",
    ),
    "duplicate-ids": (changed(5, image_id="i4"), "the same image_id more than once"),
    "nan-probability": (changed(2, p_covid=float("nan")), "is no finite number in row 3"),
    "infinite-probability": (changed(2, p_covid="inf"), "is no finite number in row 3"),
    "words-for-numbers": (changed(2, p_covid="high"), "is no finite number in row 3"),
    "no-label-in-a-row": (changed(2, label=None), "no label in row 3"),
    "class-never-seen": (changed(0, label="tuberculosis"), "label 'tuberculosis' is none of the classes"),
    "one-row": (lambda frame: frame.iloc[:1], " row"),
    "header-only": (lambda frame: frame.iloc[:0], "has no rows"),
    "column-twice": (lambda frame: frame.set_axis([*frame.columns[:-1], "label"], axis=1), "more than one column"),
}  # fmt: skip
#: Files that are no table at all.
NO_TABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank-lines": (b"\n\n \n", "is empty"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not in UTF-8"),
    "torn-parquet": (b"PAR1" + b"\0" * 60, "torn Parquet"),
    "spreadsheet": (b"PK\x03\x04" + bytes(80), "spreadsheet"),
    "prose": (b"These are my results.\nThey are good.\n", "no column 'image_id'"),
}
COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "evaluate": lambda bad, _: ("evaluate", "--predictions", bad),
    "compare": lambda bad, fine: ("compare", fine, bad, "--replicates", 20),
    "operating": lambda bad, _: ("operating", bad),
}


def refused(command: Command, said: str, *arguments: object) -> None:
    assert command.run(*arguments) in (1, 2)
    lines = command.err.splitlines()
    assert len(lines) == 1, command.err
    assert lines[0].startswith("error: E_")
    assert said in lines[0]
    assert not command.out


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("spoil", "said"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_bad_table_is_one_line(
    command: Command,
    tmp_path: Path,
    spoil: Callable[[pd.DataFrame], pd.DataFrame],
    said: str,
    arguments: Callable[[Path, Path], tuple[object, ...]],
    kind: str,
) -> None:
    good().to_csv(tmp_path / "fine.csv", index=False)
    bad, frame = tmp_path / f"bad.{kind}", spoil(good(1))
    if kind == "csv":
        frame.to_csv(bad, index=False)
    elif frame.columns.duplicated().any():
        pytest.skip("Parquet refuses to be written with a column twice")
    else:
        frame.map(lambda cell: None if cell is None else str(cell)).to_parquet(bad, index=False)
    refused(command, said, *arguments(bad, tmp_path / "fine.csv"))


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("content", "said"), NO_TABLE.values(), ids=NO_TABLE)
def test_what_is_no_table_is_one_line(
    command: Command,
    tmp_path: Path,
    content: bytes,
    said: str,
    arguments: Callable[[Path, Path], tuple[object, ...]],
) -> None:
    good().to_csv(tmp_path / "fine.csv", index=False)
    (tmp_path / "bad.csv").write_bytes(content)
    refused(command, said, *arguments(tmp_path / "bad.csv", tmp_path / "fine.csv"))


def test_the_good_table_passes(command: Command, tmp_path: Path) -> None:
    for name in ("one", "two"):
        good(len(name)).to_csv(tmp_path / f"{name}.csv", index=False)
    for arguments in COMMANDS.values():
        command.done(*arguments(tmp_path / "one.csv", tmp_path / "two.csv"))


def test_without_labels_nothing_is_judged(command: Command, tmp_path: Path) -> None:
    for name in ("one", "two"):
        good(len(name)).drop(columns="label").to_csv(tmp_path / f"{name}.csv", index=False)
    for arguments in COMMANDS.values():
        refused(command, "column 'label'", *arguments(tmp_path / "one.csv", tmp_path / "two.csv"))


def test_a_class_without_a_picture_is_said(command: Command, tmp_path: Path) -> None:
    frame = good()
    frame[frame["label"] != "other"].to_csv(tmp_path / "table.csv", index=False)
    said = command.done("evaluate", "--predictions", tmp_path / "table.csv")
    assert "note: no picture is of class other: its sensitivity and AUROC are undefined" in said


CLAIM = """\
name: x
tables:
- name: t
  classes: {classes}
  confusion: {confusion}
  claims: [{{says: accuracy, value: {value}}}]
"""
#: The same mistakes in what a report prints: its classes, its matrix, its number.
BAD_CLAIMS: dict[str, tuple[str, str]] = {
    "missing-class": (CLAIM.format(classes="{a: 10, b: 20}", confusion="[[9, 1]]", value="0.9"), "2 rows of 2"),
    "missing-column": (CLAIM.format(classes="{a: 10, b: 20}", confusion="[[9], [20]]", value="0.9"), "2 rows of 2"),
    "logit-for-a-rate": (CLAIM.format(classes="{a: 10, b: 20}", confusion="[[9, 1], [2, 18]]", value="2.94"), "value"),
    "class-twice": (CLAIM.format(classes="{a: 10, a: 20}", confusion="[[9, 1], [2, 18]]", value="0.9"), "stands twice"),
    "nan": (CLAIM.format(classes="{a: 10, b: 20}", confusion="[[9, 1], [2, 18]]", value=".nan"), "value"),
    "nan-count": (CLAIM.format(classes="{a: 10, b: .nan}", confusion="[[9, 1], [2, 18]]", value="0.9"), "classes"),
    "negative-count": (
        CLAIM.format(classes="{a: 10, b: 20}", confusion="[[9, 1], [-2, 22]]", value="0.9"), "confusion"
    ),
    "class-never-seen": (
        CLAIM.format(classes="{a: 10, b: 20}", confusion="[[9, 1], [2, 18]]", value="0.9").replace(
            "says: accuracy", "says: sensitivity, of: c"
        ),
        "no class 'c'",
    ),
    "one-class": (CLAIM.format(classes="{a: 10}", confusion="[[10]]", value="0.9"), "classes"),
    "empty": ("", "no claim file"),
    "a-table-of-predictions": ("image_id,label,p_a,p_b\ni0,a,0.5,0.5\n", "no claim file"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_a_bad_claim_file_is_one_line(command: Command, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "claims.yaml").write_text(text)
    refused(command, said, "claims", tmp_path / "claims.yaml")
