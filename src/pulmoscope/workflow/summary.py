"""A run's outcome for the terminal."""

from __future__ import annotations

from pulmoscope.workflow.run import Run


def describe_run(run: Run) -> str:
    """The test metrics with their intervals, the warnings that belong to them, and where the report is."""
    lines = []
    split = run.cohort.info.get("split", {})
    if split.get("leaked"):
        lines.append(
            "LEAKED SPLIT: patients or copies stand on both sides; these numbers are too good to be true."
        )
    part = "test" if "test" in run.metrics else "val"
    if part == "val":
        lines.append("There is no test part: these are validation numbers, on which choices were made.")
    lines += [str(run.evaluate(part)), f"report: {run.folder / 'report.html'}", "Research use only."]
    return "\n".join(lines)
