"""Effects in words: a sentence each, with the figures in it."""

from __future__ import annotations

import math

from pulmoscope.evaluation.p_value import show_p
from pulmoscope.search.ablation import Ablation, Effect, Shift


def show_points(shift: Shift) -> str:
    """A change in percentage points with its interval.

    >>> show_points(Shift(value=0.0123, low=-0.001, high=0.0256))
    '+1.23 (-0.10 to +2.56)'
    """
    if math.isnan(shift.value):
        return "undefined"
    if math.isnan(shift.low):
        return f"{_points(shift.value)}"
    return f"{_points(shift.value)} ({_points(shift.low)} to {_points(shift.high)})"


def show_pairs(effect: Effect) -> str:
    """Pictures that the plain cell alone has right and those that the changed one has, of each seed; with McNemar's p.

    Empty where the effect is not of two cells.
    """
    return "; ".join(f"{one.only_first} : {one.only_second}, {show_p(one.exact_p)}" for one in effect.mcnemar)


def sentence(effect: Effect, ablation: Ablation) -> str:
    """What the effect is, whether it helps, hurts or cannot be told apart, and the figures."""
    family = ablation.comparisons if effect.kind == "cell" else ablation.effects
    figures = f"{show_points(effect.shift)} points of accuracy, {show_p(effect.p)}"
    if len(family) > 1:
        figures += f", after Holm over {len(family)} {show_p(effect.holm_p)}"
    if effect.mcnemar:
        seeds = " by seed" if len(effect.mcnemar) > 1 else ""
        figures += f"; right in one alone{seeds} (plain : changed, McNemar) {show_pairs(effect)}"
    return f"{_subject(effect, ablation)}: {figures}."


def sentences(ablation: Ablation) -> list[str]:
    """One for each effect, then one for each comparison."""
    return [sentence(one, ablation) for one in (*ablation.effects, *ablation.comparisons)]


def _subject(effect: Effect, ablation: Ablation) -> str:
    told = effect.verdict
    if effect.kind == "main":
        (factor, level), plain = effect.changed[0], effect.plain[0]
        over = ", averaged over the other factors" if len(ablation.effects) > 1 else ""
        over = over if ablation.design == "factorial" else ", all else plain"
        if told == "cannot be told apart":
            return f"{factor}: {level} cannot be told apart from {plain}{over}"
        return f"{factor}: {level} {told} against {plain}{over}"
    if effect.kind == "cell":
        apart = " from the plain setting" if told == "cannot be told apart" else " against the plain setting"
        return f"{effect.label} {told}{apart}"
    sum_of = "the sum of the two" if len(effect.changed) == 2 else "what its parts and pairs add up to"
    together = f"{effect.label}: their combination"
    if told == "cannot be told apart":
        return f"{together} cannot be told apart from {sum_of}"
    return f"{together} {told}, beyond {sum_of}"


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def notes(ablation: Ablation) -> list[str]:
    """What a reader of the numbers must know."""
    said = []
    if ablation.part == "test":
        said.append(
            "The test part is read here to estimate effects, not to choose a setting: choose by the validation part, "
            "whose effects stand beside."
        )
    elif ablation.part == "val":
        said.append(
            "There is no test part: effects are of the validation part, on which each epoch was chosen."
        )
    seeds = len(ablation.seeds)
    if seeds == 1:
        said.append(
            "Each cell was trained once: a difference tells these trained networks apart on such pictures. Whether "
            "another training would show it again, only more seeds can say."
        )
        said.append(
            "p: sign-flip test over groups, exact up to 5,000 pictures that differ, normal above; with one picture a "
            "group and two cells it is McNemar's exact test."
        )
    else:
        said.append(f"p: t test over groups and {seeds} seeds, both taken as drawn from many.")
        said.append(
            f"Intervals draw groups, and {seeds - 1} of {seeds} seeds with replacement. With so few seeds they can be "
            "narrower than the test allows for: the test decides."
            if seeds < 6
            else "Intervals draw groups and seeds with replacement."
        )
    if any(one.kind == "interaction" and one.verdict != "cannot be told apart" for one in ablation.effects):
        said.append(
            "Some combinations do more or less than the sum of their parts: what a factor does on average is then not "
            "what it does in each cell."
        )
    said.append(
        "What cannot be told apart need not be equal: the interval says which differences are still possible."
    )
    return said
