"""A replay's tables and page on the disk."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pulmoscope.cohort import Cohort
from pulmoscope.errors import RunError
from pulmoscope.files import or_null, write_json, write_text
from pulmoscope.report import ReplayPage, draw_curves, write_replay_page
from pulmoscope.report.style import save_png
from pulmoscope.training import Budget
from pulmoscope.workflow.environment import describe
from pulmoscope.workflow.replay_table import Replay, Row
from pulmoscope.workflow.replay_text import (
    as_markdown,
    explanation,
    failures,
    header_line,
    models_table,
    published_table,
    sources,
)
from pulmoscope.workflow.summary import LEAKED, is_leaked

_CURVES = Path("figures") / "curves.png"


def check_same_replay(
    folder: Path, name: str, budget: Budget, overrides: Sequence[str], cohort: Cohort
) -> None:
    """Prove that what lies in ``folder`` is of the same recipe, budget, overrides and cohort.

    Tables without any run behind them bind nobody.

    Raises:
        RunError: It is not; the earlier tables would be lost.
    """
    path = folder / "replay.json"
    if not path.is_file() or not any(folder.glob("*/seed-*/recipe.yaml")):
        return
    try:
        before = dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError):
        # Torn by hand: it is written anew, and the runs prove themselves.
        return
    now: dict[str, Any] = {"recipe": name, "budget": budget, "cohort": cohort.fingerprint()}
    if isinstance(before.get("overrides"), list):
        # In any order; where that matters, the runs prove themselves.
        before["overrides"] = sorted(map(str, before["overrides"]))
        now["overrides"] = sorted(overrides)
    changed = [
        f"{key} ({before.get(key)} before, {value} now)"
        for key, value in now.items()
        if before.get(key) != value
    ]
    if changed:
        raise RunError(
            f"{folder} holds a replay with other settings: {', '.join(changed)}",
            code="E_RUN_EXISTS",
            remedy="choose another folder with --out",
        )


def write_replay(folder: Path, replay: Replay) -> Path:
    """Write ``replay.csv``, ``replay.json``, ``replay.md`` and the page ``replay.html``, whose path is returned."""
    write_text(folder / "replay.csv", _csv(replay))
    write_json(folder / "replay.json", _json(replay))
    write_text(folder / "replay.md", as_markdown(replay))
    histories = replay.histories()
    figure = save_png(draw_curves(histories), folder / _CURVES) if histories else None
    about = describe()
    budget = "quick budget" if replay.budget == "quick" else "full budget"
    if replay.changed:
        budget += f", changed by --set {', '.join(replay.changed)}"
    page = ReplayPage(
        title=replay.name,
        subtitle=f"{budget} · {header_line(replay.seeds)} · Pulmoscope {about['pulmoscope']}",
        quick=replay.budget == "quick",
        leaked=LEAKED if is_leaked(replay.cohort) else "",
        descriptions=_descriptions(replay),
        explanation=explanation(replay),
        caveats=[str(text) for text in replay.cohort.info.get("caveats") or []],
        published=published_table(replay),
        sources=sources(replay),
        models=models_table(replay) if replay.models else None,
        failures=failures(replay),
        facts=[
            ("Cohort", _cohort_line(replay.cohort)),
            ("Cohort fingerprint", replay.cohort.fingerprint()),
            ("Set on the command line", ", ".join(replay.overrides) or "nothing"),
            ("Machine", f"{about['device']}, {about['threads']} threads, PyTorch {about['torch']}"),
            ("Command", str(about["command"])),
        ],
    )
    target = folder / "replay.html"
    write_replay_page(target, page, curves=figure)
    return target


def _descriptions(replay: Replay) -> list[tuple[str, str]]:
    """Each description once, with the variants that share it."""
    shared: dict[str, list[str]] = {}
    for one in replay.judged:
        shared.setdefault(one.variant.recipe.description, []).append(one.variant.label)
    return [(", ".join(labels), text) for text, labels in shared.items() if text]


def _cohort_line(cohort: Cohort) -> str:
    frame = cohort.frame
    kind = cohort.info.get("split", {}).get("kind")
    return (
        f"{', '.join(sorted(frame['source'].unique()))}: {len(frame):,} pictures, "
        f"classes {', '.join(cohort.classes)}" + (f", split {kind}" if kind else "")
    )


def _json(replay: Replay) -> dict[str, Any]:
    return {
        "recipe": replay.name,
        "budget": replay.budget,
        "overrides": list(replay.overrides),
        "seeds": list(replay.seeds),
        "cohort": replay.cohort.fingerprint(),
        "use": "Research use only. Not a medical device.",
        "rows": [_row(row) for row in replay.rows],
        "models": [
            {
                "model": one.model,
                "batch": one.batch,
                "seconds_by_stage": [or_null(stage.spread.mean) for stage in one.seconds],
                "measured": {
                    name: {"mean": or_null(found.spread.mean), "sd": or_null(found.spread.sd)}
                    for name, found in one.measured.items()
                },
                "published": {name: number.value for name, number in one.published.items()},
            }
            for one in replay.models
        ],
        "failures": [{"run": what, "reason": why} for what, why in failures(replay)],
    }


def _row(row: Row) -> dict[str, Any]:
    number, measured = row.published, row.measured
    found = None if measured is None else measured.spread
    estimate = None if measured is None else measured.estimate
    return {
        "model": row.model,
        "metric": row.metric,
        "meaning": row.meaning,
        "published": None if number is None else number.value,
        "published_split": None if number is None else number.split,
        "published_n": None if number is None else number.n,
        "published_data": None if number is None else number.data,
        "source": None if number is None else number.source,
        "note": None if number is None else number.note,
        "ours": None if found is None else or_null(found.mean),
        "low": None if estimate is None else or_null(estimate.low),
        "high": None if estimate is None else or_null(estimate.high),
        "interval_seed": None if measured is None else measured.seed,
        "sd": None if found is None else or_null(found.sd),
        "min": None if found is None else or_null(found.minimum),
        "max": None if found is None else or_null(found.maximum),
        "seeds": 0 if found is None else found.n,
        "n": row.n,
        "verdict": row.verdict,
    }


def _csv(replay: Replay) -> str:
    text = io.StringIO()
    setting = {"recipe": replay.name, "budget": replay.budget, "overrides": "; ".join(replay.overrides)}
    rows = [setting | _row(row) for row in replay.rows]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
