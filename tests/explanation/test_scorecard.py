"""The verdict: each rule broken alone."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pulmoscope.explanation.agreement import Agreement
from pulmoscope.explanation.faithfulness import Gain
from pulmoscope.explanation.group_mean import GroupMean
from pulmoscope.explanation.sanity import Changed
from pulmoscope.explanation.scorecard import MethodRow, Versus


def mean(value: float, half: float = 0.01) -> GroupMean:
    return GroupMean(value=value, low=value - half, high=value + half, pictures=60, groups=50)


def gains(deletion: float = 0.1, insertion: float = 0.1, road: float = 0.1) -> Gain:
    return Gain(deletion=mean(deletion), insertion=mean(insertion), road=mean(road))


def level(name: str, spearman: float, vanished: float = 0.0) -> Changed:
    return Changed(name=name, spearman=mean(spearman), ssim=mean(0.1), vanished=vanished)


def good(**changes: Any) -> MethodRow:
    row = MethodRow(
        method="grad-cam", title="Grad-CAM", layer="backbone", empty=0.02, deletion=mean(0.3), insertion=mean(0.7),
        road=mean(0.2), gains={"elsewhere": gains(), "centred": gains()},
        randomised=[level("head", 0.4), level("all layers", 0.1)],
    )  # fmt: skip
    return dataclasses.replace(row, **changes)


def test_all_is_well() -> None:
    row = good()
    assert row.usable
    assert row.sentence == "Grad-CAM may be used on this model."
    assert row.remarks == ()
    json.dumps(row.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"empty": 0.6}, "60% of its maps are empty"),
        (
            {"gains": {"elsewhere": gains(road=-0.05), "centred": gains()}},
            "by ROAD it is worse than the same map laid elsewhere",
        ),
        (
            {"gains": {"elsewhere": gains(), "centred": gains(deletion=0.005, insertion=0.0)}},
            "only by ROAD is it shown to be better than a centred blob on 60 pictures",
        ),
        (
            {"gains": {"elsewhere": gains(0.0, 0.0, 0.0), "centred": gains()}},
            "by none of deletion, insertion and ROAD is it shown to be better than the same map laid elsewhere on 60 "
            "pictures",
        ),
        (
            {"randomised": [level("head", 0.4), level("all layers", 0.8)]},
            "it hardly changes when all weights are random (rank correlation 0.80)",
        ),
        (
            {"randomised": [level("head", 1.0), level("all layers", 0.1)]},
            "it does not depend on the class (rank correlation 1.00 with a random head)",
        ),
        (
            {"shuffled": level("shuffled labels", 0.7)},
            "a network trained on shuffled labels gives much the same map (rank correlation 0.70)",
        ),
    ],
)
def test_each_rule_alone(changes: dict[str, Any], reason: str) -> None:
    row = good(**changes)
    assert row.reasons == (reason,)
    assert row.sentence == f"Grad-CAM may not be used on this model, because {reason}."


def test_a_map_that_vanishes_has_changed() -> None:
    assert good(randomised=[level("head", 0.4), level("all layers", 0.9, vanished=0.8)]).usable


def test_two_measures_of_three_are_enough_and_undefined_is_not_shown() -> None:
    assert good(gains={"elsewhere": gains(road=0.0), "centred": gains(deletion=0.0)}).usable
    nothing = GroupMean(value=float("nan"), low=float("nan"), high=float("nan"), pictures=0, groups=0)
    none = Gain(deletion=nothing, insertion=nothing, road=nothing)
    row = good(gains={"elsewhere": none, "centred": gains()})
    assert not row.usable
    assert row.as_dict()["gains"]["elsewhere"]["road"]["value"] is None


def test_where_a_map_lies_is_told_and_decides_nothing() -> None:
    outside = Versus(value=mean(0.1), chance=mean(0.3), gain=mean(-0.2))
    pointing = Versus(value=mean(0.95), chance=mean(0.12), gain=mean(0.83))
    agreed = Agreement(spearman=mean(0.3), top_overlap=mean(0.2))
    row = good(lungs=outside, lesions={"pointing": pointing}, agreement={"eigen-cam": agreed}, other=agreed)
    assert row.usable
    lesion, lungs, methods, trainings = row.remarks
    assert lesion.startswith("Grad-CAM points at the known lesion in 95% of 60 pictures")
    assert lungs.startswith("10% of the map lies inside the lungs, which are 30% of the picture")
    assert lungs.endswith("the model looks for its answer outside the lungs.")
    assert methods == "It disagrees with eigen-cam (rank correlation under 0.5)."
    assert trainings.startswith("Another training of the network points elsewhere")
    more = good(lungs=Versus(value=mean(0.6), chance=mean(0.3), gain=mean(0.3)))
    assert more.remarks[0].endswith(": more than chance.")
    same = good(lungs=Versus(value=mean(0.3), chance=mean(0.3), gain=mean(0.0)))
    assert same.remarks[0].endswith(": no different from chance.")
