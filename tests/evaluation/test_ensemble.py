"""Members combined: weights against SciPy, stacking against scikit-learn, and what may be looked at."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from pulmoscope.errors import PulmoscopeError, TableError
from pulmoscope.evaluation import Predictions
from pulmoscope.evaluation.combine import (
    Stacked,
    Weighted,
    combination_from_dict,
    equal_weights,
    fit_combination,
    fit_stack,
    fit_weights,
)
from pulmoscope.evaluation.ensemble import build_ensemble
from pulmoscope.evaluation.ensemble_tests import against_members

CLASSES = ("a", "b", "c")


def members_of(rows: int, sharpness: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True classes, and members that see the truth through noise of their own."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    logits = (
        rng.normal(0, 1, (len(sharpness), rows, 3)) + np.array(sharpness)[:, None, None] * np.eye(3)[truth]
    )
    raised = np.exp(logits)
    return truth, raised / raised.sum(axis=2, keepdims=True)


def loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())


def tables(
    val: int = 120, test: int = 90, sharpness: tuple[float, ...] = (1.0, 2.5), *, seed: int = 0
) -> dict[str, Predictions]:
    truth, members = members_of(val + test, list(sharpness), seed)
    return {
        f"m{index}": Predictions.from_arrays(
            image_id=[f"i{row}" for row in range(val + test)], probabilities=one, classes=CLASSES,
            label=[CLASSES[k] for k in truth], group_id=[f"g{row // 2}" for row in range(val + test)],
            split=["val"] * val + ["test"] * test,
        )
        for index, one in enumerate(members)
    }  # fmt: skip


def test_the_mean_by_hand() -> None:
    got = equal_weights(2).apply([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.4, 0.6]]])
    assert got == pytest.approx(np.array([[0.7, 0.3], [0.3, 0.7]]))


@pytest.mark.parametrize("sharpness", [[1.0, 2.5], [0.0, 3.0, 0.1], [2.0, 2.0, 2.0, 2.0]])
def test_weights_are_the_best_on_the_simplex(sharpness: list[float]) -> None:
    truth, members = members_of(400, sharpness, seed=2)
    found = fit_weights(truth, members)
    count = len(sharpness)
    other = minimize(
        lambda w: loss(truth, np.einsum("t,tnc->nc", w, members)), np.full(count, 1 / count), method="SLSQP",
        bounds=[(0, 1)] * count, constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    assert loss(truth, found.apply(members)) == pytest.approx(other.fun, abs=2e-6)
    assert loss(truth, found.apply(members)) <= loss(truth, equal_weights(count).apply(members))
    assert sum(found.weights) == pytest.approx(1)
    assert np.allclose(found.weights, other.x, atol=0.02)


def test_a_useless_member_gets_no_weight_and_a_perfect_one_all() -> None:
    truth = np.array([0, 1, 0, 1])
    perfect, wrong = np.eye(2)[truth], np.eye(2)[1 - truth]
    found = fit_weights(truth, np.stack([wrong, perfect]))
    assert found.weights == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_stacking_is_scikit_learns(classes: int) -> None:
    truth, members = members_of(300, [1.0, 2.0])
    if classes == 2:
        truth, members = truth % 2, members[:, :, :2] / members[:, :, :2].sum(axis=2, keepdims=True)
    columns = np.concatenate(list(np.log(members)), axis=1)
    other = LogisticRegression(max_iter=10_000, tol=1e-8).fit(columns, truth).predict_proba(columns)
    got = fit_stack(truth, members).apply(members)
    assert got == pytest.approx(other, abs=1e-8)
    assert got.sum(axis=1) == pytest.approx(np.ones(300))


def test_stacking_mends_a_member_that_mixes_classes_up() -> None:
    truth, members = members_of(600, [3.0])
    turned = members[:, :, [1, 2, 0]]
    fitted = fit_stack(truth[:300], turned[:, :300])
    assert (fitted.apply(turned[:, 300:]).argmax(axis=1) == truth[300:]).mean() > 0.85
    assert (turned[0, 300:].argmax(axis=1) == truth[300:]).mean() < 0.15


def test_stored_and_read_back() -> None:
    truth, members = members_of(100, [1.0, 2.0])
    for method in ("mean", "weighted", "stacked"):
        one = fit_combination(truth, members, method)
        again = combination_from_dict(json.loads(json.dumps(one.as_dict(), allow_nan=False)))
        assert np.array_equal(one.apply(members), again.apply(members))
        assert again.method == method
    for damage in ({}, {"method": "odd"}, {"method": "mean", "weights": [0.2]}, {"method": "stacked"}):
        with pytest.raises(PulmoscopeError, match="E_ENSEMBLE"):
            combination_from_dict(damage)
    with pytest.raises(ValueError, match="expected 2 members"):
        Weighted(method="mean", weights=(0.5, 0.5)).apply(members[:1])
    with pytest.raises(ValueError, match="expected 2 members"):
        Stacked(coefficients=np.zeros((3, 6)), intercepts=np.zeros(3)).apply(members[:1])
    with pytest.raises(PulmoscopeError, match="no picture"):
        fit_stack(np.zeros(100, int), members)
    with pytest.raises(PulmoscopeError, match="E_OPTION"):
        fit_combination(truth, members, "odd")


def test_the_mean_of_tables_keeps_pictures_and_order_apart() -> None:
    one, other = tables().values()
    shuffled = Predictions(other.frame.sample(frac=1, random_state=1))
    found = build_ensemble({"one": one, "other": shuffled})
    assert found.judged.frame["image_id"].tolist() == one.part("test").frame["image_id"].tolist()
    wanted = (one.part("test").probabilities + other.part("test").probabilities) / 2  # type: ignore[operator]
    assert found.judged.probabilities == pytest.approx(wanted)
    assert found.predictions.splits == ("test", "val")
    assert found.fitted_on is None


@pytest.mark.parametrize("method", ["weighted", "stacked"])
def test_the_test_part_is_not_looked_at(method: str) -> None:
    before = build_ensemble(tables(), method=method)
    changed = {}
    for name, table in tables().items():
        frame = table.frame
        frame.loc[frame["split"] == "test", "label"] = "a"
        changed[name] = Predictions(frame, CLASSES)
    after = build_ensemble(changed, method=method)
    assert before.combination.as_dict() == after.combination.as_dict()
    assert np.array_equal(before.judged.probabilities, after.judged.probabilities)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["weighted", "stacked"])
def test_validation_rows_come_from_weights_fitted_without_them(method: str) -> None:
    given = tables(sharpness=(2.0, 2.1))
    found = build_ensemble(given, method=method)
    rows = found.predictions.part("val")
    own = found.combination.apply(np.stack([table.part("val").probabilities for table in given.values()]))  # type: ignore[misc]
    assert not np.allclose(rows.probabilities, own)  # type: ignore[arg-type]
    assert loss(rows.labels, rows.probabilities) > loss(rows.labels, own)  # type: ignore[arg-type]
    assert any("fitted without them" in note for note in found.notes)


def test_a_member_that_is_worth_nothing_gets_nothing_and_the_rest_is_not_tested_against_rounding() -> None:
    found = tables(sharpness=(3.0, -1.0), seed=4)
    made = build_ensemble(found, method="weighted")
    assert made.combination.as_dict()["weights"] == [1.0, 0.0]
    alone, beside = against_members(made, replicates=50)
    for one in alone.differences.values():
        assert (one.difference, one.p) == (0.0, 1.0)
    assert beside.differences["log_loss"].p < 0.05
    assert "difference (ensemble minus m1)" in " ".join(beside.sentences())


def test_many_like_members_keep_their_weights() -> None:
    truth = np.arange(10) % 2
    alike = np.tile(np.where(np.eye(2)[truth] > 0, 0.6, 0.4), (1200, 1, 1))
    assert fit_weights(truth, alike).weights == pytest.approx([1 / 1200] * 1200)


def test_small_weights_stay_where_they_are_worth_something() -> None:
    # The second knows one of 4,000 pictures that the first is all but sure to be wrong about.
    truth = np.zeros(4000, int)
    first, second = np.tile([0.6, 0.4], (4000, 1)), np.tile([0.5, 0.5], (4000, 1))
    first[0], second[0] = (1e-9, 1 - 1e-9), (1, 0)
    weights = fit_weights(truth, np.stack([first, second])).weights
    assert 0 < weights[1] < 0.01


def test_few_groups_are_said() -> None:
    few = {name: Predictions(table.frame.iloc[112:], CLASSES) for name, table in tables().items()}
    found = build_ensemble(few, method="weighted")
    assert any("flatters" in note for note in found.notes)
    own = found.combination.apply(np.stack([table.part("val").probabilities for table in few.values()]))  # type: ignore[misc]
    assert found.predictions.part("val").probabilities == pytest.approx(own)


def test_tables_that_do_not_fit_are_refused_in_one_line() -> None:
    one, other = tables().values()
    fold = Predictions(other.frame.assign(image_id=[f"j{row}" for row in range(len(other))]))
    with pytest.raises(TableError, match="E_IMAGES_DIFFER.*no picture shared"):
        build_ensemble({"one": one, "fold": fold})
    whole = [Predictions(table.frame.assign(split=None), CLASSES) for table in (one, other)]
    with pytest.raises(TableError, match="no pictures to be fitted on"):
        build_ensemble(dict(zip("xy", whole, strict=True)), method="weighted")
    assert len(build_ensemble(dict(zip("xy", whole, strict=True))).judged) == 210
    hard = Predictions(one.frame[["image_id", "label", "split"]].assign(prediction="a"), CLASSES)
    with pytest.raises(TableError, match="no probabilities"):
        build_ensemble({"one": one, "hard": hard})
    with pytest.raises(TableError, match="E_TOO_FEW_MODELS"):
        build_ensemble({"one": one})
