"""Effects from predictions tables: by hand, by a regression, on published predictions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulmoscope.errors import TableError
from pulmoscope.evaluation import Predictions, mcnemar
from pulmoscope.evaluation.p_value import show_p
from pulmoscope.search.ablation import Ablation, ablation_effects
from pulmoscope.search.ablation_words import notes, sentences
from pulmoscope.search.contrasts import cells_against_plain, effects_of
from pulmoscope.search.factors import Cell, Factor, Level, design_cells

Tables = dict[Cell, dict[int, Predictions]]


def factors_of(*counts: int) -> tuple[Factor, ...]:
    return tuple(
        Factor(name=name, levels=tuple(Level(name=f"{name}{level}", changes={}) for level in range(count)))
        for name, count in zip("ABCD", counts, strict=False)
    )


def table(right: np.ndarray, *, split: str = "test", prefix: str = "p", a_group: int = 1) -> pd.DataFrame:
    """Two classes; ``right`` says which pictures the model has right."""
    label = np.arange(len(right)) % 2
    said = np.where(right, label, 1 - label)
    return pd.DataFrame(
        {
            "image_id": [f"{prefix}{index:04}" for index in range(len(right))],
            "group_id": [f"{prefix}g{index // a_group:04}" for index in range(len(right))],
            "label": np.array(["no", "yes"])[label],
            "split": split,
            "p_no": 1.0 - said,
            "p_yes": said.astype(float),
        }
    )


def tables_of(
    factors: tuple[Factor, ...],
    right: Callable[[Cell, int], np.ndarray],
    *,
    design: str = "factorial",
    seeds: tuple[int, ...] = (0,),
    a_group: int = 1,
) -> Tables:
    return {
        cell: {seed: Predictions(table(right(cell, seed), a_group=a_group)) for seed in seeds}
        for cell in design_cells(factors, design)  # type: ignore[arg-type]
    }


def test_the_effects_of_two_times_two_by_hand() -> None:
    factors = factors_of(2, 2)
    share = {("A0", "B0"): 60, ("A1", "B0"): 70, ("A0", "B1"): 50, ("A1", "B1"): 90}
    found = ablation_effects(
        tables_of(factors, lambda cell, _: np.arange(100) < share[cell]),
        factors,
        design="factorial",
        replicates=200,
    )
    # A: (70 - 60 + 90 - 50) / 2; B: (50 - 60 + 90 - 70) / 2; A x B: (90 - 50) - (70 - 60).
    values = {one.label: one.shift.value for one in found.effects}
    assert values == pytest.approx({"A A1": 0.25, "B B1": 0.05, "A A1 × B B1": 0.30})
    cells = {one.label: (one.shift.value, one.mcnemar[0].only_first, one.mcnemar[0].only_second) for one in
             found.comparisons}  # fmt: skip
    assert cells == {"A A1": (pytest.approx(0.1), 0, 10), "B B1": (pytest.approx(-0.1), 10, 0),
                     "A A1 + B B1": (pytest.approx(0.3), 0, 30)}  # fmt: skip
    assert [one.accuracy.value for one in found.cells] == [0.6, 0.5, 0.7, 0.9]
    assert found.effects[0].mcnemar == ()
    told = {one.label: one.verdict for one in (*found.effects, *found.comparisons)}
    assert told["A A1 × B B1"] == "helps"
    assert told["B B1"] == "hurts"  # of the comparisons, which come last
    # A picture that B1 alone loses and one that it wins with A1 cancel in B's main effect: 20 won, 10 lost.
    assert found.effects[1].p == pytest.approx(
        mcnemar([True] * 10 + [False] * 20, [False] * 10 + [True] * 20).exact_p
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(2, 2, 2), (3, 2), (2, 3, 2)]))
def test_effects_are_those_of_a_regression(seed: int, counts: tuple[int, ...]) -> None:
    """The factorial model with plain-level coding about the mean of the other factors, solved by least squares."""
    factors = factors_of(*counts)
    cells = design_cells(factors, "factorial")
    generator = np.random.default_rng(seed)
    accuracy = {cell: generator.random() for cell in cells}
    # Each factor's columns: 1 for its alternative less the mean over levels, so that lower terms are averages.
    columns = []
    for factor in factors:
        coded = np.array(
            [[float(level.name == other.name) for other in factor.levels[1:]] for level in factor.levels]
        )
        columns.append(
            dict(zip([one.name for one in factor.levels], coded - coded.mean(axis=0), strict=True))
        )
    contrasts = effects_of(factors, "factorial")
    design = np.ones((len(cells), len(contrasts) + 1))
    for at, one in enumerate(contrasts, 1):
        changed = dict(one.changed)
        for row, cell in enumerate(cells):
            for index, factor in enumerate(factors):
                if factor.name in changed:
                    place = factor.alternatives.index(changed[factor.name])
                    design[row, at] *= columns[index][cell[index]][place]
    solved = np.linalg.solve(design, np.array([accuracy[cell] for cell in cells]))
    ours = [sum(w * accuracy[cell] for cell, w in one.weights.items()) / one.divisor for one in contrasts]
    assert ours == pytest.approx(solved[1:])


def test_the_number_of_effects_and_what_is_compared() -> None:
    three = factors_of(2, 2, 2)
    assert len(effects_of(three, "factorial")) == 7
    compared = cells_against_plain(three, "factorial")
    assert [len(one.changed) for one in compared] == [1, 1, 1, 2, 2, 2, 3]
    assert all(one.pair is not None and one.pair[0] == ("A0", "B0", "C0") for one in compared)
    assert cells_against_plain(factors_of(4), "factorial") == []
    single = effects_of(factors_of(3, 2), "one-at-a-time")
    assert [one.changed for one in single] == [(("A", "A1"),), (("A", "A2"),), (("B", "B1"),)]
    assert cells_against_plain(factors_of(3, 2), "one-at-a-time") == []


def test_intervals_respect_pairing_and_patients() -> None:
    factors = factors_of(2)
    generator = np.random.default_rng(0)
    hard = generator.random(600) < 0.4
    won, lost = generator.random(600) < 0.05, generator.random(600) < 0.02
    plain, changed = ~hard, (~hard & ~lost) | (hard & won)

    def shift(a_group: int) -> tuple[float, float]:
        found = ablation_effects(
            tables_of(factors, lambda cell, _: plain if cell == ("A0",) else changed, a_group=a_group),
            factors, design="factorial", replicates=2000,
        ).effects[0].shift  # fmt: skip
        assert found.value == pytest.approx(changed.mean() - plain.mean())
        return found.value, found.high - found.low

    each = changed.astype(int) - plain.astype(int)
    value, width = shift(1)
    assert width == pytest.approx(2 * 1.96 * each.std() / math.sqrt(600), rel=0.08)
    assert shift(1) == (value, width)
    # 20 pictures a patient, drawn whole: as wide as the spread of the patients' sums.
    sums = each.reshape(-1, 20).sum(axis=1)
    assert shift(20)[1] == pytest.approx(2 * 1.96 * sums.std() * math.sqrt(30) / 600, rel=0.15)


def test_several_seeds_are_drawn_too() -> None:
    factors = factors_of(2)
    generator = np.random.default_rng(1)
    base = generator.random((5, 400)) < 0.7
    # Each seed's own luck, of either sign, is larger than what pictures can explain.
    luck = dict(zip(range(5), (0.3, -0.25, 0.2, -0.3, 0.15), strict=True))

    def right(cell: Cell, seed: int) -> np.ndarray:
        one = base[seed].copy()
        if cell == ("A1",):
            changed = generator.choice(400, int(400 * abs(luck[seed])), replace=False)
            one[changed] = luck[seed] > 0
        return one

    tables = tables_of(factors, right, seeds=(0, 1, 2, 3, 4))
    found = ablation_effects(tables, factors, design="factorial", replicates=2000).effects[0]
    assert found.shift.value == pytest.approx(np.mean(found.by_seed))
    assert len(found.mcnemar) == 5
    assert found.by_seed[0] == pytest.approx(
        (found.mcnemar[0].only_second - found.mcnemar[0].only_first) / 400
    )
    # The spread of the seeds rules: four of five are drawn, so that the variance of their mean is s^2 / 5.
    expected = 2 * 1.96 * np.std(found.by_seed, ddof=1) / math.sqrt(5)
    assert found.shift.high - found.shift.low == pytest.approx(expected, rel=0.2)
    assert found.verdict == "cannot be told apart"
    alone = ablation_effects(
        {cell: {0: several[0]} for cell, several in tables.items()},
        factors,
        design="factorial",
        replicates=500,
    ).effects[0]
    assert alone.verdict == "helps"
    assert alone.p == pytest.approx(alone.mcnemar[0].exact_p)


def test_a_clear_effect_stands_over_seeds() -> None:
    factors = factors_of(2)
    generator = np.random.default_rng(1)

    def right(cell: Cell, seed: int) -> np.ndarray:
        return generator.random(400) < (0.6 if cell == ("A0",) else 0.8)

    found = ablation_effects(
        tables_of(factors, right, seeds=(3, 1, 2)), factors, design="factorial", replicates=500
    )
    assert found.effects[0].verdict == "helps"
    assert found.seeds == (3, 1, 2)
    assert "A: A1 helps against A0" in sentences(found)[0]
    assert "by seed" in sentences(found)[0]


def test_validation_stands_beside_though_each_seed_carves_its_own() -> None:
    factors = factors_of(2)

    def whole(cell: Cell, seed: int) -> Predictions:
        validation = table(
            np.arange(20) < (10 if cell == ("A0",) else 15 + seed), split="val", prefix=f"v{seed}"
        )
        return Predictions(pd.concat([table(np.arange(40) < 30), validation], ignore_index=True))

    tables = {
        cell: {seed: whole(cell, seed) for seed in (0, 1)} for cell in design_cells(factors, "factorial")
    }
    found = ablation_effects(tables, factors, design="factorial", replicates=300)
    assert (found.part, found.pictures, found.groups) == ("test", 40, 40)
    effect = found.effects[0]
    assert (effect.shift.value, effect.p, effect.verdict) == (0.0, 1.0, "cannot be told apart")
    assert effect.validation is not None
    assert effect.validation.value == pytest.approx((15 + 16 - 20) / 40)
    assert 0 < effect.validation.low < effect.validation.value < effect.validation.high
    assert any("choose by the validation part" in text for text in notes(found))

    without = {
        cell: {seed: one.part("val") for seed, one in several.items()} for cell, several in tables.items()
    }
    only = ablation_effects(without, factors, design="factorial", replicates=300)
    assert only.part == "val"
    assert only.effects[0].validation is None
    # Seeds that were judged on different pictures are not crossed with them: there is no test of both.
    assert math.isnan(only.effects[0].p)
    assert only.effects[0].verdict == "cannot be told apart"


def test_a_cell_that_was_not_trained_takes_only_its_effects() -> None:
    factors = factors_of(2, 3)
    tables = tables_of(factors, lambda cell, _: np.arange(30) < 20, design="one-at-a-time")
    del tables["A0", "B1"]
    found = ablation_effects(
        tables, factors, design="one-at-a-time", missing={("A0", "B1"): "no weights"}, replicates=100
    )
    assert [one.label for one in found.effects] == ["A A1", "B B2"]
    assert found.missing == {"B B1": "no weights"}
    assert found.left_out == ("B B1",)


def test_what_does_not_fit_together() -> None:
    factors = factors_of(2)
    plain, changed = design_cells(factors, "factorial")
    good = Predictions(table(np.ones(10, bool)))
    with pytest.raises(TableError, match="judged on other pictures"):
        ablation_effects(
            {plain: {0: good}, changed: {0: Predictions(table(np.ones(9, bool)))}},
            factors,
            design="factorial",
        )
    other = table(np.ones(10, bool))
    other.loc[0, "label"] = "yes"
    with pytest.raises(TableError, match="other pictures, labels or groups"):
        ablation_effects({plain: {0: good}, changed: {0: Predictions(other)}}, factors, design="factorial")
    with pytest.raises(TableError, match="other seeds"):
        ablation_effects({plain: {0: good}, changed: {1: good}}, factors, design="factorial")
    with pytest.raises(TableError, match="no cell"):
        ablation_effects({}, factors, design="factorial")


def test_the_order_of_rows_changes_nothing() -> None:
    factors = factors_of(2)
    generator = np.random.default_rng(4)
    right = {cell: generator.random(50) < 0.7 for cell in design_cells(factors, "factorial")}
    straight = tables_of(factors, lambda cell, _: right[cell])
    shuffled = {
        cell: {0: Predictions(several[0].frame.sample(frac=1, random_state=1))}
        for cell, several in straight.items()
    }
    one, other = (
        ablation_effects(tables, factors, design="factorial", replicates=100)
        for tables in (straight, shuffled)
    )
    assert one == other


SIZE = {"input": ("360x360", "500x500"), "head": ("128-32-3", "1024-1024-3"), "dropout": ("none", "dropout")}
FILES: Mapping[str, Mapping[Cell, str]] = {
    "VGG16": dict(
        zip(
            itertools.product(*SIZE.values()),
            (
                "100e_VGG_16_360x360_128-32-3", "100e_VGG_16_360x360_128-32-3_dropouts",
                "100e_VGG_16_360x360_1024-1024-3", "100e_VGG_16_360x360_1024_dropout-1024-3",
                "100e_VGG_16_500x500_128-32-3", "100e_VGG_16_500x500_128_dropouts-32-3",
                "100e_VGG_16_500x500_1024-1024-3", "100e_VGG_16_all_500x500_1024_dropout-1024-3",
            ),
            strict=True,
        )
    ),
    # The plain InceptionV3 that they compare with was trained for 50 epochs, all others for 100.
    "InceptionV3": dict(
        zip(
            itertools.product(*SIZE.values()),
            (
                "50e_InceptionV3_360x360_128-32-3", "100e_InceptionV3_360x360_128_dropouts-32-3",
                "100e_InceptionV3_360x360_1024-1024-3", "100e_InceptionV3_360x360_1024_dropouts-1024-3",
                "100e_InceptionV3_500x500_128-32-3", "100e_InceptionV3_500x500_128_dropouts-32-3",
                "100e_InceptionV3_500x500_1024-1024-3", "100e_InceptionV3_500x500_1024_dropouts-1024-3",
            ),
            strict=True,
        )
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def published(real_data: Path) -> dict[str, Ablation]:
    file = real_data / "published_predictions" / "pal_paul_2021.csv"
    if not file.is_file():
        pytest.skip(f"no published predictions here: {file.name} is not in the data folder")
    columns = {"row": "image_id", "y_true": "label", "y_pred": "prediction"}
    frame = pd.read_csv(file).rename(columns=columns).drop(columns="group")
    of = {
        str(name): Predictions(rows)
        for name, rows in frame.groupby("model")
        if "100e" in name or "50e_Incep" in name
    }
    factors = tuple(
        Factor(name=name, levels=tuple(Level(name=level, changes={}) for level in levels))
        for name, levels in SIZE.items()
    )
    return {
        network: ablation_effects(
            {cell: {0: of[model]} for cell, model in models.items()},
            factors,
            design="factorial",
            replicates=1000,
        )
        for network, models in FILES.items()
    }


def test_the_best_published_inceptionv3_cannot_be_told_apart(published: dict[str, Ablation]) -> None:
    found = published["InceptionV3"]
    best = max(found.cells, key=lambda cell: cell.accuracy.value)
    assert (best.label, round(100 * best.accuracy.value, 2)) == ("input 500x500, head 1024-1024-3", 96.45)
    against = next(one for one in found.comparisons if one.label == "input 500x500 + head 1024-1024-3")
    assert (against.mcnemar[0].only_first, against.mcnemar[0].only_second) == (45, 48)
    assert show_p(against.p) == "p = .84"
    assert against.p == pytest.approx(against.mcnemar[0].exact_p)
    assert against.verdict == "cannot be told apart"
    assert against.shift.low < 0 < against.shift.high
    text = next(one for one in sentences(found) if "45 : 48" in one)
    assert text.startswith(
        "input 500x500 + head 1024-1024-3 cannot be told apart from the plain setting: +0.09 ("
    )


def test_every_published_effect_gets_its_verdict(published: dict[str, Ablation]) -> None:
    for found in published.values():
        assert (found.pictures, len(found.effects), len(found.comparisons), found.part) == (3432, 7, 7, "")
        for one, text in zip((*found.effects, *found.comparisons), sentences(found), strict=True):
            assert one.verdict in text
            assert one.holm_p >= one.p
        assert any("trained once" in text for text in notes(found))
    verdicts = {
        network: {one.label: one.verdict for one in found.comparisons} for network, found in published.items()
    }
    # Four of the seven print above the plain network, and none of these can be told apart from it.
    assert verdicts["VGG16"] == {
        "dropout dropout": "cannot be told apart",
        "head 1024-1024-3": "cannot be told apart",
        "input 500x500": "cannot be told apart",
        "head 1024-1024-3 + dropout dropout": "hurts",
        "input 500x500 + dropout dropout": "cannot be told apart",
        "input 500x500 + head 1024-1024-3": "hurts",
        "input 500x500 + head 1024-1024-3 + dropout dropout": "cannot be told apart",
    }
    hurting = {label for label, verdict in verdicts["InceptionV3"].items() if verdict == "hurts"}
    assert hurting == {"head 1024-1024-3", "input 500x500 + head 1024-1024-3 + dropout dropout"}
    assert "helps" not in verdicts["InceptionV3"].values()
