"""The page of an ablation: a sentence and a line of the forest plot for every effect, in one HTML file.

The test part is read for estimating effects, not for choosing a setting, and the page says so first; the same effects
on the validation part stand beside.
"""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulmoscope.evaluation.p_value import show_bare_p, show_p
from pulmoscope.files import write_text
from pulmoscope.report.figures.effects import ForestRow, draw_effects
from pulmoscope.report.page import template
from pulmoscope.report.style import save_png
from pulmoscope.report.tables import Table
from pulmoscope.search.ablation import Ablation, Effect, Shift
from pulmoscope.search.ablation_words import notes, sentence, show_pairs, show_points

_HEADINGS = {
    "main": "Each factor",
    "interaction": "Combinations, beyond the sum of their parts",
    "cell": "Each cell against the plain one",
}
_KINDS = {"helps": "above", "hurts": "below", "cannot be told apart": "none"}
_PARTS = {"test": "test part", "val": "validation part", "": "predictions"}


@dataclass(frozen=True, kw_only=True)
class AblationPage:
    """What the page says beside the effects.

    Attributes:
        title: What was ablated.
        subtitle: Budget, version.
        quick: Whether the setting is reduced; the page says so above everything.
        leaked: A warning, where patients stand on both sides of the split.
        caveats: Of the cohort.
        changes: Factor, level and the recipe fields it sets, in words.
        facts: Cohort, machine, command.
    """

    title: str
    subtitle: str
    quick: bool = False
    leaked: str = ""
    caveats: Sequence[str] = ()
    changes: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()


def write_ablation_page(path: str | os.PathLike[str], ablation: Ablation, page: AblationPage) -> Path:
    """Write the page to ``path``, and its plot as ``figures/effects.png`` beside it, each whole or not at all.

    Text is escaped; the page has no scripts, and its content policy forbids them and any network.

    Raises:
        StorageError: They cannot be written.
    """
    target = Path(path)
    figure = ""
    rows = forest_rows(ablation)
    if rows:
        drawn = save_png(draw_effects(rows), target.parent / "figures" / "effects.png")
        figure = base64.b64encode(drawn.read_bytes()).decode("ascii")
    groups = [
        (_HEADINGS[kind], [(_KINDS[one.verdict], _unbroken(sentence(one, ablation))) for one in some])
        for kind in _HEADINGS
        if (some := [one for one in (*ablation.effects, *ablation.comparisons) if one.kind == kind])
    ]
    tables = [effects_table(ablation.effects, "Effects on accuracy, percentage points with 95% intervals")]
    if ablation.comparisons:
        tables.append(effects_table(ablation.comparisons, "Each cell against the plain one"))
    text = template("ablation.html.j2").render(
        page=page,
        count=_count(ablation),
        notes=notes(ablation),
        groups=groups,
        figure=figure,
        tables=tables,
        cells=cells_table(ablation),
        missing=list(ablation.missing.items()),
        left_out=ablation.left_out,
    )
    write_text(target, text)
    return target


def forest_rows(ablation: Ablation) -> list[ForestRow]:
    """The lines of the plot, in percentage points."""
    rows, before = [], ""
    for one in (*ablation.effects, *ablation.comparisons):
        beside = one.validation
        rows.append(
            ForestRow(
                label=one.label,
                value=100 * one.shift.value,
                low=100 * one.shift.low,
                high=100 * one.shift.high,
                verdict=one.verdict,
                text=f"{show_points(one.shift)}   {show_p(one.holm_p)}",
                validation=None
                if beside is None
                else (100 * beside.value, 100 * beside.low, 100 * beside.high),
                heading=_HEADINGS[one.kind] if one.kind != before else "",
            )
        )
        before = one.kind
    return rows


def effects_table(effects: Sequence[Effect], caption: str) -> Table:
    """A row an effect: both parts, p, Holm's p, McNemar, verdict."""
    pairs, beside = any(one.mcnemar for one in effects), any(one.validation for one in effects)
    header = ["Effect", "Accuracy, points"]
    header += ["On validation"] if beside else []
    header += ["p", "After Holm"] + (["Plain : changed, McNemar"] if pairs else []) + ["Verdict"]
    rows = []
    for one in effects:
        row = [one.label, show_points(one.shift)]
        row += [show_points(one.validation) if one.validation else "undefined"] if beside else []
        row += (
            [_bare(one.p), _bare(one.holm_p)]
            + ([_unbroken(show_pairs(one))] if pairs else [])
            + [one.verdict]
        )
        rows.append(row)
    return Table(caption=caption, header=header, rows=rows)


def cells_table(ablation: Ablation) -> Table:
    """A row a cell: its accuracy on both parts, and that of each seed where there are several."""
    several = len(ablation.seeds) > 1
    beside = any(cell.validation for cell in ablation.cells)
    header = ["Cell", "Accuracy"] + (["On validation"] if beside else [])
    header += [f"Seed {seed}" for seed in ablation.seeds] if several else []
    rows = []
    for cell in ablation.cells:
        row = [cell.label, _share(cell.accuracy)]
        row += [_share(cell.validation)] if beside else []
        rows.append(row + ([f"{100 * value:.2f}%" for value in cell.by_seed] if several else []))
    return Table(caption=f"Accuracy of each cell, {_count(ablation)}", header=header, rows=rows)


def _count(ablation: Ablation) -> str:
    seeds = len(ablation.seeds)
    return (
        f"{_PARTS[ablation.part]}, {ablation.pictures:,} pictures of {ablation.groups:,} groups, "
        f"{seeds} seed{'s' if seeds > 1 else ''}, {ablation.design}"
    )


def _share(shift: Shift | None) -> str:
    if shift is None or math.isnan(shift.value):
        return "undefined"
    if math.isnan(shift.low):
        return f"{100 * shift.value:.2f}%"
    return f"{100 * shift.value:.2f}% ({100 * shift.low:.2f}-{100 * shift.high:.2f})"


def _bare(p: float) -> str:
    return show_bare_p(p).replace(" ", "\N{NO-BREAK SPACE}")


def _unbroken(text: str) -> str:
    """A p-value stays on one line."""
    return re.sub(r"\bp ([=<]) ", "p\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)
