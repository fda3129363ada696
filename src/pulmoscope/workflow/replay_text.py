"""A replay as tables of text: for the terminal, for Markdown and for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pulmoscope.report.tables import Table
from pulmoscope.workflow.replay_table import RATES, ModelRow, Replay, Row
from pulmoscope.workflow.verdict import COSTS, PARAMETERS, QUICK, SECONDS, Measured

_COLUMNS = {
    PARAMETERS: "Parameters, M",
    SECONDS: "Seconds an epoch",
    "accuracy": "Accuracy",
    "mean_ovr_accuracy": "Mean one-vs-rest accuracy",
    "mean_sensitivity": "Mean sensitivity",
    "mean_specificity": "Mean specificity",
    "macro_auroc": "Macro AUROC",
}
_NONE = "–"
PUBLISHED = "published"


def published_table(replay: Replay) -> Table:
    """Every published number beside ours; a number in square brackets leads to :func:`sources`."""
    numbers = {text: index for index, text in enumerate(sources(replay), 1)}
    several = len(replay.seeds) > 1
    header = ["Model", "Metric", "Published", "Ours, mean over seeds" if several else "Ours", "95% interval"]
    rows = []
    for row in replay.rows:
        given = _NONE
        if row.published is not None:
            given = f"{_shown(row.metric, row.published.value, exact=True)} [{numbers[_source(row)]}]"
        cells = [row.model, row.meaning, given, _mean(row), _interval(row, several)]
        rows.append([*cells, *([_spread(row)] if several else []), row.verdict])
    return Table(
        caption="Published numbers beside ours",
        header=[*header, *(["Over seeds"] if several else []), "Verdict"],
        rows=rows,
        numeric=False,
    )


def sources(replay: Replay) -> list[str]:
    """Who printed the published numbers, on what, and what a reader must know; each once."""
    return list(dict.fromkeys(_source(row) for row in replay.rows if row.published is not None))


def models_table(replay: Replay) -> Table:
    """The trained models beside each other; what the report prints of one stands in a row below it."""
    shown = [name for name in (*COSTS, *RATES) if any(name in one.measured for one in replay.models)]
    header = [
        "Model",
        *(_COLUMNS[name] for name in shown[:1]),
        "Batch",
        *(_COLUMNS[name] for name in shown[1:]),
    ]
    rows = []
    for model in replay.models:
        ours = [_compared(model, name) for name in shown]
        rows.append([model.model, ours[0], model.batch, *ours[1:]])
        if model.published:
            theirs = [
                _shown(name, model.published[name].value, exact=True) if name in model.published else _NONE
                for name in shown
            ]
            rows.append([PUBLISHED, theirs[0], _NONE, *theirs[1:]])
    spread = (
        "mean ± standard deviation over the seeds" if len(replay.seeds) > 1 else "95% intervals in brackets"
    )
    return Table(caption=f"The models beside each other: {spread}", header=header, rows=rows)


def failures(replay: Replay) -> list[tuple[str, str]]:
    """What was not trained, and why."""
    return [
        (f"{one.variant.label}, seed {seed}", why)
        for one in replay.judged
        for seed, why in one.variant.failures.items()
    ]


def explanation(replay: Replay) -> list[str]:
    """How the table is to be read, a sentence each."""
    several = len(replay.seeds) > 1
    said = []
    if replay.budget == "quick":
        said.append(f"{QUICK}. The figures say that the recipe trains, not what it can reach.")
    if replay.overrides:
        said.append(f"Set on the command line: {', '.join(replay.overrides)}.")
    said.append(
        "The verdict asks whether the published number lies in the 95% interval of our test predictions"
        + ("; of several seeds, of the one whose value is the median." if several else ".")
    )
    said.append(
        "An interval says how far a figure would move with other test pictures; another training moves it too"
        + (", as the spread over seeds shows." if several else ": several seeds would show how far.")
    )
    if any("routing" in model.model for model in replay.models):
        said.append(
            "A cascade is one training read in two ways: soft routing multiplies the stages' probabilities, "
            "hard routing takes the first stage's answer as final, as the report did."
        )
    return said


def as_text(replay: Replay) -> str:
    """The table of published numbers for the terminal, and what was not trained."""
    table = published_table(replay)
    grid = [list(table.header), *([*row[:-1], row[-1].partition(": E_")[0]] for row in table.rows)]
    widths = [max(len(row[column]) for row in grid) for column in range(len(table.header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid
    ]
    notes = [f"[{index}] {text}" for index, text in enumerate(sources(replay), 1)]
    gone = [f"not trained: {what}: {why}" for what, why in failures(replay)]
    return "\n".join([*lines, "", *notes, *gone, "", *explanation(replay)])


def as_markdown(replay: Replay) -> str:
    """The whole replay as a Markdown page."""
    parts = [
        f"# Replay of {replay.name}{' (quick)' if replay.budget == 'quick' else ''}",
        "",
        "Research use only.",
        "",
    ]
    parts += [*explanation(replay), ""]
    parts += [*_markdown(published_table(replay)), ""]
    parts += [f"{index}. {_escaped(text)}" for index, text in enumerate(sources(replay), 1)]
    if replay.models:
        parts += ["", "## Models", "", *_markdown(models_table(replay))]
    gone = failures(replay)
    if gone:
        parts += ["", "## Not trained", "", *(f"- {_escaped(what)}: {_escaped(why)}" for what, why in gone)]
    return "\n".join(parts) + "\n"


def _markdown(table: Table) -> list[str]:
    rows = [table.header, ["---"] * len(table.header), *table.rows]
    return ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in rows]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _source(row: Row) -> str:
    number = row.published
    if number is None:
        return ""
    where = [number.split, number.data, f"n = {number.n:,}" if number.n is not None else ""]
    text = f"{number.source} ({', '.join(part for part in where if part)})"
    return f"{text}. {number.note}" if number.note else text


def _shown(metric: str, value: float, *, exact: bool = False) -> str:
    if math.isnan(value):
        return "undefined"
    if metric == PARAMETERS:
        return f"{value:.2f}"
    if metric == SECONDS:
        return f"{value:.0f}" if exact else f"{value:.1f}"
    # A published rate stands with the digits it was printed with.
    return f"{value:.5f}".rstrip("0") if exact else f"{value:.3f}"


def _mean(row: Row) -> str:
    return _NONE if row.measured is None else _shown(row.metric, row.measured.spread.mean)


def _interval(row: Row, several: bool) -> str:
    estimate = None if row.measured is None else row.measured.estimate
    if estimate is None or row.measured is None or math.isnan(estimate.low):
        return _NONE
    whose = f" (seed {row.measured.seed})" if several else ""
    return f"{estimate.low:.3f}-{estimate.high:.3f}{whose}"


def _spread(row: Row) -> str:
    if row.measured is None or row.measured.spread.n < 2:
        return _NONE
    found = row.measured.spread
    low, high = (_shown(row.metric, one) for one in (found.minimum, found.maximum))
    return f"sd {_shown(row.metric, found.sd)}, {low}-{high}"


def _compared(model: ModelRow, name: str) -> str:
    measured = model.measured.get(name)
    if measured is None:
        return _NONE
    if name == SECONDS and len(model.seconds) > 1:
        return " + ".join(_with_spread(name, stage) for stage in model.seconds)
    return _with_spread(name, measured)


def _with_spread(name: str, measured: Measured) -> str:
    mean = _shown(name, measured.spread.mean)
    if measured.spread.n > 1:
        return f"{mean} ± {_shown(name, measured.spread.sd)}"
    return f"{mean}{_bracket(measured)}"


def _bracket(measured: Measured) -> str:
    one = measured.estimate
    return "" if one is None or math.isnan(one.low) else f" ({one.low:.3f}-{one.high:.3f})"


def header_line(seeds: Sequence[int]) -> str:
    """The seeds in words."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
