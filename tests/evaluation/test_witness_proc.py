"""DeLong's method against R's pROC: the numbers of ``tests/golden/proc.R`` on the data that stand in its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pulmoscope.evaluation import auroc, delong_interval, delong_paired

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "proc.json").read_text())
CASES = {name: case for name, case in GOLDEN.items() if name != "made_with"}


def test_the_file_is_what_it_says() -> None:
    assert GOLDEN["made_with"] == "R 4.2.2, pROC 1.18.0"
    assert list(CASES) == ["plain", "ties", "few_positives", "below_one_half"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize(("which", "at"), [("first", 0), ("second", 1)])
def test_one_area(case: dict[str, Any], which: str, at: int) -> None:
    found = delong_interval(case["positive"], case[which], scale="plain")
    assert found.value == pytest.approx(case["auc"][at], abs=1e-9)
    assert auroc(case["positive"], case[which]) == pytest.approx(case["auc"][at], abs=1e-9)
    assert found.se**2 == pytest.approx(case["variance"][at], abs=1e-9)
    # pROC gives the lower bound, the area and the upper bound.
    assert [found.low, found.value, found.high] == pytest.approx(case[f"ci95_{which}"], abs=1e-9)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_another_level(case: dict[str, Any]) -> None:
    found = delong_interval(case["positive"], case["first"], level=0.9, scale="plain")
    assert [found.low, found.value, found.high] == pytest.approx(case["ci90_first"], abs=1e-9)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_two_areas_of_the_same_pictures(case: dict[str, Any]) -> None:
    found = delong_paired(case["positive"], case["first"], case["second"])
    variance = sum(case["variance"]) - 2 * case["covariance"]
    assert found.se**2 == pytest.approx(variance, abs=1e-9)
    assert found.difference / found.se == pytest.approx(case["z"], abs=1e-9)
    assert found.p == pytest.approx(case["p"], abs=1e-9)
    assert [found.low, found.high] == pytest.approx(case["difference_ci95"], abs=1e-9)
