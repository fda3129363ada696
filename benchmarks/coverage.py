"""Do the 95% intervals hold the truth 95 times in 100? Exact where the outcomes can be summed, else simulated.

Binomial, likelihood-ratio and predictive-value intervals: summed over all outcomes but a millionth of their
probability. DeLong, paired differences and the bootstrap over groups: 3,000 data sets each, so that the Monte Carlo
error of a coverage of 95% is 0.4 points. Patients have 1 to 6 pictures, all of the patient's class, whose scores share
a part of their variance (the intraclass correlation). Replicates are computed for all at once, by products of matrices;
before each setting this is compared with :func:`pulmoscope.evaluation.resample` on the same draws.

    python benchmarks/coverage.py [--simulations 3000] [--replicates 500] [--out FILE]
    python benchmarks/coverage.py --table    # results/coverage.json into the table of docs/witnesses.md
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, norm, t

from pulmoscope.evaluation import (
    accuracy,
    balanced_accuracy,
    bootstrap_interval,
    clopper_pearson,
    clustered_interval,
    delong_interval,
    delong_paired,
    diagnostic_counts,
    difference_interval,
    draw_weights,
    effective_size,
    jeffreys,
    macro_auroc,
    macro_f1,
    mean_share_interval,
    one_vs_rest_auroc,
    paired_score_interval,
    per_thousand,
    percentile_interval,
    resample,
    wilson,
)
from pulmoscope.evaluation.confusion import overlap_counts, sensitivity_counts
from pulmoscope.evaluation.influence import Influence, freedom, named_influence
from pulmoscope.evaluation.intervals import logit_bounds
from pulmoscope.evaluation.paired import paired_freedom

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]
RAREST, F1_RAREST = "AUROC of the rarest class", "F1 of the rarest class"
#: Probability of outcomes that are left out of an exact sum.
LEFT_OUT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The patients: how far apart the scores of classes lie, how alike and many a patient's pictures are at most."""

    apart: float
    correlation: float
    sizes: int = 6
    shares: tuple[float, float, float] = (0.5, 0.3, 0.2)


def row(
    interval: str, setting: str, held: float, *, undefined: float = 0.0, simulations: int | None = None
) -> Row:
    """One line of the results: coverage among the data sets that have an interval, in percent."""
    return {
        "interval": interval, "setting": setting, "coverage": round(100 * held, 2),
        "undefined": round(100 * undefined, 2), "simulations": simulations,
    }  # fmt: skip


# --- exact --------------------------------------------------------------------------------------------------


def proportions() -> Iterator[Row]:
    """Wilson and Clopper-Pearson by n, at the printed rates and on average over rates."""
    rates = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
    grid = np.linspace(0.5, 0.98, 481)
    for (name, interval), n in product(
        (("Wilson", wilson), ("Clopper-Pearson", clopper_pearson)), (30, 60, 100, 200, 400, 600)
    ):
        k = np.arange(n + 1)
        low, high = interval(k, n)

        def held(p: float, low: Floats = low, high: Floats = high, k: Any = k, n: int = n) -> float:
            return float(binom.pmf(k, n, p)[(low <= p) & (p <= high)].sum())

        for p in rates:
            yield row(name, f"n {n}, rate {p:g}", held(p))
        yield row(
            f"{name}, mean over rates", f"n {n}, rates .5 to .98", float(np.mean([held(p) for p in grid]))
        )


def of_four_counts() -> Iterator[Row]:
    """Likelihood ratios, and predictive values at a prevalence of 10%, over two independent binomials."""
    for (ill, others), (sensitivity, specificity) in product(
        ((50, 50), (100, 200), (200, 400)), ((0.8, 0.8), (0.9, 0.85), (0.85, 0.95))
    ):
        odds, complement = sensitivity / (1 - specificity), (1 - sensitivity) / specificity
        true = {
            "LR+": odds, "LR-": complement, "PPV at a prevalence": odds / (odds + 9),
            "NPV at a prevalence": 9 / (9 + complement),
        }  # fmt: skip
        held, defined = dict.fromkeys(true, 0.0), dict.fromkeys(true, 0.0)
        of_ill, of_others = (
            binom.pmf(np.arange(n + 1), n, rate)
            for n, rate in ((ill, sensitivity), (others, 1 - specificity))
        )
        for tp, fp in product(
            *(np.flatnonzero(one > LEFT_OUT / 100).tolist() for one in (of_ill, of_others))
        ):
            weight = float(of_ill[tp] * of_others[fp])
            if weight < LEFT_OUT / 1e4:
                continue
            judged = diagnostic_counts(tp, ill - tp, fp, others - fp)
            there = per_thousand(judged, 0.1)
            for name, one in zip(
                true, (judged.lr_positive, judged.lr_negative, there.ppv, there.npv), strict=True
            ):
                defined[name] += weight * (not np.isnan(one.low))
                held[name] += weight * (one.low <= true[name] <= one.high)
        setting = f"{ill} diseased, {others} others, sensitivity {sensitivity:g}, specificity {specificity:g}"
        for name in true:
            yield row(name, setting, held[name] / defined[name], undefined=1 - defined[name])


# --- simulated, pictures independent ------------------------------------------------------------------------


def shares_won(positives: int, scores: Floats) -> tuple[Floats, Floats]:
    """DeLong's components without ties, (S, P) and (S, M), of scores (S, N) whose first P are of positives."""
    ranks = scores.argsort(axis=1).argsort(axis=1)
    above, below = ranks[:, :positives], ranks[:, positives:]
    inner = [one.argsort(axis=1).argsort(axis=1) for one in (above, below)]
    return (above - inner[0]) / below.shape[1], 1 - (below - inner[1]) / positives


def areas(simulations: int, random: np.random.Generator) -> Iterator[Row]:
    """DeLong's interval of one AUROC and of the difference of two, two normal scores, all data sets at once."""
    for area, n, share in product((0.75, 0.9, 0.97), (100, 300, 600), (0.5, 0.2)):
        sides = round(share * n), n - round(share * n)
        positive = np.arange(n) < sides[0]
        common, *own = random.normal(size=(3, simulations, n))
        first, second = (
            np.sqrt(0.6) * common + np.sqrt(0.4) * one + np.sqrt(2) * norm.ppf(level) * positive
            for one, level in zip(own, (area, area - 0.03), strict=True)
        )
        parts = [shares_won(sides[0], one) for one in (first, second)]

        def error(of: Any, sides: Any = sides) -> Floats:
            return np.sqrt(sum(of[at].var(axis=1, ddof=1) / sides[at] for at in (0, 1)))

        values = parts[0][0].mean(axis=1)
        se = error(parts[0])
        defined = se > 1e-12
        of_sides = [part.var(axis=1, ddof=1)[defined] / part.shape[1] for part in parts[0]]
        degrees = sum(of_sides) ** 2 / sum(
            one**2 / (part.shape[1] - 1) for one, part in zip(of_sides, parts[0], strict=True)
        )
        bounds = np.array([
            logit_bounds(value, reach * one)
            for value, one, reach in zip(values[defined], se[defined], t.ppf(0.975, degrees), strict=True)
        ])  # fmt: skip
        difference = parts[1][0].mean(axis=1) - values
        half = 1.959963984540054 * error([parts[1][at] - parts[0][at] for at in (0, 1)])
        # The same as the package's own, data set by data set.
        for at in range(3):
            alone, both = delong_interval(positive, first[at]), delong_paired(positive, first[at], second[at])
            np.testing.assert_allclose([alone.value, alone.se], [values[at], se[at]], rtol=1e-9)
            if defined[: at + 1].all():
                np.testing.assert_allclose([alone.low, alone.high], bounds[at], rtol=1e-9)
            np.testing.assert_allclose(
                [both.low, both.high], [difference[at] - half[at], difference[at] + half[at]], rtol=1e-9
            )
        setting = f"AUROC {area:g}, n {n}, {share:.0%} positive"
        held = float(((bounds[:, 0] <= area) & (area <= bounds[:, 1])).mean())
        yield row("DeLong", setting, held, undefined=float(1 - defined.mean()), simulations=simulations)
        held = float((np.abs(values - area) <= 1.959963984540054 * se)[defined].mean())
        yield row("plain DeLong (not used)", setting, held, simulations=simulations)
        held = float((np.abs(difference + 0.03) <= half).mean())
        yield row("DeLong, paired difference", setting, held, simulations=simulations)


def paired_scores(simulations: int, random: np.random.Generator) -> Iterator[Row]:
    """Tango's interval of two accuracies on the same pictures."""
    for n, (only_first, only_second) in product(
        (50, 100, 300, 600), ((0.02, 0.05), (0.05, 0.05), (0.05, 0.12))
    ):
        interval = cache(paired_score_interval)
        drawn = random.multinomial(n, (only_first, only_second, 1 - only_first - only_second), simulations)
        bounds = np.array([interval(int(b), int(c), n) for b, c, _ in drawn])
        true = only_second - only_first
        held = float(((bounds[:, 0] <= true) & (true <= bounds[:, 1])).mean())
        yield row(
            "Tango, paired difference", f"n {n}, one alone right {only_first:.0%} : {only_second:.0%}", held,
            simulations=simulations,
        )  # fmt: skip


def means_over_classes(simulations: int, random: np.random.Generator) -> Iterator[Row]:
    """Balanced accuracy and macro F1, one picture a patient; mistakes go to the other classes alike."""
    rates = (0.7, 0.85, 0.95, 0.985)
    for few, rate in product((3, 5, 10, 20), rates):
        yield from of_classes(
            f"{few}, 100 and 100 pictures", (few, 100, 100), [rate] * 3, simulations, random
        )
    for sizes, rate in product(((10,) * 2, (30,) * 2, (100,) * 2, (20,) * 3, (20,) * 5, (12,) * 8), rates):
        named = f"{len(sizes)} classes of {sizes[0]} pictures"
        yield from of_classes(named, sizes, [rate] * len(sizes), simulations, random)
    for few, rare in product((5, 15), (0.4, 0.6, 0.8)):
        named = f"{few} pictures of rate {rare:g}, 100 and 100 pictures"
        yield from of_classes(named, (few, 100, 100), [rare, 0.95, 0.95], simulations, random)


def of_classes(
    named: str, sizes: tuple[int, ...], rates: list[float], simulations: int, random: np.random.Generator
) -> Iterator[Row]:
    """The rows of one setting: sensitivities ``rates`` of classes of ``sizes`` pictures."""
    kinds = len(sizes)
    truth = np.repeat(np.arange(kinds), sizes)
    wrong = (1 - np.array(rates)) / (kinds - 1)
    expected = np.array(sizes)[:, None] * (
        wrong[:, None] + np.eye(kinds) * (np.array(rates) - wrong)[:, None]
    )
    true = {"balanced accuracy": float(np.mean(rates)), "macro F1": float(macro_f1(expected))}
    held: dict[str, list[bool]] = {name: [] for name in true}
    for _ in range(simulations):
        hit = random.random(len(truth)) < np.array(rates)[truth]
        said = np.where(hit, truth, (truth + random.integers(1, kinds, len(truth))) % kinds)
        for name, low, high, value in joined_of(np.arange(len(truth)), truth, said, len(truth), true, kinds):
            held[name.removeprefix("joined, ")].append(low <= value + 1e-12 and value - 1e-12 <= high)
    for name, inside in held.items():
        setting = f"{named}, rate {rates[-1]:g}"
        yield row(
            f"joined, {name}, one picture a patient", setting, float(np.mean(inside)), simulations=simulations
        )


# --- simulated, several pictures a patient ------------------------------------------------------------------


def few_patients(simulations: int, random: np.random.Generator) -> Iterator[Row]:
    """A proportion of 2 to 40 patients of 1 to 10 pictures that are alike by the intraclass correlation."""
    for groups, alike, rate in product((2, 3, 5, 8, 15, 40), (0.1, 0.5, 1.0), (0.5, 0.8, 0.95)):
        of = random.integers(1, 11, (groups, simulations))
        if alike == 1:
            own = (random.random(of.shape) < rate).astype(np.float64)
        else:
            own = random.beta(rate * (1 - alike) / alike, (1 - rate) * (1 - alike) / alike, of.shape)
        right = random.binomial(of, own)
        low, high = clustered_interval(wilson, right.sum(axis=0), of.sum(axis=0), effective_size(right, of))
        yield row(
            "Wilson at the effective size, few patients",
            f"{groups} patients, 1 to 10 pictures, correlation {alike:g}, rate {rate:g}",
            float(((low <= rate) & (rate <= high)).mean()), simulations=simulations,
        )  # fmt: skip


def sizes_that_tell(simulations: int, random: np.random.Generator) -> Iterator[Row]:
    """A proportion where patients with many pictures are as often right as others, or less often."""

    def drawn(groups: int, slope: float, several: int) -> tuple[Any, Any]:
        of = np.minimum(random.geometric(0.25, (groups, several)), 40)
        rate = 1 / (1 + np.exp(-(2 - slope * of)))
        return random.binomial(of, random.beta(4 * rate, 4 * (1 - rate))), of

    for slope, told in ((0.0, "as often right"), (0.15, "less often right")):
        right, of = drawn(4_000_000, slope, 1)
        true = float(right.sum() / of.sum())
        for groups in (20, 60, 150):
            right, of = drawn(groups, slope, simulations)
            low, high = clustered_interval(
                wilson, right.sum(axis=0), of.sum(axis=0), effective_size(right, of)
            )
            yield row(
                "Wilson at the effective size, 1 to 40 pictures a patient",
                f"{groups} patients, those of many pictures {told}, rate {true:.2f}",
                float(((low <= true) & (true <= high)).mean()), simulations=simulations,
            )  # fmt: skip


def pictures(groups: int, kind: Kind, random: np.random.Generator) -> Any:
    """Groups (N,), classes (N,) and two models' probabilities (2, N, 3); the second is a little better."""
    codes = np.repeat(np.arange(groups), random.integers(1, kind.sizes + 1, groups))
    truth = random.choice(3, groups, p=kind.shares)[codes]
    shared, own = random.normal(size=(2, groups, 3))[:, codes], random.normal(size=(2, len(codes), 3))
    noise = np.sqrt(kind.correlation) * shared + np.sqrt(1 - kind.correlation) * own
    noise[1] = 0.8 * noise[0] + 0.6 * noise[1]
    logits = noise + np.array([kind.apart, kind.apart + 0.2])[:, None, None] * np.eye(3)[truth]
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return codes, truth, raised / raised.sum(axis=-1, keepdims=True)


def counts_by_group(codes: Any, cells: Any, groups: int, kinds: int) -> Floats:
    """How many pictures of each kind each group has, (G, kinds)."""
    return (
        np.bincount(codes * kinds + cells, minlength=groups * kinds).reshape(groups, kinds).astype(np.float64)
    )


def group_areas(weights: npt.NDArray[np.float32], codes: Any, truth: Any, scores: Floats) -> Floats:
    """AUROC of each class in each replicate, (B, 3), weights (B, G); a group's pictures are all of one class."""
    found = []
    for index in range(3):
        sides = [np.flatnonzero(truth == index), np.flatnonzero(truth != index)]
        above = (scores[sides[0], index][:, None] > scores[sides[1], index]).astype(np.float32)
        drawn = []
        for axis, rows in enumerate(sides):
            names, starts = np.unique(codes[rows], return_index=True)
            above = np.add.reduceat(above, starts, axis=axis)
            drawn.append((weights[:, names], np.bincount(codes[rows])[names].astype(np.float32)))
        pairs = (drawn[0][0] @ drawn[0][1]).astype(np.float64) * (drawn[1][0] @ drawn[1][1])
        wins = ((drawn[0][0] @ above) * drawn[1][0]).sum(axis=1, dtype=np.float64)
        found.append(np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))
    return np.stack(found, axis=1)


def metrics_of(weights: npt.NDArray[np.float32], codes: Any, truth: Any, soft: Floats) -> dict[str, Floats]:
    """Each metric of each replicate, (B,); the macro AUROC of 120 patients at most, whose pairs are many."""
    groups = weights.shape[1]
    cells = 3 * truth + soft.argmax(axis=1)
    counts = (weights @ counts_by_group(codes, cells, groups, 9).astype(np.float32)).astype(np.float64)
    # Acting on class 1 at a threshold of 0.3: net benefit is a ratio of sums, as accuracy is.
    called = (soft[:, 1] >= 0.3) * (1 + (truth == 1))
    acted = weights @ counts_by_group(codes, called, groups, 3).astype(np.float32)
    found = {
        "accuracy": accuracy(counts.reshape(-1, 3, 3)), "macro F1": macro_f1(counts.reshape(-1, 3, 3)),
        "balanced accuracy": balanced_accuracy(counts.reshape(-1, 3, 3)),
        "net benefit": (acted[:, 2] - acted[:, 1] * 0.3 / 0.7) / acted.sum(axis=1),
    }  # fmt: skip
    if groups <= 120:
        areas_drawn = group_areas(weights, codes, truth, soft)
        found["macro AUROC"], found[RAREST] = macro_auroc(areas_drawn), areas_drawn[:, 2]
    return found


def true_metrics(kind: Kind, random: np.random.Generator) -> list[dict[str, float]]:
    """Of 400,000 pictures, each for itself: what the metrics tend to, whatever the correlation."""
    _, truth, soft = pictures(400_000, replace(kind, correlation=0.0, sizes=1), random)
    found = []
    for one in soft:
        counts = np.bincount(3 * truth + one.argmax(axis=1), minlength=9).reshape(3, 3)
        called = one[:, 1] >= 0.3
        found.append({
            "accuracy": float(accuracy(counts)), "macro F1": float(macro_f1(counts)),
            "balanced accuracy": float(balanced_accuracy(counts)),
            "macro AUROC": float(macro_auroc(one_vs_rest_auroc(truth, one))),
            RAREST: float(one_vs_rest_auroc(truth, one)[2]),
            # Of the share that F1 rises with: its interval holds the truth when that of F1 does.
            F1_RAREST: float(counts[2, 2] / (counts[2].sum() + counts[:, 2].sum() - counts[2, 2])),
            "sensitivity": float(counts[2, 2] / counts[2].sum()), "PPV": float(counts[2, 2] / counts[:, 2].sum()),
            "net benefit": float(((truth == 1) & called).mean() - ((truth != 1) & called).mean() * 0.3 / 0.7),
        })  # fmt: skip
    return found


def draws(groups: int, replicates: int, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """As :func:`draw_weights`, all at once: (B, G)."""
    drawn = random.integers(0, groups, (replicates, groups)) + groups * np.arange(replicates)[:, None]
    return (
        np.bincount(drawn.ravel(), minlength=replicates * groups)
        .reshape(replicates, groups)
        .astype(np.float32)
    )


def influences(codes: Any, truth: Any, soft: Floats, groups: int) -> dict[str, Influence]:
    """What the metrics whose interval may rest on few patients rest on."""
    classes = ("0", "1", "2")
    names = {"balanced accuracy": "balanced_accuracy", "macro AUROC": "macro_auroc", RAREST: "auroc:2"}
    found = {
        title: named_influence(name, truth, soft.argmax(axis=1), soft, codes, groups, classes)
        for title, name in names.items()
    }
    return {title: one for title, one in found.items() if one is not None}


def check(groups: int, random: np.random.Generator) -> None:
    """The products of matrices give what the package's own replicates are."""
    codes, truth, soft = pictures(groups, Kind(apart=1.5, correlation=0.5), random)
    weights = np.array(list(draw_weights(groups, 20, random)))
    plain = resample(
        weights, truth=truth, predicted=soft[0].argmax(axis=1), probabilities=soft[0], groups=codes, classes=3
    )
    fast = metrics_of(weights.astype(np.float32), codes, truth, soft[0])
    for name, other in (
        ("accuracy", accuracy(plain.confusions)), ("macro F1", macro_f1(plain.confusions)),
        ("balanced accuracy", balanced_accuracy(plain.confusions)),
        ("macro AUROC", macro_auroc(plain.aurocs)), (RAREST, plain.aurocs[:, 2]),
    ):  # fmt: skip
        np.testing.assert_allclose(fast.get(name, other), other, rtol=1e-9)


def bootstraps(simulations: int, replicates: int, random: np.random.Generator) -> Iterator[Row]:
    """From the same replicates over groups: one model, the difference of two, and the percentiles we do not use."""
    few = (0.6, 0.3, 0.1)
    for groups, kind in (
        (60, Kind(apart=1.5, correlation=0.7)), (120, Kind(apart=1.5, correlation=0.3)),
        (300, Kind(apart=1.5, correlation=0.7)), (60, Kind(apart=2.5, correlation=0.3)),
        (120, Kind(apart=2.5, correlation=0.7)), (60, Kind(apart=2.5, correlation=0.5, sizes=2, shares=few)),
        (120, Kind(apart=3.0, correlation=0.5, sizes=2, shares=few)),
        (80, Kind(apart=2.0, correlation=0.7, sizes=10, shares=(0.6, 0.35, 0.05))),
    ):  # fmt: skip
        true = true_metrics(kind, random)
        check(groups, random)
        held: dict[str, list[float]] = {}

        def note(name: str, low: float, high: float, value: float, held: Any = held) -> None:
            held.setdefault(name, []).append(np.nan if np.isnan(low) else float(low <= value <= high))

        before: dict[str, Floats] = {}
        for _ in range(simulations):
            codes, truth, soft = pictures(groups, kind, random)
            weights = draws(groups, replicates, random)
            # The first row is the data themselves.
            weights[0] = 1
            one, two = (metrics_of(weights, codes, truth, each) for each in soft)
            adds = [influences(codes, truth, each, groups) for each in soft]
            for name in sorted(one.keys() - {"net benefit"}):
                value, drawn = true[0][name], one[name][1:]
                rests, beside = adds[0].get(name), adds[1].get(name)
                low, high, _ = bootstrap_interval(
                    one[name][0], drawn, groups=groups, freedom=None if rests is None else freedom(rests)
                )
                note(f"bootstrap over patients, {name}", low, high, value)
                if rests is not None:
                    for title, degrees in (
                        ("t of G - 1", None),
                        ("no least freedom", freedom(rests, least=1)),
                    ):
                        bounds = bootstrap_interval(one[name][0], drawn, groups=groups, freedom=degrees)[:2]
                        note(f"{title} (not used), {name}", *bounds, value)
                # Judged where ours is defined: elsewhere no replicate differs, and percentiles have no width.
                bounds = (np.nan, np.nan) if np.isnan(low) else percentile_interval(drawn)[:2]
                note(f"plain percentiles (not used), {name}", *bounds, value)
                apart_by, moved = true[1][name] - value, two[name] - one[name]
                low, high, _, _ = difference_interval(
                    moved[0], moved[1:], groups=groups, freedom=paired_freedom(rests, beside)
                )
                note(f"paired bootstrap, difference of {name}", low, high, apart_by)
                if rests is not None:
                    bounds = difference_interval(moved[0], moved[1:], groups=groups)[:2]
                    note(f"paired, t of G - 1 (not used), difference of {name}", *bounds, apart_by)
                bounds = (
                    (np.nan, np.nan) if np.isnan(low) else percentile_interval(moved[1:], groups=groups)[:2]
                )
                note(f"paired percentiles (not used), difference of {name}", *bounds, apart_by)
                if before:
                    # Another cohort of the same kind: nothing differs.
                    shift = one[name] - before[name]
                    low, high, _, _ = difference_interval(shift[0], shift[1:], groups=groups)
                    note(f"two cohorts, difference of {name}", low, high, 0.0)
            low, high, _ = percentile_interval(one["net benefit"][1:], groups=groups)
            note("decision curve's band, net benefit", low, high, true[0]["net benefit"])
            before = one
            for name, *ends, value in joined_of(codes, truth, soft[0].argmax(axis=1), groups, true[0]):
                note(name, *ends, value)
            for name, interval, value, right, of in proportions_of(truth, soft[0], true[0]):
                k, n = (np.bincount(codes, each, groups) for each in (right & of, of))
                low, high = clustered_interval(interval, k.sum(), n.sum(), effective_size(k, n))
                note(f"{name} at the effective size", low, high, value)
                low, high = interval(k.sum(), n.sum())
                note(f"{name} of pictures (not used)", low, high, value)
        setting = (
            f"{groups} patients, {kind.shares[2]:.0%} of the rarest class, 1 to {kind.sizes} pictures, correlation "
            f"{kind.correlation:g}, accuracy {true[0]['accuracy']:.2f}"
        )
        for name, inside in held.items():
            unknown = float(np.isnan(inside).mean())
            row_of = row(name, setting, float(np.nanmean(inside)), undefined=unknown, simulations=simulations)
            yield row_of | {"macro_auroc": round(true[0]["macro AUROC"], 4)}


def joined_of(
    codes: Any, truth: Any, said: Any, groups: int, true: dict[str, float], kinds: int = 3
) -> Iterator[tuple[str, float, float, float]]:
    """Means over the classes from the classes' intervals: name, bounds and the truth."""
    cells = counts_by_group(codes, kinds * truth + said, groups, kinds**2).reshape(-1, kinds, kinds)
    name = "balanced accuracy"
    yield f"joined, {name}", *mean_share_interval(jeffreys, *sensitivity_counts(cells)), true[name]
    yield (
        "joined, macro F1",
        *mean_share_interval(jeffreys, *overlap_counts(cells), f1=True),
        true["macro F1"],
    )


def proportions_of(truth: Any, soft: Floats, true: dict[str, float]) -> Iterator[Any]:
    """Name, interval, true value, pictures that count as right and pictures that the rate is of."""
    said = soft.argmax(axis=1)
    of = {"accuracy": (said == truth, truth >= 0), "sensitivity": (said == 2, truth == 2),
          "PPV": (truth == 2, said == 2),
          F1_RAREST: ((truth == 2) & (said == 2), (truth == 2) | (said == 2))}  # fmt: skip
    for (name, (right, among)), (title, interval) in product(
        of.items(), (("Wilson", wilson), ("Clopper-Pearson", clopper_pearson))
    ):
        yield f"{title}, {name}", interval, true[name], right, among


def as_table(rows: list[Row]) -> str:
    """A line for each interval: its mean coverage, the settings where it is lowest and highest, the undefined."""
    by: dict[str, list[Row]] = {}
    for one in rows:
        by.setdefault(one["interval"], []).append(one)
    lines = [
        "| interval | settings | mean | lowest | highest | undefined, at most |",
        "|---|---|---|---|---|---|",
    ]
    for name, several in by.items():
        low, high = (end(several, key=lambda one: float(one["coverage"])) for end in (min, max))
        mean = np.mean([one["coverage"] for one in several])
        ends = [f"{one['coverage']:.1f} ({one['setting']})" for one in (low, high)]
        undefined = max(one["undefined"] for one in several)
        told = f"{undefined:.1f}" if undefined else ""
        lines.append(f"| {name} | {len(several)} | {mean:.1f} | {ends[0]} | {ends[1]} | {told} |")
    return "\n".join(lines)


def write_table() -> None:
    """Put the table between its marks in the document."""
    root = Path(__file__).parents[1]
    rows = json.loads((root / "benchmarks" / "results" / "coverage.json").read_text())["rows"]
    document = root / "docs" / "witnesses.md"
    head, rest = document.read_text().split("<!-- coverage -->\n")
    _, tail = rest.split("<!-- end -->", 1)
    document.write_text(f"{head}<!-- coverage -->\n{as_table(rows)}\n<!-- end -->{tail}")


def main() -> None:
    """Run all, print each row, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=3000)
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    if chosen.table:
        write_table()
        return
    random = np.random.default_rng(20261121)
    began = time.process_time()
    rows: list[Row] = []
    for part in (
        proportions(), of_four_counts(), areas(chosen.simulations, random), paired_scores(chosen.simulations, random),
        means_over_classes(chosen.simulations, random), few_patients(chosen.simulations, random),
        bootstraps(chosen.simulations, chosen.replicates, random),
        sizes_that_tell(chosen.simulations, np.random.default_rng(20261122)),
    ):  # fmt: skip
        for one in part:
            rows.append(one)
            print(f"{one['coverage']:6.2f}  {one['interval']:<48} {one['setting']}", flush=True)
    seconds = time.process_time() - began
    if chosen.out is not None:
        from jobs import about

        about(
            chosen.out,
            f"coverage.py --simulations {chosen.simulations} --replicates {chosen.replicates}",
            {"processor_seconds": round(seconds), "level": 95, "rows": rows},
        )


if __name__ == "__main__":
    main()
