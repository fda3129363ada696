"""A run's outcome for the terminal."""

from __future__ import annotations

from pulmoscope.cohort import Cohort
from pulmoscope.workflow.run import Run

LEAKED = "LEAKED SPLIT: patients or copies stand on both sides; these numbers are too good to be true."


def is_leaked(cohort: Cohort) -> bool:
    """Whether the cohort's split was let through although it cuts groups."""
    return bool(cohort.info.get("split", {}).get("leaked", False))


def describe_run(run: Run) -> str:
    """The test metrics with their intervals, the warnings that belong to them, and where the report is."""
    lines = [LEAKED] if is_leaked(run.cohort) else []
    part = "test" if "test" in run.metrics else "val"
    if part == "val":
        lines.append("There is no test part: these are validation numbers, on which choices were made.")
    lines += [str(run.evaluate(part)), f"report: {run.folder / 'report.html'}", "Research use only."]
    return "\n".join(lines)
