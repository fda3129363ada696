"""The five published systems: every defect that a number can show is found, and nothing else is called wrong."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pulmoscope.evaluation import confusion_matrix
from pulmoscope.evaluation.claims import (
    Audit,
    ClaimFile,
    Verdict,
    audit_claims,
    judge_table,
    read_claims,
    shipped_claims,
)
from pulmoscope.evaluation.claims.definitions import overall_definitions

# Printed accuracy, sensitivity and specificity, and the three-class accuracy of their own predictions, all in per cent.
PAL_PAUL = {
    "MobileNetV2": ("50e_MobileNetV2_360x360_128-32-3", 96.29, 94.09, 97.36, 94.43),
    "VGG16": ("100e_VGG_16_360x360_128-32-3", 96.85, 94.75, 97.74, 95.28),
    "DenseNet201": ("50e_DenseNet201_360x360_128-32-3", 96.87, 94.79, 97.75, 95.31),
    "Xception": ("50e_Xception_360x360_128-32-3", 97.16, 95.34, 97.99, 95.75),
    "InceptionResNetV2": ("50e_InceptionResNetV2_360x360_128-32-3", 97.11, 95.30, 97.94, 95.66),
    "ResNet152V2": ("50e_ResNet152V2_360x360_128-32-3", 96.69, 94.51, 97.61, 95.05),
    "NASNetLarge": ("50e_NASNetLarge_331x331_128-32-3", 95.69, 92.61, 96.63, 93.53),
    "InceptionV3": ("50e_InceptionV3_360x360_128-32-3", 97.57, 95.98, 98.27, 96.36),
}


@pytest.fixture(scope="module")
def audits() -> dict[str, Audit]:
    return {name: audit_claims(name) for name in shipped_claims()}


def one_of(audit: Audit, where: str, what: str) -> Verdict:
    return next(one for one in audit.at(where) if one.what.startswith(what))


def test_the_five_systems_are_shipped() -> None:
    assert shipped_claims() == [f"system_{letter}" for letter in "abcde"]


def test_a_gives_no_n_and_contradicts_itself(audits: dict[str, Audit]) -> None:
    found = audits["system_a"]
    assert {one.what: one.kind for one in found.at("statements")} == {
        "epochs": "contradiction", "best network": "contradiction",
    }  # fmt: skip
    accuracy = one_of(found, "validation", "accuracy")
    assert (accuracy.kind, accuracy.interval) == ("cannot be judged", None)
    assert "does not say on how many pictures" in accuracy.sentence
    assert len(found.alarms) == 2


def test_b_prints_an_f1_that_its_matrix_does_not_have(audits: dict[str, Audit]) -> None:
    found = audits["system_b"]
    f1 = one_of(found, "CheXNet, test", "F1")
    assert f1.kind == "impossible"
    assert f1.computed is not None
    assert round(f1.computed[0], 3) == 0.719
    sensitivity = one_of(found, "ImageNet, test", "sensitivity")
    assert sensitivity.kind == "consistent"
    assert sensitivity.interval is not None
    assert (round(sensitivity.interval.low, 2), round(sensitivity.interval.high, 2)) == (0.63, 0.92)
    # 1,380 is not the sum of the parts, the grid was not judged on the 300 validation pictures; all else is in order.
    assert [(one.where, one.kind) for one in found.alarms] == [
        ("CheXNet, test", "impossible"), ("grid search", "contradiction"), ("grid search", "contradiction"),
        ("pictures", "contradiction"),
    ]  # fmt: skip
    assert "150 pictures" in found.at("grid search")[0].sentence


def test_b_without_its_matrix_is_found_too() -> None:
    file = read_claims("system_b")
    table = next(one for one in file.tables if one.name == "CheXNet, test")
    bare = table.model_copy(update={"confusion": None})
    found = judge_table(bare)
    assert [one.kind for one in found] == ["consistent"] * 3 + ["impossible"]


def test_c_is_consistent_but_its_covid_is_viral_pneumonia(audits: dict[str, Audit]) -> None:
    found = audits["system_c"]
    assert {one.kind for one in found.verdicts if "test" in one.where} == {"consistent"}
    (alarm,) = found.alarms
    assert (alarm.what, alarm.kind) == ("class counts, training", "relabelled")
    assert "covid is viral pneumonia" in alarm.sentence


def test_d_prints_balanced_accuracies_as_roc(audits: dict[str, Audit]) -> None:
    found = audits["system_d"]
    areas = [one for one in found.at("VGG19, test") if one.what.startswith("AUC")]
    assert [one.kind for one in areas] == ["relabelled"] * 3
    assert [one.fits for one in areas] == [
        (f"ovr_balanced_accuracy:{name}",) for name in ("covid", "normal", "pneumonia")
    ]
    assert {one.kind for one in found.at("VGG19, test") if one not in areas} == {"consistent"}
    origin = found.at("COVID-19 radiography, first release")[0]
    assert origin.kind == "confounded"
    assert "children" in origin.sentence
    assert len(found.alarms) == 4


def test_e_prints_the_mean_one_vs_rest_accuracy_and_the_formula_of_precision(
    audits: dict[str, Audit],
) -> None:
    found = audits["system_e"]
    for name, (_, _, _, _, three_class) in PAL_PAUL.items():
        accuracy = one_of(found, name, "accuracy")
        assert accuracy.kind == "relabelled"
        assert accuracy.fits[0] == "mean_ovr_accuracy"
        assert accuracy.computed is not None
        assert abs(100 * accuracy.computed[0] - three_class) <= 0.005 + 1e-9
        assert {one.kind for one in found.at(name)[1:]} == {"consistent"}
    best = one_of(found, "InceptionV3", "accuracy")
    assert best.interval is not None
    assert (round(100 * best.interval.low, 1), round(100 * best.interval.high, 1)) == (95.7, 96.9)
    (formula,) = found.at("formulas")
    assert (formula.kind, formula.fits) == ("relabelled", ("ppv",))
    # The class counts alone are enough.
    alone = found.at("InceptionV3, from the class counts alone")
    assert [one.kind for one in alone] == ["relabelled", "consistent", "consistent"]
    assert alone[0].fits == ("mean_ovr_accuracy",)
    assert alone[0].computed is not None
    assert [round(100 * end, 2) for end in alone[0].computed] == [96.36, 96.36]
    assert len(found.alarms) == 10


@pytest.fixture(scope="module")
def published(real_data: Path) -> pd.DataFrame:
    file = real_data / "published_predictions" / "pal_paul_2021.csv"
    if not file.is_file():
        pytest.skip(f"no published predictions here: {file.name} is not in the data folder")
    return pd.read_csv(file)


@pytest.mark.parametrize("name", PAL_PAUL)
def test_every_model_has_the_numbers_of_its_published_predictions(published: pd.DataFrame, name: str) -> None:
    model, accuracy, sensitivity, specificity, three_class = PAL_PAUL[name]
    rows = published[published["model"] == model]
    matrix = confusion_matrix(rows["y_true"], rows["y_pred"], 3)
    known = overall_definitions(3)
    # The report cuts digits off as often as it rounds.
    for definition, printed in {
        "mean_ovr_accuracy": accuracy, "balanced_accuracy": sensitivity, "macro_specificity": specificity,
        "accuracy": three_class,
    }.items():  # fmt: skip
        value = 100 * float(known[definition].of(matrix))
        assert printed - 0.005 - 1e-9 <= value < printed + 0.01, (definition, value)
    table = next(one for one in read_claims("system_e").tables if one.name == name)
    assert table.confusion == tuple(map(tuple, matrix.tolist()))
    assert [claim.value for claim in table.claims] == [
        f"{one:.2f}%" for one in (accuracy, sensitivity, specificity)
    ]


def test_all_28_runs_printed_so_are_relabelled_and_printed_rightly_are_not(published: pd.DataFrame) -> None:
    known = overall_definitions(3)
    for model, rows in published.groupby("model"):
        matrix = confusion_matrix(rows["y_true"], rows["y_pred"], 3)
        right, means = (
            f"{100 * float(known[name].of(matrix)):.2f}%" for name in ("accuracy", "mean_ovr_accuracy")
        )
        beside = [
            {"says": "sensitivity", "value": f"{100 * float(known['balanced_accuracy'].of(matrix)):.2f}%"},
            {"says": "specificity", "value": f"{100 * float(known['macro_specificity'].of(matrix)):.2f}%"},
        ]
        for value, kind in ((right, "consistent"), (means, "relabelled")):
            content = {
                "name": str(model),
                "tables": [{
                    "name": "t", "classes": {"a": 1000, "b": 1432, "c": 1000}, "confusion": matrix.tolist(),
                    "claims": [{"says": "accuracy", "value": value}, *beside],
                }],
            }  # fmt: skip
            found = audit_claims(ClaimFile.model_validate(content)).verdicts
            assert [one.kind for one in found] == [kind, "consistent", "consistent"], (model, value)
