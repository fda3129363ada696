"""Messages of errors, and the names they suggest."""

from __future__ import annotations

import doctest
from pathlib import Path

from pulmoscope import errors
from pulmoscope.errors import PulmoscopeError, did_you_mean, near_names

SOURCE = Path(errors.__file__).parent


def test_doctests() -> None:
    assert doctest.testmod(errors).failed == 0


def test_near_names_are_the_nearest_first_and_each_once() -> None:
    known = ["stage1", "stage2", "stage1", "head"]
    assert near_names("stage1", known, most=3) == ["stage1", "stage2"]
    assert near_names("stagee1", known) == ["stage1"]
    assert near_names("lung", known) == []
    # How alike they must be can be asked for; 2 of 2 + 4 letters in common: a ratio of 4/6.
    assert near_names("ab", ["abcd"], cutoff=0.66) == ["abcd"]
    assert near_names("ab", ["abcd"], cutoff=0.67) == []


def test_near_names_of_a_mapping_and_of_what_is_no_text() -> None:
    assert near_names("colour", {"colours": 1, "size": 2}) == ["colours"]
    assert near_names("2021", [2020, 1999]) == ["2020"]
    # Given back as written, however they were compared.
    assert near_names("PATIENT_ID", ["Patient_Id"], fold_case=True) == ["Patient_Id"]


def test_the_question_stands_as_a_remedy_or_in_a_sentence() -> None:
    assert did_you_mean(["adam"]) == "did you mean adam?"
    assert did_you_mean(map(repr, ["adam"])) == "did you mean 'adam'?"
    assert did_you_mean(["a", "b", "c"], before=", ") == ", did you mean a, b, c?"
    assert did_you_mean([]) == did_you_mean([], before=", ") == ""
    assert str(PulmoscopeError("no such name", remedy=did_you_mean([]))) == "E_PULMOSCOPE: no such name"


def test_nothing_else_suggests_names() -> None:
    own = {path.name for path in SOURCE.rglob("*.py") if "difflib" in path.read_text("utf-8")}
    assert own == {"errors.py"}
