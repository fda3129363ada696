"""An ablation's tables and page on the disk."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulmoscope.cohort import Cohort
from pulmoscope.files import or_null, write_json, write_text
from pulmoscope.report.ablation_page import AblationPage, write_ablation_page
from pulmoscope.report.numbers import flat_settings, show_setting
from pulmoscope.search.ablation import Ablation, Effect, Shift
from pulmoscope.search.ablation_words import notes, sentence, sentences
from pulmoscope.training import Recipe
from pulmoscope.workflow.environment import describe
from pulmoscope.workflow.summary import LEAKED, is_leaked


def write_ablation(folder: Path, ablation: Ablation, recipe: Recipe, cohort: Cohort) -> Path:
    """Write ``ablation.csv``, ``ablation.json`` and the page ``ablation.html``, whose path is returned.

    Raises:
        StorageError: They cannot be written.
    """
    frame = cohort.frame
    write_text(folder / "ablation.csv", _csv(ablation))
    write_json(
        folder / "ablation.json",
        {
            "recipe": recipe.name,
            "variant": recipe.variant,
            "budget": recipe.budget,
            "cohort": cohort.fingerprint(),
            "leaked_split": is_leaked(cohort),
            "use": "Research use only. Not a medical device.",
            **as_json(ablation),
        },
    )
    about = describe()
    page = AblationPage(
        title=recipe.title,
        subtitle=f"{recipe.budget} budget · Pulmoscope {about['pulmoscope']}",
        quick=recipe.budget == "quick",
        leaked=LEAKED if is_leaked(cohort) else "",
        caveats=[str(text) for text in cohort.info.get("caveats") or []],
        changes=[
            (
                f"{factor.name} {level.name}" + (" (plain)" if level.name == factor.plain else ""),
                _changes(level.changes),
            )
            for factor in ablation.factors
            for level in factor.levels
        ],
        facts=[
            (
                "Cohort",
                f"{', '.join(sorted(frame['source'].unique()))}: {len(frame):,} pictures, "
                f"classes {', '.join(cohort.classes)}",
            ),
            ("Cohort fingerprint", cohort.fingerprint()),
            ("Seeds", ", ".join(map(str, ablation.seeds))),
            ("Bootstrap replicates", f"{ablation.replicates:,}"),
            ("Machine", f"{about['device']}, {about['threads']} threads, PyTorch {about['torch']}"),
            ("Command", str(about["command"])),
        ],
    )
    return write_ablation_page(folder / "ablation.html", ablation, page)


def as_json(ablation: Ablation) -> dict[str, Any]:
    """The whole ablation as plain numbers, lists and None where undefined."""
    return {
        "design": ablation.design,
        "factors": {
            one.name: {level.name: dict(level.changes) for level in one.levels} for one in ablation.factors
        },
        "seeds": list(ablation.seeds),
        "part": ablation.part,
        "pictures": ablation.pictures,
        "groups": ablation.groups,
        "replicates": ablation.replicates,
        "cells": [
            {
                "cell": list(one.cell),
                "label": one.label,
                "accuracy": _shift(one.accuracy),
                "by_seed": list(one.by_seed),
                "validation": _shift(one.validation),
            }
            for one in ablation.cells
        ],
        "effects": [_effect(one, ablation) for one in ablation.effects],
        "comparisons": [_effect(one, ablation) for one in ablation.comparisons],
        "missing": dict(ablation.missing),
        "left_out": list(ablation.left_out),
        "notes": notes(ablation),
    }


def as_text(ablation: Ablation) -> str:
    """For the terminal."""
    lines = [*sentences(ablation), ""]
    lines += [f"not judged: {label}: {why}" for label, why in ablation.missing.items()]
    return "\n".join([*lines, *notes(ablation)])


def _effect(one: Effect, ablation: Ablation) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "label": one.label,
        "changed": [list(pair) for pair in one.changed],
        "plain": list(one.plain),
        "difference": _shift(one.shift),
        "by_seed": list(one.by_seed),
        "p": or_null(one.p),
        "holm_p": or_null(one.holm_p),
        "verdict": one.verdict,
        "mcnemar": [
            {
                "only_plain": told.only_first,
                "only_changed": told.only_second,
                "exact_p": told.exact_p,
                "mid_p": told.mid_p,
            }
            for told in one.mcnemar
        ],
        "validation": _shift(one.validation),
        "sentence": sentence(one, ablation),
    }


def _csv(ablation: Ablation) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["kind", "effect", "difference", "low", "high", "p", "holm_p", "verdict", "only_plain", "only_changed",
         "mcnemar_p", "validation", "validation_low", "validation_high", "sentence"]
    )  # fmt: skip
    for one in (*ablation.effects, *ablation.comparisons):
        beside = one.validation or Shift(value=math.nan, low=math.nan, high=math.nan)
        # One value a seed, in the order of the seeds.
        pairs = [(told.only_first, told.only_second, told.exact_p) for told in one.mcnemar]
        by_seed = ["; ".join(map(str, column)) for column in zip(*pairs, strict=True)] or ["", "", ""]
        numbers = [one.shift.value, one.shift.low, one.shift.high, one.p, one.holm_p]
        writer.writerow(
            [one.kind, one.label, *map(or_null, numbers), one.verdict, *by_seed,
             *map(or_null, (beside.value, beside.low, beside.high)), sentence(one, ablation)]
        )  # fmt: skip
    return text.getvalue()


def _changes(changes: Mapping[str, Any]) -> str:
    flat = flat_settings(changes)
    return "; ".join(f"{name} {show_setting(value)}" for name, value in flat.items()) or "the recipe as it is"


def _shift(shift: Shift | None) -> dict[str, float | None] | None:
    if shift is None:
        return None
    return {
        "value": or_null(shift.value),
        "low": or_null(shift.low),
        "high": or_null(shift.high),
    }
