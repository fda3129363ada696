"""Runs and predictions tables made into one ensemble, judged against its members and written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulmoscope.errors import RunError, TableError
from pulmoscope.evaluation.calibration_summary import CalibrationSummary, calibration_summary
from pulmoscope.evaluation.combine import EnsembleMethod
from pulmoscope.evaluation.compare_words import show_value
from pulmoscope.evaluation.ensemble import Ensemble, build_ensemble
from pulmoscope.evaluation.ensemble_tests import ENSEMBLE, AgainstMember, against_members
from pulmoscope.evaluation.metrics import evaluate
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.result import Evaluation
from pulmoscope.evaluation.text_table import aligned
from pulmoscope.files import exclusive, write_json
from pulmoscope.workflow.compare_run import Contender, leak_warnings, read_contenders
from pulmoscope.workflow.results_folder import refuse_other_content

RESULT = "ensemble.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class EnsembleReport:
    """An ensemble and how it does. Printed, it is a readable table.

    Attributes:
        ensemble: Its table and how it is made.
        judged: Name to the metrics of each member, then of the ensemble, on the judged part.
        calibrated: Name to log loss, expected calibration error and Brier score there.
        tests: The ensemble against each member.
        contenders: Where the members came from.
    """

    ensemble: Ensemble
    judged: dict[str, Evaluation]
    calibrated: dict[str, CalibrationSummary]
    tests: tuple[AgainstMember, ...]
    contenders: tuple[Contender, ...]

    def as_dict(self) -> dict[str, Any]:
        """The content of ``ensemble.json``."""
        return {
            "use": "Research use only. Not a medical device.",
            **self.ensemble.as_dict(),
            "sources": [
                {"member": one.name, "table": one.origin, "sha256": one.sha256, "leaked_split": one.leaked}
                for one in self.contenders
            ],
            "judged": {
                name: one.as_dict() | {"calibration": self.calibrated[name].as_dict()}
                for name, one in self.judged.items()
            },
            "against_members": [one.as_dict() for one in self.tests],
        }

    def __str__(self) -> str:
        """Members and ensemble side by side, then the tests."""
        made, first = self.ensemble, next(iter(self.judged.values()))
        how = made.combination.as_dict()
        part = f"split {made.judged_on}" if made.judged_on else "all rows"
        rows = [["", "accuracy", "macro AUROC", "log loss", "ECE"]]
        for name, one in self.judged.items():
            beside = self.calibrated[name]
            several = (one.accuracy, one.macro_auroc, beside.log_loss, beside.ece_width)
            rows.append([name, *(show_value(each.value, each.low, each.high) for each in several)])
        lines = [
            f"{how['method']} of {len(made.members)} members, {part}: {first.n} pictures, {first.groups} groups; in "
            "brackets 95% intervals",
            "",
            *aligned(rows),
        ]  # fmt: skip
        if how["method"] == "weighted":
            told = ", ".join(
                f"{name} {weight:.3f}" for name, weight in zip(made.members, how["weights"], strict=True)
            )
            lines += ["", f"weights, fitted on {made.fitted_on}: {told}"]
        lines += ["", *(line for one in self.tests for line in one.sentences())]
        warned = leak_warnings(self.contenders)
        notes = [f"note: {note}" for note in made.notes]
        return "\n".join([*lines, *([""] if warned or notes else []), *warned, *notes])


def ensemble(
    sources: Sequence[str | os.PathLike[str]],
    *,
    method: EnsembleMethod | str = "mean",
    fitted_on: str = "val",
    judged_on: str = "test",
    replicates: int = 2000,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
) -> EnsembleReport:
    """Combine runs or tables of the same pictures, and test the ensemble against each member.

    Args:
        sources: Folders of runs or of external evaluations, tables (CSV or Parquet), or ``NAME=PATH``.
        method: ``"mean"``, ``"weighted"`` or ``"stacked"``; the last two are fitted on ``fitted_on``.
        fitted_on: The split of the weights.
        judged_on: The split that judges.
        replicates: Of the bootstrap of log loss, ECE and differences.
        seed: Of the bootstrap.
        out: Folder for ``predictions.parquet`` and ``ensemble.json``; None for none.

    Raises:
        RunError: Folds of one cross-validation, a folder without predictions, or ``out`` holds something else.
        TableError: The tables do not fit together.
        PulmoscopeError: No such method.
        StorageError: The results cannot be written.
    """
    contenders = tuple(read_contenders(sources))
    _refuse_folds(sources)
    if ENSEMBLE in {one.name for one in contenders}:
        raise TableError(
            f"a member is called {ENSEMBLE!r}", code="E_USAGE", remedy="name it otherwise, as in other=PATH"
        )
    if out is not None:
        refuse_other_content(Path(out), RESULT, what="an ensemble")
    made = build_ensemble(
        {one.name: one.table for one in contenders}, method=method, fitted_on=fitted_on, judged_on=judged_on
    )
    tables: dict[str, Predictions] = {**made.members, ENSEMBLE: made.judged}
    # With the default number of replicates, so that a table has one interval in every command.
    judged = {name: evaluate(table, split=None, seed=seed) for name, table in tables.items()}
    report = EnsembleReport(
        ensemble=made,
        judged=judged,
        calibrated={name: _calibrated(table, replicates, seed) for name, table in tables.items()},
        tests=against_members(made, replicates=replicates, seed=seed),
        contenders=contenders,
    )
    if out is not None:
        with exclusive(Path(out)):
            made.predictions.write(Path(out) / "predictions.parquet")
            # Last: where it stands, the table does too.
            write_json(Path(out) / RESULT, report.as_dict())
    return report


def _calibrated(table: Predictions, replicates: int, seed: int) -> CalibrationSummary:
    found = calibration_summary(table, replicates=replicates, seed=seed)
    if found is None:
        raise ValueError("members of an ensemble have probabilities")
    return found


def _refuse_folds(sources: Sequence[str | os.PathLike[str]]) -> None:
    """Folds judge pictures that the other folds were trained on, so they can never be averaged there."""
    folders = [Path(os.fspath(one).rpartition("=")[2]).resolve() for one in sources]
    parents = [one.parent for one in folders if one.parent.name == "folds" and one.name.startswith("fold-")]
    if len(parents) > len(set(parents)):
        raise RunError(
            f"these are folds of one cross-validation, {parents[0].parent.name}: each judges pictures that the others "
            "were trained on",
            code="E_FOLDS",
            expected="models that were all trained without the pictures they judge",
            remedy="judge each fold on another cohort (evaluate --cohort) and name those results",
        )
