"""Label schemes: what each published finding becomes, and what a user's own YAML may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulmoscope.errors import LabelError
from pulmoscope.labels import BUILT_IN, LabelScheme, load_scheme

FINDINGS = {
    # finding: (binary-covid, covid-pneumonia-normal, normal-infected)
    "COVID-19": ("covid", "covid", "covid"),
    "COVID-19, ARDS": ("covid", "covid", "covid"),
    "Pneumonia/Viral/COVID-19": ("covid", "covid", "covid"),
    "Covid-19": ("covid", "covid", "covid"),
    "COVID": ("covid", "covid", "covid"),
    "infected/covid": ("covid", "covid", "covid"),
    "infected/non-covid": ("non-covid", "pneumonia", "non-covid"),
    "non-covid": ("non-covid", None, "non-covid"),
    "COVID negative": ("non-covid", None, None),
    "No Finding": ("non-covid", "normal", "normal"),
    "No Finding|Support Devices": ("non-covid", "normal", "normal"),
    "No_findings": ("non-covid", "normal", "normal"),
    "NORMAL": ("non-covid", "normal", "normal"),
    "hospital-a/normal": ("non-covid", "normal", "normal"),
    "abnormal": ("non-covid", None, None),
    "No Lung Opacity / Not Normal": ("non-covid", None, None),
    "Pneumonia": ("non-covid", "pneumonia", "non-covid"),
    "Infiltration|Pneumonia": ("non-covid", "pneumonia", "non-covid"),
    "Viral Pneumonia": ("non-covid", "pneumonia", "non-covid"),
    "Pneumocystis": ("non-covid", "pneumonia", "non-covid"),
    "SARS": ("non-covid", "pneumonia", "non-covid"),
    "no pneumonia": ("non-covid", None, None),
    "Lung_Opacity": ("non-covid", None, "non-covid"),
    "Cardiomegaly": ("non-covid", None, None),
    "Infiltration": ("non-covid", None, None),
    "todo": (None, None, None),
    "": (None, None, None),
}


@pytest.mark.parametrize(("finding", "expected"), FINDINGS.items())
def test_built_in_schemes_sort_published_findings(finding: str, expected: tuple[str | None, ...]) -> None:
    names = ("binary-covid", "covid-pneumonia-normal", "normal-infected")
    assert tuple(load_scheme(name).classify(finding) for name in names) == expected


def test_the_hierarchy_of_normal_infected_covers_its_classes() -> None:
    scheme = BUILT_IN["normal-infected"]
    assert scheme.classes == ("normal", "non-covid", "covid")
    assert scheme.hierarchy == {"infected": ("non-covid", "covid")}


def test_the_first_rule_that_fits_decides_and_null_leaves_out() -> None:
    scheme = LabelScheme(
        name="own", classes=("a", "b"), rules=(("x y", None), ("x*", "a"), ("*", "b"), ("x z", "b"))
    )
    assert [scheme.classify(text) for text in ("X_Y", "x z", "q", "x-y")] == [None, "a", "b", None]


def test_brackets_in_a_pattern_are_literal() -> None:
    scheme = LabelScheme(name="own", classes=("a", "b"), rules=(("mass [left]", "a"), ("m*", "b")))
    assert (scheme.classify("Mass [left]"), scheme.classify("mass l")) == ("a", "b")


def test_a_yaml_scheme_is_read_in_order(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "classes: [sick, well]\nrules:\n  'no finding*': well\n  unknown: null\n  '*': sick\n",
        encoding="utf-8",
    )
    scheme = load_scheme(file)
    assert (scheme.name, scheme.classes) == ("own", ("sick", "well"))
    assert [scheme.classify(text) for text in ("No Finding", "Unknown", "Mass")] == ["well", None, "sick"]


def test_all_mistakes_of_a_scheme_stand_in_one_error(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("classes: [a, a, c]\nrules: {x: b}\nhierarchy: {top: [a, q]}\n", encoding="utf-8")
    with pytest.raises(LabelError) as caught:
        load_scheme(file)
    for words in ("named twice: a", "unknown classes: b", "no rule fills", "unknown children q"):
        assert words in str(caught.value)


def test_a_rule_behind_one_that_takes_all_of_it_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("classes: [sick, well]\nrules: {'*': sick, no finding: well}\n", encoding="utf-8")
    with pytest.raises(LabelError, match=r"'no finding' is never reached: '\*' stands before it"):
        load_scheme(file)
    # Narrow before wide is the way to write it; one letter does not take any number of them.
    file.write_text(
        "classes: [sick, well]\nrules: {no finding: well, '?': sick, '*': well}\n", encoding="utf-8"
    )
    assert load_scheme(file).classify("no finding") == "well"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n- b\n", "not a mapping"),
        ("classes: [yes, no]\nrules: {x: y}\n", "list of texts"),
        ("classes: [a, b]\nrules: {x: a, x: b}\n", "given twice: x"),
        ("a: &a [x, x]\nb: [*a, *a]\n", "aliases"),
        ("classes: [a, b]\nrules: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        ("clases: [a, b]\n", "unknown keys: clases"),
    ],
)
def test_a_bad_yaml_file_is_one_label_error(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(LabelError, match=words):
        load_scheme(file)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(LabelError, match="did you mean 'binary-covid'"):
        load_scheme("binary_covid19")
    with pytest.raises(LabelError, match="cannot read the label scheme"):
        load_scheme("missing.yaml")
