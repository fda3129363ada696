"""The folder of a command's results, and what may stand in it before."""

from __future__ import annotations

from pathlib import Path

from pulmoscope.errors import RunError


def refuse_run_or_cohort(folder: Path, *, own_cohort: bool = False) -> None:
    """What a command writes many files or folders into must not be a run or a cohort itself; anything else may stand.

    So runs of other seeds, cells or variants beside those to come do not clash: their own folders are checked where
    they are written.

    Args:
        folder: Where the results will go; it need not exist.
        own_cohort: Whether a cohort that lies there is an earlier result of the same command.

    Raises:
        RunError: The folder holds a run's ``recipe.yaml``, or a ``cohort.parquet`` that is not the command's own.
    """
    if (folder / "recipe.yaml").is_file() or ((folder / "cohort.parquet").is_file() and not own_cohort):
        raise RunError(
            f"{folder} holds a run or a cohort",
            code="E_RUN_EXISTS",
            remedy="choose another folder with --out",
        )


def refuse_other_content(folder: Path, *results: str, what: str) -> None:
    """Results may replace earlier ones of the same command, never anything else.

    Args:
        folder: Where the results will go; it need not exist.
        results: Files that show the folder's content to be this command's; one is enough.
        what: What such a folder holds, as in ``a comparison``.

    Raises:
        RunError: The folder holds files, and none of ``results`` is among them.
    """
    held = [one.name for one in folder.iterdir() if one.name != ".lock"] if folder.is_dir() else []
    if held and not set(results) & set(held):
        raise RunError(
            f"{folder} holds something else than {what}",
            code="E_RUN_EXISTS",
            got=", ".join(sorted(held)[:3]),
            remedy="choose another folder with --out",
        )
