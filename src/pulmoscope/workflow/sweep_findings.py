"""What the trials of a sweep say, and how much their numbers can bear."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pulmoscope.evaluation import percentile_interval
from pulmoscope.files import atomic_path
from pulmoscope.search.objective import (
    Validation,
    all_scores,
    is_better_high,
    objective_values,
    replicate_weights,
)
from pulmoscope.search.optimism import Optimism, picking_optimism
from pulmoscope.search.samplers import distribution, params_key
from pulmoscope.search.sources import PairedSources, compare_sources
from pulmoscope.search.space import Space, Value
from pulmoscope.search.ties import Ties, ties_with_best
from pulmoscope.search.trial_files import TrialResult

TOP = 10
_CURVES = 3
_FEWEST_FOR_IMPORTANCE = 4
IMPORTANCE = (
    "fANOVA (Hutter, Hoos and Leyton-Brown 2014) on a random forest of the finished trials, by Optuna"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """The table of trials and what follows from it.

    Attributes:
        frame: A row a trial, by number: ``number``, ``key``, ``state``, a column an axis, ``objective`` with its 95%
            interval ``low`` and ``high``, ``rank``, ``p``, ``p_holm`` and ``ties`` against the best, the validation
            metrics, ``stage``, ``epoch``, ``seconds``, ``reason``. A column has one type: where an axis's values have
            several, its column holds them as text.
        values: Number -> the trial's values as they were given, by axis; axes that did not exist for it are left out.
        axes: Names of the axes.
        objective: What trials are ranked by.
        maximise: Whether larger is better.
        best: Number of the best trial, the first of equals; None where none was completed.
        ties: How the trials were tested against it; None without a best.
        optimism: Of picking it; None without a best.
        importance: Axis -> its share of the objective's variance; empty where there are too few trials.
        sources: Starting weights against each other, where they are an axis.
        histories: The epochs of the best trials, by number.
        stopped: Those of the trials that were pruned, by number.
        pictures: Validation pictures.
        groups: They are of so many groups.
        replicates: Of the bootstrap.
        saved: What the saved model of the best trial reaches, where that is not the trial's objective.
    """

    frame: pd.DataFrame
    values: Mapping[int, Mapping[str, Value]]
    axes: tuple[str, ...]
    objective: str
    maximise: bool
    best: int | None
    ties: Ties | None
    optimism: Optimism | None
    importance: Mapping[str, float]
    sources: Sequence[PairedSources]
    histories: Mapping[int, pd.DataFrame]
    stopped: Mapping[int, pd.DataFrame]
    pictures: int
    groups: int
    replicates: int
    saved: float | None = None

    def row(self, number: int | None) -> dict[str, Any]:
        """A trial's row."""
        return dict(self.frame.loc[self.frame["number"] == number].iloc[0])

    def params(self, number: int | None) -> dict[str, Value]:
        """A trial's values in the order of the axes; empty for None."""
        values = {} if number is None else self.values[number]
        return {name: values[name] for name in self.axes if name in values}

    @property
    def ranked(self) -> pd.DataFrame:
        """Completed trials, the best first."""
        return self.frame[self.frame["rank"].notna()].sort_values("rank")

    @property
    def tied(self) -> list[int]:
        """Numbers of the trials that cannot be told apart from the best, without it."""
        rows = self.frame[self.frame["ties"].eq(True) & (self.frame["number"] != self.best)]
        return [int(number) for number in rows["number"]]

    def by_value(self) -> pd.DataFrame:
        """A row a value of each axis: ``axis``, ``value``, ``n``, ``mean``, ``sd``, ``best`` of the objective."""
        done = self.frame[self.frame["state"] == "complete"]
        reached = {
            int(number): float(one) for number, one in zip(done["number"], done["objective"], strict=True)
        }
        rows = []
        for axis in self.axes:
            # By type too: for Python, 1 and true are the same.
            by_value: dict[tuple[type, Value], list[float]] = {}
            for number, objective in reached.items():
                if axis in self.values[number]:
                    value = self.values[number][axis]
                    by_value.setdefault((type(value), value), []).append(objective)
            for (_, value), objectives in sorted(by_value.items(), key=lambda item: _order(item[0][1])):
                found = np.array(objectives)
                rows.append(
                    {
                        "axis": axis,
                        "value": value,
                        "n": len(found),
                        "mean": float(found.mean()),
                        "sd": float(found.std(ddof=1)) if len(found) > 1 else math.nan,
                        "best": float(found.max() if self.maximise else found.min()),
                    }
                )
        columns = {name: [row[name] for row in rows] for name in ("axis", "n", "mean", "sd", "best")}
        # As they are: pandas would make numbers of truth values, and NaN of null.
        values = pd.Series([row["value"] for row in rows], dtype=object)
        table = pd.DataFrame(columns)
        table.insert(1, "value", values)
        return table

    def write(self, folder: Path) -> None:
        """``trials.parquet`` and ``trials.csv``, each whole or not at all."""
        _write(self.frame, folder)

    def as_dict(self) -> dict[str, Any]:
        """The part of ``sweep.json`` that follows from the trials; undefined is null."""
        found = self.optimism
        return {
            "objective": self.objective,
            "validation": {"pictures": self.pictures, "groups": self.groups, "replicates": self.replicates},
            "trials": {str(name): int(count) for name, count in self.frame["state"].value_counts().items()},
            "best": None if self.best is None else self._trial(self.best),
            "best_as_saved": self.saved,
            "top": [self._trial(int(number)) for number in self.ranked["number"][:TOP]],
            "ties": {
                "test": None if self.ties is None else self.ties.method,
                "correction": "holm",
                "trials": self.tied,
            },
            "optimism": None if found is None else {
                "apparent": _number(found.apparent),
                "honest": _number(found.honest),
                "low": _number(found.low),
                "high": _number(found.high),
                "flatters": _number(found.flatters),
                "method": "bootstrap of the choice, judged out of the bag (Tsamardinos et al. 2018)",
                "best_again": _number(found.again),
                "replicates": found.replicates,
            },
            "by_value": [
                {name: _number(value) if isinstance(value, float) else value for name, value in row.items()}
                for row in self.by_value().to_dict("records")
            ],
            "sources": [
                {name: _number(value) if isinstance(value, float) else value for name, value in asdict(one).items()}
                for one in self.sources
            ],
            "importance": {"method": IMPORTANCE, "shares": dict(self.importance)},
        }  # fmt: skip

    def _trial(self, number: int) -> dict[str, Any]:
        row = self.row(number)
        kept = {name: _number(row[name]) for name in ("objective", "low", "high", "p_holm")}
        return {
            "number": number, "key": row["key"], "params": self.params(number), **kept, "ties": bool(row["ties"]),
            "stage": row["stage"], "epoch": int(row["epoch"]),
        }  # fmt: skip


def write_ends(results: Sequence[TrialResult], space: Space, folder: Path) -> None:
    """``trials.parquet`` and ``trials.csv`` before :func:`analyse`: what it finds out is missing in them.

    The analysis of very many trials may run out of memory or time; how they ended is then on record.
    """
    _write(_frame(results, space), folder)


def _write(frame: pd.DataFrame, folder: Path) -> None:
    with atomic_path(folder / "trials.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    with atomic_path(folder / "trials.csv") as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def analyse(
    results: Sequence[TrialResult], *, space: Space, objective: str, validation: Validation, seed: int
) -> Findings:
    """Rank the trials and say what the ranking can bear.

    Args:
        results: By number.
        space: That they are of.
        objective: What they are ranked by.
        validation: The pictures that judged them.
        seed: Of the bootstrap and the random forest.
    """
    maximise = is_better_high(objective)
    frame = _frame(results, space)
    done = [result for result in results if result.state == "complete"]
    values = np.array([result.objective for result in done], float)
    ties = optimism = None
    best = None
    sources: list[PairedSources] = []
    weights = replicate_weights(validation, len(done), seed=seed)
    if done:
        probabilities = np.stack([np.asarray(result.probabilities) for result in done])
        inside = objective_values(objective, validation, probabilities, weights)
        outside = objective_values(objective, validation, probabilities, (weights == 0).astype(np.int16))
        ties = ties_with_best(objective, validation, probabilities, values, inside, maximise=maximise)
        optimism = picking_optimism(values, inside, outside, maximise=maximise)
        best = done[ties.best].number
        sources = compare_sources([result.params for result in done], values, inside)
        at = frame["number"].isin([result.number for result in done])
        bounds = [percentile_interval(row)[:2] for row in inside]
        ranks = pd.Series(-values if maximise else values).rank(method="first").astype(int).to_numpy()
        columns: dict[str, Any] = {
            "low": [low for low, _ in bounds],
            "high": [high for _, high in bounds],
            "rank": ranks,
            "p": ties.p,
            "p_holm": ties.adjusted,
            "ties": ties.tied,
            **all_scores(validation, probabilities),
        }
        for name, column in columns.items():
            frame.loc[at, name] = column
    order = np.argsort(-values if maximise else values, kind="stable")[:_CURVES]
    return Findings(
        frame=frame,
        values={result.number: result.params for result in results},
        axes=tuple(axis.name for axis in space.axes),
        objective=objective,
        maximise=maximise,
        best=best,
        ties=ties,
        optimism=optimism,
        importance=_importance(done, space, maximise, seed),
        sources=sources,
        histories={done[at].number: pd.DataFrame(list(done[at].rows)) for at in order},
        stopped={
            result.number: pd.DataFrame(list(result.rows))
            for result in results
            if result.state == "pruned" and result.rows
        },
        pictures=len(validation.labels),
        groups=validation.group_count,
        replicates=len(weights),
    )


def _frame(results: Sequence[TrialResult], space: Space) -> pd.DataFrame:
    undefined = [math.nan] * len(results)
    columns: dict[str, Any] = {
        "number": [result.number for result in results],
        "key": [params_key(result.params) for result in results],
        "state": [result.state for result in results],
    }
    columns |= {
        axis.name: _column([result.params.get(axis.name) for result in results],
                           [axis.name in result.params for result in results])
        for axis in space.axes
    }  # fmt: skip
    columns |= {
        "objective": pd.array([result.objective for result in results], "float64"),
        "low": undefined,
        "high": undefined,
        "rank": pd.array([None] * len(results), "Int64"),
        "p": undefined,
        "p_holm": undefined,
        "ties": pd.array([None] * len(results), "boolean"),
        "val_loss": undefined,
        "val_accuracy": undefined,
        "val_balanced_accuracy": undefined,
        "val_macro_f1": undefined,
        "val_macro_auroc": undefined,
        "stage": pd.array([result.stage for result in results], "str"),
        "epoch": pd.array([result.epoch for result in results], "Int64"),
        "seconds": [round(result.seconds, 3) for result in results],
        "reason": pd.array([result.reason for result in results], "str"),
    }
    return pd.DataFrame(columns)


def _column(values: Sequence[Value], there: Sequence[bool]) -> Any:
    """One type a column: numbers, truth values, or text; what is not there is missing, and null is ``null``."""
    given = [value for value, is_there in zip(values, there, strict=True) if is_there]
    if given and all(isinstance(value, bool) for value in given):
        return pd.array(list(values), "boolean")
    if given and all(isinstance(value, int) and not isinstance(value, bool) for value in given):
        return pd.array(list(values), "Int64")
    if given and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in given):
        return pd.array(list(values), "Float64")
    shown = [_text(value) if is_there else None for value, is_there in zip(values, there, strict=True)]
    return pd.array(shown, "str")


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def _importance(done: Sequence[TrialResult], space: Space, maximise: bool, seed: int) -> dict[str, float]:
    """Shares of the axes that exist in every trial and took more than one value; they sum to 1."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    axes = [axis for axis in space.axes if all(axis.name in result.params for result in done)]
    axes = [axis for axis in axes if len({str(result.params[axis.name]) for result in done}) > 1]
    values = {result.objective for result in done}
    if len(done) < _FEWEST_FOR_IMPORTANCE or len(values) < 2 or not axes:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize" if maximise else "minimize")
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={axis.name: result.params[axis.name] for axis in axes},
                    distributions={axis.name: distribution(axis) for axis in axes},
                    value=result.objective,
                )
                for result in done
            ]
        )
        found = get_param_importances(
            study,
            evaluator=FanovaImportanceEvaluator(seed=seed),
            params=[axis.name for axis in axes],
        )
    return {str(name): float(share) for name, share in found.items()}


def _missing(value: Any) -> bool:
    return bool(pd.isna(value))


def _number(value: Any) -> float | None:
    return None if _missing(value) else float(value)


def _order(value: Value) -> tuple[int, float, str]:
    """Null, truth values, numbers, text."""
    if value is None or isinstance(value, str):
        return (0 if value is None else 3, 0.0, value or "")
    return (1 if isinstance(value, bool) else 2, float(value), "")
