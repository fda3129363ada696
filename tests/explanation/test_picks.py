"""Which pictures a gallery shows, worked out on a table of nine."""

from __future__ import annotations

import numpy as np
import pytest

from pulmoscope.errors import PulmoscopeError
from pulmoscope.evaluation import Predictions
from pulmoscope.explanation import pick_rows

P = [
    (0.90, 0.10), (0.80, 0.20), (0.70, 0.30), (0.60, 0.40), (0.30, 0.70),  # truly covid; the last is missed
    (0.95, 0.05), (0.45, 0.55), (0.10, 0.90), (0.51, 0.49),  # truly normal; the first and the last are wrong
]  # fmt: skip
TABLE = Predictions.from_arrays(
    image_id=[f"p{i}" for i in range(9)], probabilities=np.array(P), classes=("covid", "normal"),
    label=["covid"] * 5 + ["normal"] * 4,
)  # fmt: skip


def chosen(*wanted: str, limit: int = 9, positive: str | None = None) -> dict[str, tuple[list[int], int]]:
    found = pick_rows(TABLE, wanted, limit=limit, positive=positive)
    return {one.name: (one.rows.tolist(), one.of) for one in found}


def test_outcomes_of_each_class_and_of_one() -> None:
    assert chosen("tp") == {"tp:covid": ([0, 1, 2, 3], 4), "tp:normal": ([7, 6], 2)}
    assert chosen("fn", "fp", positive="covid") == {"fn:covid": ([4], 1), "fp:covid": ([5, 8], 2)}
    assert chosen("fp:normal") == {"fp:normal": ([4], 1)}


def test_cells_and_extremes() -> None:
    assert chosen("errors") == {"covid>normal": ([4], 1), "normal>covid": ([5, 8], 2)}
    assert chosen("covid>covid", limit=1) == {"covid>covid": ([0], 4)}
    assert chosen("confident-wrong", limit=2) == {"confident-wrong": ([5, 4], 3)}
    assert chosen("least-sure", limit=3) == {"least-sure": ([8, 6, 3], 9)}


def test_a_class_may_hold_the_sign() -> None:
    odd = Predictions.from_arrays(
        image_id=["x"], probabilities=[[0.1, 0.9]], classes=("<b>covid", ">60%"), label=["<b>covid"]
    )
    assert [one.rows.tolist() for one in pick_rows(odd, ["<b>covid>>60%"])] == [[0]]


def test_a_limit_keeps_both_ends_and_even_steps() -> None:
    assert chosen("tp:covid", limit=2) == {"tp:covid": ([0, 3], 4)}
    assert chosen("tp:covid", limit=3)["tp:covid"][0] == [0, 2, 3]


def test_what_there_is_none_of_comes_back_empty() -> None:
    right = Predictions.from_arrays(
        image_id=["x"], probabilities=[[0.9, 0.1]], classes=("covid", "normal"), label=["covid"]
    )
    assert [(one.name, len(one.rows), one.of) for one in pick_rows(right, ["fn", "errors"])] == [
        ("fn:covid", 0, 0), ("fn:normal", 0, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("fx", "no pick 'fx'.*TRUE>PREDICTED"), ("tp:flu", "no class 'flu'"), ("covid>flu", "no class 'flu'")],
)
def test_mistakes_are_said(wanted: str, said: str) -> None:
    with pytest.raises(PulmoscopeError, match=f"E_PICK.*{said}"):
        pick_rows(TABLE, [wanted])
    with pytest.raises(PulmoscopeError, match="at least 1"):
        pick_rows(TABLE, ["tp"], limit=0)
