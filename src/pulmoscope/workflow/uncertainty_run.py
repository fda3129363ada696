"""How sure a run or a table is, and whether that can be relied on: sets, abstention, and passes that disagree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pulmoscope.errors import PulmoscopeError, RunError
from pulmoscope.evaluation.conformal_table import ConformalReport, conformal_report
from pulmoscope.evaluation.disagreement import PARTS, Disagreement, judge_members
from pulmoscope.evaluation.predictions import Predictions
from pulmoscope.evaluation.selective import Aim
from pulmoscope.evaluation.selective_table import DEFAULT_AIMS, SelectiveReport, selective_report
from pulmoscope.evaluation.text_table import aligned
from pulmoscope.evaluation.uncertainty import entropy
from pulmoscope.files import atomic_path, exclusive, write_json
from pulmoscope.report.numbers import show_number, show_rate
from pulmoscope.report.tables import Table
from pulmoscope.report.uncertainty_section import (
    abstention_table,
    coverage_sentences,
    coverage_table,
    draw_uncertainty,
    selective_sentences,
    table_notes,
)
from pulmoscope.workflow.compare_run import Contender, leak_warnings, read_contenders
from pulmoscope.workflow.results_folder import refuse_other_content

if TYPE_CHECKING:
    import pandas as pd

    from pulmoscope.models import Bundle

RESULT = "uncertainty.json"
_TITLES = {"dropout": "passes with dropout", "views": "fixed views"}
_NAMES = {
    "total": "predictive entropy",
    "expected": "expected entropy",
    "mutual": "mutual information",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class UncertaintyReport:
    """What is known of a model's uncertainty. Printed, it is readable text.

    Attributes:
        contender: Where the table came from.
        judged: The rows that judge.
        sets: Conformal sets of both kinds.
        by_top: Abstention by the top probability.
        by_entropy: Abstention by the entropy of the probabilities.
        members: One a kind of member that was asked for.
    """

    contender: Contender
    judged: Predictions
    sets: ConformalReport
    by_top: SelectiveReport
    by_entropy: SelectiveReport
    members: tuple[Disagreement, ...]

    def as_dict(self) -> dict[str, Any]:
        """The content of ``uncertainty.json``."""
        one = self.contender
        return {
            "use": "Research use only. Not a medical device.",
            "model": one.name, "table": one.origin, "sha256": one.sha256, "leaked_split": one.leaked,
            "conformal": self.sets.as_dict(),
            "selective": {"top": self.by_top.as_dict(), "entropy": self.by_entropy.as_dict()},
            "members": [kind.as_dict() for kind in self.members],
        }  # fmt: skip

    def __str__(self) -> str:
        """Tables and sentences."""
        blocks = [
            _as_text(coverage_table(self.sets)), "\n".join(coverage_sentences(self.sets)),
            _as_text(abstention_table(self.by_top)), "\n".join(selective_sentences(self.by_top)),
        ]  # fmt: skip
        if self.members:
            blocks += [_as_text(members_table(self.members, self.by_top.mistakes))]
        blocks += ["\n".join([*leak_warnings([self.contender]), *table_notes(self.sets, self.by_top)])]
        return "\n\n".join(block for block in blocks if block)

    def pictures(self) -> pd.DataFrame:
        """A row a judged picture: its answer, both sets, and every measure of how unsure it is (entropies in nats)."""
        import pandas as pd

        probabilities = self.judged.probabilities
        if probabilities is None:
            raise ValueError("hard labels have no uncertainty")
        names = np.asarray(self.judged.classes, dtype=object)
        frame = pd.DataFrame(
            {
                "image_id": self.judged.frame["image_id"], "label": names[self.judged.labels],
                "predicted": names[self.judged.predicted], "top_probability": probabilities.max(axis=1),
                "entropy": entropy(probabilities),
            }
        )  # fmt: skip
        for kind, found in self.sets.kinds.items():
            column = "set_" + kind.replace("-", "_")
            frame[column] = ["|".join(names[row]) for row in found.rule.sets(probabilities)]
        for one in self.members:
            for part in PARTS:
                frame[f"{one.kind}_{part}"] = getattr(one.parts, part)
        return frame


def uncertainty(
    source: str | os.PathLike[str],
    *,
    dropout_samples: int = 0,
    views: int = 0,
    level: float = 0.9,
    aims: Sequence[tuple[Aim, float]] = DEFAULT_AIMS,
    chosen_on: str = "val",
    judged_on: str = "test",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> UncertaintyReport:
    """Fit sets and thresholds on validation, judge them on test, and hold disagreement against mistakes.

    Args:
        source: A run's folder, or a table (CSV or Parquet) with both splits.
        dropout_samples: Passes a picture with dropout; 0 for none. For a run only.
        views: Fixed views a picture; 0 for none. For a run only.
        level: Wanted coverage of the conformal sets, in (0, 1).
        aims: Of abstention: a share to answer, or a share of wrong among the answered.
        chosen_on: The split that sets and thresholds are fixed on.
        judged_on: The split that judges.
        seed: Of the dropout.
        out: Folder for ``uncertainty.json``, ``pictures.parquet`` and ``figures/``; None for none.
        progress: Draw progress bars while pictures are decoded.

    Raises:
        TableError: A split or the probabilities are missing.
        RunError: Passes are asked for of a table, the pictures are gone, or ``out`` holds something else.
        BundleError: The model has no dropout.
        PulmoscopeError: An option is out of range.
        StorageError: The results cannot be written.
    """
    if dropout_samples < 0 or views < 0:
        raise PulmoscopeError(
            "a number of passes is below 0", code="E_OPTION", expected="0 or more",
            got=f"{dropout_samples} passes with dropout, {views} views",
        )  # fmt: skip
    found = read_contenders([source])
    if len(found) > 1:
        raise PulmoscopeError(
            f"{found[0].origin} holds {len(found)} models", code="E_OPTION", expected="a table of one model"
        )
    contender = found[0]
    if out is not None:
        refuse_other_content(Path(out), RESULT, what="a look at uncertainty")
    table = contender.table
    sets = conformal_report(table, level=level, chosen_on=chosen_on, judged_on=judged_on)
    selective = [
        selective_report(table, aims=aims, confidence=kind, chosen_on=chosen_on, judged_on=judged_on)
        for kind in ("top", "entropy")
    ]
    judged = table.part(judged_on)
    members: list[Disagreement] = []
    if dropout_samples or views:
        bundle, pixels = _pictures(Path(source), judged, progress=progress)
        members = _members(bundle, pixels, judged, dropout_samples, views, seed)
    report = UncertaintyReport(
        contender=contender, judged=judged, sets=sets, by_top=selective[0], by_entropy=selective[1],
        members=tuple(members),
    )  # fmt: skip
    if out is not None:
        with exclusive(Path(out)):
            _write(Path(out), report)
    return report


def members_table(members: Sequence[Disagreement], mistakes: int) -> Table:
    """A row a measure of uncertainty: its mean over right and wrong answers, and the AUROC of telling them apart."""
    rows = [
        [
            f"{_NAMES[part]} of {one.members} {_TITLES[one.kind]}",
            show_number(one.mean_right[part]),
            show_number(one.mean_wrong[part]),
            show_rate(
                {"value": one.wrong[part].value, "low": one.wrong[part].low, "high": one.wrong[part].high}
            ),
        ]
        for one in members
        for part in PARTS
    ]
    return Table(
        caption=f"Does disagreement tell the {mistakes} wrong answers? Means in nats; AUROC with 95% interval, "
        "0.5 is chance",
        header=["Measure", "mean, right", "mean, wrong", "AUROC of being wrong"],
        rows=rows,
    )


def _members(
    bundle: Bundle,
    pixels: NDArray[np.uint8],
    judged: Predictions,
    dropout_samples: int,
    views: int,
    seed: int,
) -> list[Disagreement]:
    from pulmoscope.inference.mc_dropout import dropout_members
    from pulmoscope.inference.tta import view_members

    answers = {}
    if dropout_samples:
        answers["dropout"] = dropout_members(bundle, pixels, samples=dropout_samples, seed=seed)
    if views:
        answers["views"] = view_members(bundle, pixels, views=views)
    right = judged.predicted == judged.labels
    return [judge_members(one, judged.labels, right, kind=kind) for kind, one in answers.items()]


def _pictures(folder: Path, judged: Predictions, *, progress: bool) -> tuple[Bundle, NDArray[np.uint8]]:
    """The run's model and the pixels (N, S, S) of the judged rows, in their order."""
    from pulmoscope.workflow.parts import decode_all
    from pulmoscope.workflow.run import Run

    if not folder.is_dir():
        raise RunError(
            f"{folder} is a table: it has no model to ask again", expected="a run's folder",
            remedy="leave --dropout-samples and --views out",
        )  # fmt: skip
    run = Run(folder)
    model = run.model
    # The whole cohort, as in training: its pictures then lie decoded in the cache already.
    store = decode_all(run.cohort, model.preprocess, progress=progress).store
    wanted = judged.frame["image_id"].tolist()
    gone = [one for one in wanted if one in store.failures]
    if gone:
        raise RunError(
            f"{len(gone)} of {len(wanted)} pictures can no longer be read", got=str(store.failures[gone[0]]),
            remedy="bring the files back to where the cohort names them",
        )  # fmt: skip
    return model, np.asarray(store.pixels[store.rows(wanted)])


def _write(folder: Path, report: UncertaintyReport) -> None:
    draw_uncertainty(report.sets, report.by_top, folder / "figures")
    frame = report.pictures()
    with atomic_path(folder / "pictures.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    # Last: where it stands, the rest does too.
    write_json(folder / RESULT, report.as_dict())


def _as_text(table: Table) -> str:
    return "\n".join([table.caption, *aligned([table.header, *table.rows])])
