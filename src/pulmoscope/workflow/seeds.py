"""One recipe, several seeds: a run each, and what they share and where they differ."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulmoscope.cohort import Cohort
from pulmoscope.errors import PulmoscopeError, RunError
from pulmoscope.evaluation.result import BY_CLASS, OVERALL
from pulmoscope.evaluation.spread import Spread, spread
from pulmoscope.files import exclusive, or_null, write_json, write_text
from pulmoscope.report.numbers import show_number
from pulmoscope.search.engine import Engine, beyond
from pulmoscope.training import Recipe, load_recipe
from pulmoscope.workflow.results_folder import refuse_run_or_cohort
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.training_run import claim, reported_part, train
from pulmoscope.workflow.trainings import Training, clear_unbegun, refuse_failed, run_trainings

log = logging.getLogger("pulmoscope")


@dataclass(frozen=True, kw_only=True, eq=False)
class Seeds:
    """What :func:`train_seeds` left.

    Attributes:
        folder: Holds ``seed-N`` for each seed, ``seeds.json`` and ``seeds.csv``.
        part: The part of the data that the metrics are of: ``test``, or ``val`` where there is no test part.
        runs: Seed -> its run.
        values: Metric -> seed -> ``{"value", "low", "high"}``, None where undefined.
    """

    folder: Path
    part: str
    runs: Mapping[int, Run]
    values: Mapping[str, Mapping[int, Mapping[str, float | None]]]

    def spreads(self) -> dict[str, Spread]:
        """Metric -> its spread over the seeds."""
        return {
            metric: spread([_number(one["value"]) for one in by_seed.values()])
            for metric, by_seed in self.values.items()
        }

    def __str__(self) -> str:
        """The table for the terminal."""
        header = ["metric", "mean", "sd", "min-max", *(f"seed {seed}" for seed in self.runs)]
        rows = [header]
        for metric, found in self.spreads().items():
            by_seed = [_interval(self.values[metric][seed]) for seed in self.runs]
            whole = [
                show_number(found.mean),
                show_number(found.sd),
                f"{show_number(found.minimum)}-{show_number(found.maximum)}",
            ]
            rows.append([metric, *whole, *by_seed])
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        part = {"test": "the test part", "val": "the validation part, on which choices were made"}[self.part]
        return "\n".join([f"{len(self.runs)} seeds, {part}; in brackets: 95% intervals", "", *lines])


def train_seeds(
    recipe: str | os.PathLike[str] | Recipe,
    cohort: Cohort,
    *,
    seeds: Sequence[int],
    out: str | os.PathLike[str],
    resume: bool = False,
    engine: Engine | None = None,
    progress: bool = False,
) -> Seeds:
    """Train one run a seed in ``out/seed-N`` and write their mean and spread.

    Args:
        recipe: A shipped recipe's name, a path, or a :class:`Recipe`.
        cohort: The radiographs; one with folds is cross-validated with each seed.
        seeds: Distinct, at least one.
        out: The folder of all runs.
        resume: Go on where an earlier call was interrupted; finished runs are left as they are.
        engine: What trains, a seed (and a fold of it) apart; by default this process, one after another.
        progress: Draw progress bars.

    Raises:
        RunError: No seeds, one twice, or a run is there already and ``resume`` is not given.
        PulmoscopeError: As :func:`pulmoscope.train`.
    """
    checked = check_seeds(seeds)
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    folder = Path(out)
    with exclusive(folder):
        refuse_run_or_cohort(folder)
        if engine is not None and beyond(engine) is not None:
            _train_apart(recipe, cohort, checked, folder, engine, resume=resume, progress=progress)
            resume = True
        runs = {
            seed: train(
                recipe, cohort, out=folder / f"seed-{seed}", seed=seed, resume=resume, progress=progress
            )
            for seed in checked
        }
        found = _summary(folder, runs)
        _write(found, recipe, cohort)
    return found


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read ``0,1,2``.

    Raises:
        RunError: It is no list of distinct whole numbers from 0.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise RunError(
            "--seeds cannot be read",
            code="E_USAGE",
            expected="whole numbers from 0, as in 0,1,2",
            got=repr(text),
        )
    return check_seeds([int(word) for word in words])


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds as they are.

    Raises:
        RunError: There is none, one stands twice, or one is below 0.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise RunError(
            "the seeds must be distinct and at least one",
            code="E_USAGE",
            expected="whole numbers from 0, as in 0,1,2",
            got=", ".join(map(str, seeds)) or "none",
        )
    return tuple(seeds)


def metric_values(scores: Mapping[str, Any]) -> dict[str, Mapping[str, float | None]]:
    """One part of ``metrics.json`` flat: ``accuracy``, ..., ``sensitivity:covid``, ..."""
    flat = {name: scores[name] for name in OVERALL}
    for label, rates in scores["classes"].items():
        flat |= {f"{name}:{label}": rates[name] for name in BY_CLASS}
    return flat


def _train_apart(
    recipe: Recipe,
    cohort: Cohort,
    seeds: Sequence[int],
    folder: Path,
    engine: Engine,
    *,
    resume: bool,
    progress: bool,
) -> None:
    """Train every seed on the engine; the first that fails ends the rest."""
    places = {seed: folder.resolve() / f"seed-{seed}" for seed in seeds}
    fresh = {place: not place.exists() for place in places.values()}
    for seed, place in sorted(places.items(), key=lambda one: not one[1].exists()):
        # Before any is trained and any new one is begun: one that may not be written is known at once.
        with exclusive(place):
            claim(place, recipe.resolved(), cohort, seed, resume)
    cohort.write(folder / "cohort")
    trainings = [
        Training(
            recipe=recipe,
            cohort=str(folder.resolve() / "cohort"),
            out=str(place),
            seed=seed,
            progress=progress,
        )
        for seed, place in places.items()
    ]
    try:
        with contextlib.closing(run_trainings(trainings, cohort, engine)) as ended:
            for number, (training, reason) in enumerate(ended, 1):
                refuse_failed(f"seed {training.seed}", reason)
                log.info("seed %d: trained (%d of %d)", training.seed, number, len(trainings))
    except PulmoscopeError:
        # Claimed above and never begun, they would bind the next command to settings that do not work.
        for place, new in fresh.items():
            clear_unbegun(place, new)
        raise


def _summary(folder: Path, runs: Mapping[int, Run]) -> Seeds:
    metrics = {seed: run.metrics for seed, run in runs.items()}
    part = reported_part(next(iter(metrics.values())))
    flat = {seed: metric_values(one[part]) for seed, one in metrics.items()}
    names = next(iter(flat.values()))
    values = {name: {seed: flat[seed][name] for seed in runs} for name in names}
    return Seeds(folder=folder, part=part, runs=runs, values=values)


def _write(seeds: Seeds, recipe: Recipe, cohort: Cohort) -> None:
    spreads = seeds.spreads()
    write_json(
        seeds.folder / "seeds.json",
        {
            "recipe": recipe.name,
            "variant": recipe.variant,
            "budget": recipe.budget,
            "cohort": cohort.fingerprint(),
            "part": seeds.part,
            "seeds": list(seeds.runs),
            "metrics": {
                metric: {
                    "mean": or_null(found.mean),
                    "sd": or_null(found.sd),
                    "min": or_null(found.minimum),
                    "max": or_null(found.maximum),
                    "seeds": {str(seed): dict(one) for seed, one in seeds.values[metric].items()},
                }
                for metric, found in spreads.items()
            },
        },
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"seed_{seed}{end}" for seed in seeds.runs for end in ("", "_low", "_high")]
    writer.writerow(["metric", "mean", "sd", "min", "max", *columns])
    for metric, found in spreads.items():
        by_seed = [seeds.values[metric][seed][key] for seed in seeds.runs for key in ("value", "low", "high")]
        whole = [or_null(one) for one in (found.mean, found.sd, found.minimum, found.maximum)]
        writer.writerow([metric, *whole, *by_seed])
    write_text(seeds.folder / "seeds.csv", text.getvalue())


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _interval(rate: Mapping[str, float | None]) -> str:
    if rate["value"] is None:
        return "undefined"
    if rate["low"] is None or rate["high"] is None:
        return f"{rate['value']:.3f}"
    return f"{rate['value']:.3f} ({rate['low']:.3f}-{rate['high']:.3f})"
