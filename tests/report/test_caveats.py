from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pictures import write_tree
from pulmoscope.cohort import Cohort
from pulmoscope.cohort.caveats import caveats as builder_caveats
from pulmoscope.cohort.table import conform
from pulmoscope.report import find_caveats
from pulmoscope.report.caveat import from_text

Frame = Callable[..., pd.DataFrame]


def codes(**given: Any) -> dict[str, str]:
    return {caveat.code: caveat.what for caveat in find_caveats(**given)}


def rate(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def scores(accuracy: dict[str, float | None], support: int = 200, **rates: Any) -> dict[str, Any]:
    named = {name: {"support": support, "sensitivity": rate(0.9), **rates} for name in ("covid", "normal")}
    return {"n": 2 * support, "accuracy": accuracy, "macro_auroc": rate(0.9), "classes": named}


def test_a_sound_cohort_has_none(make_frame: Frame) -> None:
    frame = make_frame()
    frame = pd.concat(
        [frame.assign(image_id=f"{n}" + frame["image_id"], group_id=f"{n}" + frame["group_id"]) for n in "ab"]
    )
    assert codes(frame=frame, scores=scores(rate(0.9, 0.8, 0.95)), ece=0.02) == {}


def test_every_caveat_says_why_and_what_to_do(make_frame: Frame) -> None:
    frame = make_frame().assign(patient_id=None, source="one", view=None)
    info = {"dropped": {"unreadable": 3}, "caveats": ["Something nobody foresaw."], "split": {"leaked": True}}
    found = find_caveats(frame=frame, info=info, scores=scores(rate(None), support=3), ece=0.4)
    assert {"leaked-split", "validation", "no-patient-ids", "one-collection", "view-unknown", "few-test-pictures",
            "undefined", "calibration", "dropped", "other"} == {caveat.code for caveat in found}  # fmt: skip
    for caveat in found:
        assert caveat.what
        assert caveat.why.endswith(".")
        assert caveat.remedy.endswith(".")
    assert found[0].level == "danger"
    assert [caveat.level for caveat in found] == sorted(
        (c.level for c in found), key=["danger", "warning", "note"].index
    )


def test_a_leak_is_found_in_the_rows_even_if_nobody_said_so(make_frame: Frame) -> None:
    frame = make_frame()
    train, test = frame.index[frame["split"] == "train"][0], frame.index[frame["split"] == "test"][0]
    frame.loc[[train, test], "group_id"] = "same"
    assert "1 groups" in codes(frame=frame)["leaked-split"]


def test_an_external_leak_speaks_of_the_training_data(make_frame: Frame) -> None:
    info = {"split": {"kind": "external", "leaked": True, "leaking_groups": 4}}
    assert "training data" in codes(frame=make_frame().assign(split="test"), info=info)["leaked-split"]


def test_a_tiny_validation_set_matters_only_where_something_was_trained(make_frame: Frame) -> None:
    frame = make_frame()
    assert "80 pictures" in codes(frame=frame)["validation"]
    assert "validation" not in codes(frame=frame, trained=False)


def test_class_from_one_source(make_frame: Frame) -> None:
    frame = make_frame()
    frame.loc[frame["label"] == "covid", "source"] = "gamma"
    assert "covid only from gamma" in codes(frame=frame)["source-tied"]


def test_class_tied_to_view_age_and_size(make_frame: Frame) -> None:
    frame = make_frame()
    covid = frame["label"] == "covid"
    frame.loc[covid, "view"] = "AP"
    frame.loc[~covid, "view"] = "PA"
    frame.loc[covid, "age"] = 4.0
    frame.loc[covid, ["width", "height"]] = 512
    found = codes(frame=frame)
    assert "share of AP in covid 100.0%" in found["view-tied"]
    assert "median age 4 years in covid" in found["age-tied"]
    assert "512 x 512 pixels in 100% of covid" in found["size-tied"]


def test_validation_far_above_test() -> None:
    found = codes(scores=scores(rate(0.80, 0.77, 0.83)), validation=scores(rate(0.95, 0.93, 0.97)))
    assert "0.950 (0.930-0.970)" in found["validation-gap"]
    assert codes(scores=scores(rate(0.90, 0.85, 0.94)), validation=scores(rate(0.95, 0.93, 0.97))) == {}


def test_undefined_rates_are_named() -> None:
    assert "auroc of covid" in codes(scores=scores(rate(0.9), auroc=rate(None)))["undefined"]


@pytest.mark.parametrize("place", ["notes", "caveats"])
def test_covid_that_is_viral_pneumonia(make_frame: Frame, place: str) -> None:
    said = "The class 'covid' of this collection holds viral pneumonia."
    info: dict[str, Any] = (
        {"caveats": [said]} if place == "caveats" else {"sources": {"k": {"kind": "x", "notes": [said]}}}
    )
    found = [c for c in find_caveats(frame=make_frame(), info=info) if c.code == "label-meaning"]
    assert len(found) == 1
    assert said in found[0].what
    assert found[0].level == "warning"


@pytest.mark.parametrize("labels", [None, "normal-infected", "binary-covid"])
def test_kermanys_layout_is_said_once_from_the_folders_to_the_report(
    tmp_path: Path, labels: str | None
) -> None:
    leaves = ("infected/covid", "infected/non-covid", "normal")
    names = [
        f"{part}/{leaf}/{i}.png" for part in ("train", "val", "test") for leaf in leaves for i in range(3)
    ]
    cohort = Cohort.from_sources(
        {"course": write_tree(tmp_path, names)}, labels=labels, near_copies=False, workers=1
    )
    assert sum("Kermany et al. 2018" in text for text in cohort.info["caveats"]) == 1
    found = find_caveats(frame=cohort.frame, info=cohort.info)
    said = [caveat for caveat in found if "Kermany" in caveat.what]
    assert [caveat.code for caveat in said] == ["label-meaning"]
    assert said[0].what.count("viral pneumonia") == 1


def test_what_the_builder_said_is_not_said_twice(make_frame: Frame) -> None:
    frame = make_frame()
    frame.loc[frame["label"] == "covid", "source"] = "gamma"
    info = {"caveats": ["Class covid comes from one source only (gamma)."]}
    found = find_caveats(frame=frame, info=info)
    assert sum(caveat.code == "source-tied" for caveat in found) == 1


def test_kermany_under_another_name_is_known_by_its_counts(make_frame: Frame) -> None:
    counts = {"normal": 1583, "non-covid": 2780, "covid": 1480}
    frame = pd.DataFrame(
        {"label": [name for name, n in counts.items() for _ in range(n)], "source": "course"}
    )
    assert "viral pneumonia of children" in codes(frame=frame)["label-meaning"]
    renamed = frame.replace({"label": {"covid": "viral"}})
    assert "label-meaning" not in codes(frame=renamed)


def test_the_phantom_is_said_to_be_synthetic(make_frame: Frame) -> None:
    info = {"sources": {"demo": {"kind": "phantom", "notes": []}}}
    assert "synthetic" in codes(frame=make_frame(), info=info)


def test_every_sentence_of_the_cohort_builder_finds_its_reason(make_frame: Frame) -> None:
    frame = make_frame()
    frame = frame[(frame["split"] == "train") | (frame.groupby(["split", "label"]).cumcount() < 5)]
    covid = frame["label"] == "covid"
    frame = frame.assign(source=frame["source"].mask(covid, "gamma"), view=frame["view"].mask(covid, "AP"))
    frame["age"] = frame["age"].mask(covid, 3.0)
    frame["group_id"] = frame["group_id"].mask(covid, "one")
    frame["patient_id"] = frame["patient_id"].mask(frame["source"] == "beta")
    said = builder_caveats(
        conform(frame), classes=("covid", "non-covid", "normal"), leaked=True, leaking_groups=2, conflicts=3,
        picture_notes={"inverted-suspect": 4, "low-depth": 5},
    )  # fmt: skip
    assert len(said) >= 10
    found = {text: from_text(text).code for text in said}
    assert [text for text, code in found.items() if code == "other"] == []
    assert {"leaked-split", "label-conflict", "source-tied", "validation", "few-test-pictures", "few-groups",
            "no-patient-ids", "view-tied", "age-tied", "pictures"} <= set(found.values())  # fmt: skip


def test_a_carved_validation_set_is_a_note_and_sizes_come_from_the_rows(make_frame: Frame) -> None:
    frame = make_frame()
    frame = pd.concat([frame.assign(image_id=n + frame["image_id"]) for n in "ab"])
    info = {"caveats": ["160 validation pictures were carved out of the training part (15% by groups)",
                        "there is no validation set: carve one out of the training part"]}  # fmt: skip
    found = {
        caveat.code: caveat.level
        for caveat in find_caveats(frame=frame.assign(group_id="g" + frame["image_id"]), info=info)
    }
    assert found == {"carved": "note"}
