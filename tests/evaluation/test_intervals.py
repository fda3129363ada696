from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, t

from pulmoscope.evaluation import bootstrap_interval, percentile_interval, wilson
from pulmoscope.evaluation.intervals import clopper_pearson, difference_interval, tail_share


def test_wilson_by_hand() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3: 81/263, 15/148, 0/20, 1/29.
    low, high = wilson([81, 15, 0, 1], [263, 148, 20, 29])
    assert low.round(4).tolist() == [0.2553, 0.0624, 0.0, 0.0061]
    assert high.round(4).tolist() == [0.3662, 0.1605, 0.1611, 0.1718]


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(level: float) -> None:
    pairs = [(k, n) for n in (1, 2, 7, 50, 3432) for k in {0, 1, n // 3, n - 1, n}]
    low, high = wilson(*np.array(pairs).T, level=level)
    for index, (k, n) in enumerate(pairs):
        other = binomtest(k, n).proportion_ci(confidence_level=level, method="wilson")
        assert low[index] == pytest.approx(other.low, abs=1e-12)
        assert high[index] == pytest.approx(other.high, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 10**7), share=st.floats(0, 1))
def test_wilson_bounds_are_ordered_and_hold_the_rate(n: int, share: float) -> None:
    k = round(n * share)
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert low < high
    # The complement has the mirrored interval.
    other_low, other_high = wilson(n - k, n)
    assert low == pytest.approx(1 - other_high, abs=1e-9)
    assert high == pytest.approx(1 - other_low, abs=1e-9)


def test_wilson_is_undefined_without_trials() -> None:
    low, high = wilson([0, 1], [0, 1])
    assert np.isnan([low[0], high[0]]).all()
    assert high[1] == 1.0


@pytest.mark.parametrize(("k", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_wilson_refuses_what_is_no_proportion(k: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match="must lie between"):
        wilson(k, n, level)


def test_percentiles_drop_and_count_the_undefined() -> None:
    values = [*np.linspace(0, 1, 101), *[np.nan] * 20]
    low, high, undefined = percentile_interval(values, level=0.9)
    assert (low, high) == (pytest.approx(0.05), pytest.approx(0.95))
    assert undefined == 20


@pytest.mark.parametrize(("values", "undefined"), [([], 0), ([np.nan], 1), ([0.5, np.nan, np.nan], 2)])
def test_percentiles_of_mostly_undefined_replicates_are_undefined(
    values: list[float], undefined: int
) -> None:
    low, high, counted = percentile_interval(values)
    assert np.isnan([low, high]).all()
    assert counted == undefined


def test_half_undefined_is_still_an_interval() -> None:
    assert percentile_interval([0.5, np.nan]) == (0.5, 0.5, 1)


def test_clopper_pearson_by_hand() -> None:
    # The rule of three, exactly: of n trials without success the upper bound is 1 - .025 ** (1 / n).
    low, high = clopper_pearson([0, 20, 81], [20, 20, 263])
    assert (low[0], high[0]) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert (low[1], high[1]) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 5.
    assert (round(float(low[2]), 4), round(float(high[2]), 4)) == (0.2527, 0.3676)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_clopper_pearson_agrees_with_scipy(level: float) -> None:
    pairs = [(k, n) for n in (1, 2, 7, 50, 3432) for k in {0, 1, n // 3, n - 1, n}]
    low, high = clopper_pearson(*np.array(pairs).T, level=level)
    for index, (k, n) in enumerate(pairs):
        other = binomtest(k, n).proportion_ci(confidence_level=level, method="exact")
        assert low[index] == pytest.approx(other.low, abs=1e-9)
        assert high[index] == pytest.approx(other.high, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 200), share=st.floats(1e-6, 1 - 1e-6))
def test_clopper_pearson_never_holds_the_truth_less_often_than_it_says(n: int, share: float) -> None:
    low, high = clopper_pearson(np.arange(n + 1), n)
    assert ((low <= np.arange(n + 1) / n) & (np.arange(n + 1) / n <= high)).all()
    held = (low <= share) & (share <= high)
    assert binom.pmf(np.arange(n + 1)[held], n, share).sum() >= 0.95 - 1e-9


def test_clopper_pearson_is_undefined_without_trials() -> None:
    assert np.isnan(clopper_pearson(0, 0)).all()
    with pytest.raises(ValueError, match="must lie between"):
        clopper_pearson(3, 2)


def test_percentiles_of_few_groups_lie_further_out() -> None:
    # 20 groups: t of 19 degrees of freedom is 2.0930, times sqrt(20 / 19) 2.1474, beyond which the normal has .01588.
    assert tail_share(0.95, 20) == pytest.approx(0.01588, abs=1e-5)
    values = np.linspace(0, 1, 1001)
    assert percentile_interval(values, 0.95, 20)[:2] == pytest.approx((0.01588, 0.98412), abs=1e-5)
    assert np.isnan(percentile_interval(values, 0.95, 1)[:2]).all()


def test_the_bootstrap_interval_by_hand() -> None:
    # Replicates .7, .8, .9 of a value of .8, 4 groups: spread .1 * sqrt(4 / 3), on the logit scale by .16; t of 3
    # degrees of freedom is 3.18245.
    low, high, undefined = bootstrap_interval(0.8, [0.7, 0.8, 0.9, np.nan], groups=4)
    odds = 4 * np.exp(np.array([-1, 1]) * 3.182446305 * 0.1 * np.sqrt(4 / 3) / 0.16)
    assert (low, high) == pytest.approx(tuple(odds / (1 + odds)))
    assert undefined == 1


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=30), st.floats(0.01, 0.99), st.integers(2, 400))
def test_the_bootstrap_interval_stays_inside_and_mirrors(
    drawn: list[float], value: float, groups: int
) -> None:
    assume(np.std(drawn) > 1e-9)
    low, high, _ = bootstrap_interval(value, drawn, groups=groups)
    assert 0 <= low <= value + 1e-12
    assert value - 1e-12 <= high <= 1
    turned = bootstrap_interval(1 - value, 1 - np.array(drawn), groups=groups)
    assert turned[:2] == pytest.approx((1 - high, 1 - low), abs=1e-9)
    assert bootstrap_interval(value, drawn, groups=groups + 1)[1] <= high + 1e-12


@pytest.mark.parametrize(
    ("value", "drawn", "groups"),
    [
        (1.0, [1.0, 1.0], 9),
        (0.5, [0.5, 0.5], 9),
        (0.5, [0.4, 0.6], 1),
        (np.nan, [0.4, 0.6], 9),
        (0.5, [0.4, np.nan, np.nan], 9),
        (0.5, [], 9),
    ],
    ids=["perfect", "no-spread", "one-group", "undefined", "mostly-undefined", "no-replicate"],
)
def test_where_the_bootstrap_has_nothing_to_go_by(value: float, drawn: list[float], groups: int) -> None:
    low, high, _ = bootstrap_interval(value, drawn, groups=groups)
    assert np.isnan([low, high]).all()


def test_fewer_degrees_of_freedom_widen_both_intervals_by_students_t() -> None:
    drawn = [0.7, 0.8, 0.9]
    wide, narrow = (bootstrap_interval(0.8, drawn, groups=40, freedom=df) for df in (4, None))
    reach = [np.log(high / (1 - high)) - np.log(4) for _, high, _ in (wide, narrow)]
    assert reach[0] / reach[1] == pytest.approx(t.ppf(0.975, 4) / t.ppf(0.975, 39))
    low, high, p, _ = difference_interval(0.05, [0.03, 0.05, 0.07], groups=40, freedom=4)
    error = 0.02 * np.sqrt(40 / 39)
    assert (low, high) == pytest.approx((0.05 - t.ppf(0.975, 4) * error, 0.05 + t.ppf(0.975, 4) * error))
    assert p == pytest.approx(2 * t.sf(0.05 / error, 4))


def test_the_bootstrap_interval_refuses_no_level() -> None:
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval(0.5, [0.4, 0.6], groups=3, level=1.0)
