"""Claim files, printed numbers, formulas, intervals, and the reports of an audit."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from pulmoscope.cli.claims import claims
from pulmoscope.errors import TableError
from pulmoscope.evaluation import Predictions, jeffreys, named_estimates, wilson
from pulmoscope.evaluation.claims import (
    ClaimFile,
    auc_interval,
    audit_claims,
    formula_of,
    parse_claims,
    parse_printed,
    read_claims,
    shipped_claims,
)
from pulmoscope.evaluation.claims.bounds import definition_interval, proportion_interval
from pulmoscope.evaluation.claims.definitions import class_definitions, overall_definitions
from pulmoscope.evaluation.claims.formulas import FORMULAS, FormulaError, parse_formula
from pulmoscope.evaluation.claims.schema import Claim, ClaimTable, DataCounts, Series, Statement
from pulmoscope.evaluation.confusion import npv_counts, ppv_counts
from pulmoscope.evaluation.joined_interval import mean_interval
from pulmoscope.report.claims_page import write_claims


def table(**changes: object) -> dict:
    whole = {"name": "t", "classes": {"a": 10, "b": 20}, "claims": [{"says": "accuracy", "value": "0.90"}]}
    return {"name": "x", "tables": [whole | changes]}


def test_trailing_zeros_and_per_cent_count() -> None:
    assert parse_printed("0.970").rounded == (Fraction("0.9695"), Fraction("0.9705"))
    assert parse_printed(".97").rounded == (Fraction("0.965"), Fraction("0.975"))
    assert parse_printed("97.0%").unit == parse_printed("0.970").unit
    assert parse_printed("0.97").cut == (Fraction("0.965"), Fraction("0.98"))
    assert parse_printed("-0.1").value == Fraction(-1, 10)
    for text in ("", ".", "0,97", "1e-3", "nan", "97.0 percent", "9" * 20):
        with pytest.raises(ValueError, match="as printed"):
            parse_printed(text)


def test_a_file_keeps_the_zeros_that_it_prints(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "name: x\ntables:\n- {name: t, classes: {a: 10, b: 20}, claims: [{says: recall, value: 0.900}]}\n"
    )
    (claim,) = read_claims(path).tables[0].claims
    assert (claim.value, claim.says) == ("0.900", "sensitivity")


def test_all_mistakes_come_at_once() -> None:
    content = table(
        positive="c", n=31, confusion=[[1, 2]],
        claims=[{"says": "acuracy", "value": "0.9"}, {"says": "f1", "value": "97.5"}, {"says": "f1", "vlaue": "1"}],
    ) | {"formulas": {"sensitivity": "__import__('os')"}, "titel": "y"}  # fmt: skip
    with pytest.raises(TableError) as caught:
        parse_claims(content, "here")
    said = str(caught.value)
    for part in ("claims.0.says", "such as 97.57%", "vlaue: no such field, did you mean value?", "titel"):
        assert part in said
    assert "\n" not in said
    assert said.startswith("E_CLAIMS: here")
    with pytest.raises(TableError) as caught:
        parse_claims({"tables": [{"claims": [{"says": "accuracy"}]}]}, "here")
    said = str(caught.value)
    for part in (
        "here: name: needed, and not there; tables.0.name: needed",
        "value: needed",
        "docs/claims.md",
    ):
        assert part in said
    with pytest.raises(TableError, match=r"tables.0.claims: empty, at least one is needed; remedy"):
        parse_claims({"name": "x", "tables": [{"name": "t", "claims": []}]}, "here")
    # The list holds a claim, if a wrong one.
    assert "at least 1" not in said
    with pytest.raises(TableError) as caught:
        parse_claims(table(positive="c", n=31, confusion=[[1, 2]]), "here")
    for part in ("no class 'c'", "counts sum to 30, got 31", "expected 2 rows of 2 counts"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nname: y\n", "stands twice"),
        ("a: &a [1]\nb: *a\n", "alias"),
        ("[1, 2", "cannot be read"),
        ("- 1\n", "no claim file"),
        ("", "no claim file"),
        ("name: x\n", "nothing to judge"),
        ("[" * 5000, "cannot be read"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(TableError, match=said):
        read_claims(path)


def test_the_document_s_example_is_a_claim_file_and_its_tables_hold_every_field(tmp_path: Path) -> None:
    said = (Path(__file__).parents[2] / "docs" / "claims.md").read_text()
    (tmp_path / "mine.yaml").write_text(said.split("```yaml\n")[1].split("```")[0])
    assert len(audit_claims(tmp_path / "mine.yaml").verdicts) >= 3
    for model in (ClaimFile, ClaimTable, Claim, DataCounts, Series, Statement):
        for name in model.model_fields:
            assert f"`{name}`" in said, (model, name)


def test_no_such_file_names_those_that_there_are() -> None:
    with pytest.raises(TableError, match="system_a, system_b"):
        read_claims("system_x")


def test_formulas_are_known_in_any_form_and_nothing_else_is_run() -> None:
    for name, text in FORMULAS.items():
        assert formula_of(text) == name
    assert formula_of("1 - FP / (TN + FP)") == "specificity"
    assert formula_of("2 / ((TP + FP) / TP + (TP + FN) / TP)") == "f1"
    assert formula_of("TP / FN") is None
    for text in (
        "().__class__",
        "TP ** 9 ** 9",
        "open('x')",
        "TP / (TP + ",
        "X",
        "TP" + "+TP" * 200,
        "True + TP",
    ):
        with pytest.raises(FormulaError):
            parse_formula(text)


def test_intervals_by_hand() -> None:
    # A = .893, 51 and 58 pictures: Q1 = .806685, Q2 = .842524, and the variance is
    # (.095551 + 50 (Q1 - A^2) + 57 (Q2 - A^2)) / 2958.
    found = auc_interval(0.893, 51, 58)
    assert found is not None
    assert (found.high - found.low) / (2 * 1.959964) == pytest.approx(0.03251, abs=1e-5)
    assert auc_interval(1.0, 50, 50) is None
    assert auc_interval(0.9, 0, 50) is None
    # .5 of 10 as printed with one decimal: 5 of 10 alone; with per cents of 1000: 496 to 505 and their bounds.
    assert proportion_interval(*parse_printed("0.5").rounded, 3) is None
    few = proportion_interval(*parse_printed("0.50").rounded, 1000)
    one = proportion_interval(Fraction(1, 2), Fraction(1, 2), 1000)
    assert few is not None
    assert one is not None
    assert few.low < one.low < one.high < few.high


def test_a_matrix_gives_what_an_evaluation_of_its_pictures_gives() -> None:
    counts, names = np.array([[3, 0, 0], [0, 37, 3], [2, 1, 38]]), ["a", "b", "c"]
    rows = [(i, j) for i in range(3) for j in range(3) for _ in range(counts[i, j])]
    frame = pd.DataFrame({"image_id": [str(row) for row in range(len(rows))], "label": [names[i] for i, _ in rows],
                          "prediction": [names[j] for _, j in rows]})  # fmt: skip
    wanted = named_estimates(Predictions(frame), ("balanced_accuracy", "macro_f1", "mean_specificity", "f1:a",
                                                  "balanced_accuracy:b", "ppv:c"))  # fmt: skip
    known = {**overall_definitions(3), **class_definitions(names)}
    for name, one in wanted.items():
        own = {"mean_specificity": "macro_specificity", "balanced_accuracy:b": "ovr_balanced_accuracy:b"}
        definition = known[own.get(name, name)]
        at = definition.of(counts)
        found = definition_interval(definition, (at, at), [3, 40, 41], counts)
        assert found is not None, name
        assert (found.low, found.high) == pytest.approx((one.low, one.high)), name
    # A class that is always right is not taken for certain.
    assert wanted["balanced_accuracy"].low < 0.85
    # Means that no evaluation has: by their parts, the classes against the rest.
    for name, kernel in (("macro_ppv", ppv_counts), ("macro_npv", npv_counts)):
        right, of = kernel(counts)
        cells = [kernel(np.eye(9)[3 * i + j].reshape(3, 3)) for i, j in rows]
        moved = np.array([k - right / of * n for k, n in cells])
        at = known[name].of(counts)
        found = definition_interval(known[name], (at, at), [3, 40, 41], counts)
        assert found is not None
        assert (found.low, found.high) == pytest.approx(
            mean_interval(right / of, *jeffreys(right, of), moved)
        )
    at = known["mean_ovr_balanced_accuracy"].of(counts)
    found = definition_interval(known["mean_ovr_balanced_accuracy"], (at, at), [3, 40, 41], counts)
    assert found is not None
    assert found.low < float(at) < found.high
    at = known["jaccard:a"].of(counts)
    found = definition_interval(known["jaccard:a"], (at, at), [3, 40, 41], counts)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(float(end) for end in wilson(3, 5)))


def test_a_mean_with_a_class_of_no_picture_has_no_interval() -> None:
    """A claim counts nothing of nothing as 0; an interval that leaves the class out would not hold the number."""
    counts, known = np.array([[9, 1, 0], [1, 9, 0], [0, 0, 0]]), overall_definitions(3)
    for name in ("balanced_accuracy", "macro_f1"):
        at = known[name].of(counts)
        assert at == Fraction(3, 5)
        assert definition_interval(known[name], (at, at), [10, 10, 0], counts) is None


def test_what_cannot_be_judged_says_why() -> None:
    content = table(classes={"a": None, "b": None}, n=30, claims=[
        {"says": "accuracy", "value": "0.90"}, {"says": "accuracy", "value": "0.91"},
        {"says": "sensitivity", "of": "a", "value": "0.9"},
    ])  # fmt: skip
    found = audit_claims(ClaimFile.model_validate(content)).verdicts
    assert [one.kind for one in found] == ["consistent", "impossible", "cannot be judged"]
    assert "27/30 is 0.900 and 28/30 is 0.933" in found[1].sentence


def test_a_matrix_with_the_truth_in_its_columns() -> None:
    content = table(confusion=[[9, 4], [1, 16]], claims=[{"says": "sensitivity", "of": "a", "value": "0.90"}])
    found = audit_claims(ClaimFile.model_validate(content)).verdicts
    assert [one.kind for one in found] == ["relabelled", "consistent"]
    content = table(confusion=[[9, 4], [1, 15]])
    assert audit_claims(ClaimFile.model_validate(content)).verdicts[0].kind == "impossible"


def test_precision_passed_off_as_sensitivity() -> None:
    claims = [{"says": "accuracy", "value": "0.8333"}, {"says": "specificity", "of": "a", "value": "0.8000"},
              {"says": "sensitivity", "of": "a", "value": "0.692"}]  # fmt: skip
    found = audit_claims(ClaimFile.model_validate(table(claims=claims))).verdicts
    assert [one.kind for one in found] == ["consistent", "consistent", "relabelled"]
    assert found[2].fits == ("ppv:a",)
    assert found[2].computed == (0.9, 0.9)


def test_an_auc_alone_is_left_in_peace_and_one_below_its_point_is_not() -> None:
    alone = table(claims=[{"says": "auc", "of": "a", "value": "0.875"}])
    (one,) = audit_claims(ClaimFile.model_validate(alone)).verdicts
    assert one.kind == "cannot be judged"
    assert one.interval is not None
    low = table(confusion=[[9, 1], [2, 18]], claims=[{"says": "auc", "of": "a", "value": "0.700"}])
    assert audit_claims(ClaimFile.model_validate(low)).verdicts[0].kind == "impossible"
    real = table(confusion=[[9, 1], [2, 18]], claims=[{"says": "auc", "of": "a", "value": "0.956"}])
    assert audit_claims(ClaimFile.model_validate(real)).verdicts[0].kind == "cannot be judged"


def test_a_series_tells_its_step() -> None:
    values = [f"{k / 40:.4f}" for k in (30, 31, 33, 34, 35, 36, 37, 38, 39, 29, 28, 27)]
    content = {"name": "x", "series": [{"name": "s", "values": values, "n": 160}]}
    (found,) = audit_claims(ClaimFile.model_validate(content)).verdicts
    assert found.kind == "contradiction"
    assert "1/40" in found.sentence
    content["series"] = [{"name": "s", "values": values, "n": 40}]
    assert audit_claims(ClaimFile.model_validate(content)).verdicts[0].kind == "consistent"
    content["series"] = [{"name": "s", "values": values, "n": 37}]
    assert audit_claims(ClaimFile.model_validate(content)).verdicts[0].kind == "impossible"


@pytest.mark.parametrize("name", shipped_claims())
def test_every_shipped_file_prints_json_and_a_page(name: str, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(claims)
    done = CliRunner().invoke(app, [name, "--json", "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    said = json.loads(done.output)
    assert said == json.loads((tmp_path / "claims.json").read_text())
    assert said["alarms"] == sum(one["alarm"] for one in said["verdicts"])
    page = (tmp_path / "claims.html").read_text()
    assert "Research use only" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    for one in said["verdicts"]:
        assert one["sentence"].endswith((".", ".)"))
    text = CliRunner().invoke(app, [name], catch_exceptions=False).output
    assert text.rstrip().endswith("Research use only.")


def test_text_from_the_file_is_escaped(tmp_path: Path) -> None:
    content = table(name="<script>alert(1)</script>") | {"title": "<b>x</b>"}
    page = write_claims(tmp_path, audit_claims(ClaimFile.model_validate(content))).read_text()
    assert "<script>" not in page
    assert "<b>x" not in page
