"""Runs and predictions tables of any program compared: read, named, compared, written."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulmoscope.errors import RunError, TableError
from pulmoscope.evaluation import Predictions, read_predictions
from pulmoscope.evaluation.compare import METRICS, compare_predictions
from pulmoscope.evaluation.comparison import Comparison
from pulmoscope.files import exclusive, write_json, write_text
from pulmoscope.workflow.results_folder import refuse_other_content

_RESULT = "compare.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Contender:
    """One model that is compared.

    Attributes:
        name: In tables and figures, unlike any other.
        table: Its predictions.
        origin: The file's folder and name.
        sha256: Of the file.
        leaked: Whether the run says that its split cuts patients.
    """

    name: str
    table: Predictions
    origin: str
    sha256: str
    leaked: bool


def compare(
    sources: Sequence[str | os.PathLike[str]],
    *,
    models: Sequence[str] = (),
    split: str | None = "test",
    metrics: Sequence[str] = METRICS,
    margin: float | None = None,
    replicates: int = 2000,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Compare runs and predictions tables on the same pictures.

    Args:
        sources: Folders of runs or of external evaluations, tables (CSV or Parquet), or ``NAME=PATH``. A table with a
            column ``model`` brings each of its models.
        models: Only these of tables that hold several; all by default.
        split: The rows to compare; None for all.
        metrics: The first decides the leaderboard.
        margin: Of non-inferiority, in (0, 1); None to leave it out.
        replicates: Of the bootstrap, at least 1.
        seed: Of the bootstrap.
        out: Folder for ``compare.json``, ``pairs.csv``, ``compare.html`` and ``figures/forest.png``; None for none.

    Raises:
        RunError: A folder holds no predictions, or ``out`` holds something else.
        TableError: A table cannot be read, or the tables do not fit together.
        PulmoscopeError: An option is out of range.
        StorageError: The results cannot be written.
    """
    return compare_contenders(
        read_contenders(sources, models), split=split, metrics=metrics, margin=margin, replicates=replicates,
        seed=seed, out=out,
    )  # fmt: skip


def compare_contenders(
    contenders: Sequence[Contender],
    *,
    split: str | None = "test",
    metrics: Sequence[str] = METRICS,
    margin: float | None = None,
    replicates: int = 2000,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Compare models that :func:`read_contenders` has read; all else is as for :func:`compare`."""
    if out is not None:
        refuse_other_content(Path(out), _RESULT, what="a comparison")
    found = compare_predictions(
        {one.name: one.table for one in contenders}, split=split, metrics=metrics, margin=margin,
        replicates=replicates, seed=seed,
    )  # fmt: skip
    if out is not None:
        with exclusive(Path(out)):
            _write(Path(out), found, contenders)
    return found


def read_contenders(sources: Sequence[str | os.PathLike[str]], models: Sequence[str] = ()) -> list[Contender]:
    """Read every model and give each its own name: the one given, the model's, or the shortest end of its path.

    Raises:
        RunError: A folder holds no predictions.
        TableError: A file cannot be read, a model is asked for that no table holds, or two models have one name.
    """
    given: list[tuple[str | None, str | None, Path, Predictions]] = []
    for source in sources:
        name, path = _named(source)
        table = read_predictions(_table_of(path), at_least=2)
        several = len(table.models) > 1
        for model in table.models if several else (None,):
            if model is None or not models or model in models:
                given.append((name, model, path, table if model is None else table.of_model(model)))
    known = {model for _, model, _, _ in given}
    missing = [model for model in models if model not in known]
    if missing:
        raise TableError(
            f"no table holds the model {', '.join(map(repr, missing))}",
            code="E_NO_SUCH_MODEL",
            remedy="name it as in the column 'model' of a table that holds several",
        )
    ends = _ends([path.resolve() for _, _, path, _ in given])
    plain = [model for _, model, _, _ in given]
    names = []
    for (name, model, _, _), end in zip(given, ends, strict=True):
        alone = plain.count(model) == 1
        if model is None:
            names.append(name or end)
        else:
            names.append(model if alone and name is None else f"{name or end}:{model}")
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise TableError(
            f"two models are called {twins[0]!r}",
            code="E_USAGE",
            expected="each model once, with its own name",
            remedy="name them, as in ours=runs/a theirs=table.csv",
        )
    return [
        Contender(
            name=name, table=table, origin="/".join(_table_of(path).resolve().parts[-2:]),
            sha256=hashlib.sha256(_table_of(path).read_bytes()).hexdigest(), leaked=_leaked(path),
        )
        for name, (_, _, path, table) in zip(names, given, strict=True)
    ]  # fmt: skip


def _named(source: str | os.PathLike[str]) -> tuple[str | None, Path]:
    """``NAME=PATH`` or a path; what exists as it stands is a path."""
    text = os.fspath(source)
    name, equals, path = text.partition("=")
    if Path(text).exists() or not equals or not name or not path:
        return None, Path(text)
    return name, Path(path)


def _table_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    table = path / "predictions.parquet"
    if not table.is_file():
        is_run = (path / "recipe.yaml").is_file()
        raise RunError(
            f"{path} holds no predictions" + (": the training has not ended" if is_run else ""),
            expected="a run's folder, or a table (CSV or Parquet)",
            remedy="train again with --resume" if is_run else "name the folder given to train --out",
        )
    return table


def _ends(paths: Sequence[Path]) -> list[str]:
    """The shortest end of each path that no other path shares; a table's without its suffix."""
    found = []
    for path in paths:
        parts = (*path.parts[:-1], path.name if path.is_dir() else path.stem)
        others = [
            (*one.parts[:-1], one.name if one.is_dir() else one.stem) for one in set(paths) if one != path
        ]
        length = next(
            (n for n in range(1, len(parts) + 1) if all(one[-n:] != parts[-n:] for one in others)), len(parts)
        )
        found.append("/".join(parts[-length:]))
    return found


def _leaked(path: Path) -> bool:
    """Whether a run's metrics say that its split was let through although it cuts groups."""
    metrics = path / "metrics.json"
    if not path.is_dir() or not metrics.is_file():
        return False
    try:
        content: Any = json.loads(metrics.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{metrics} is torn: {error}", remedy="copy the run again") from error
    return isinstance(content, dict) and bool(content.get("leaked_split"))


def leak_warnings(contenders: Sequence[Contender]) -> list[str]:
    """A line for each model whose split leaks."""
    return [
        f"LEAKED SPLIT in {one.name}: patients or copies stand on both sides; its numbers are too good to be true."
        for one in contenders
        if one.leaked
    ]


def _write(folder: Path, found: Comparison, contenders: Sequence[Contender]) -> None:
    import pulmoscope
    from pulmoscope.report.compare_page import ComparePage, write_compare_page

    facts = [(one.name, f"{one.origin}, SHA-256 {one.sha256}") for one in contenders]
    facts += [
        ("Bootstrap", f"{found.replicates:,} replicates over groups, seed {found.seed}"),
        ("Pulmoscope", pulmoscope.__version__),
    ]
    leaked = leak_warnings(contenders)
    page = ComparePage(leaked=leaked, facts=facts)
    write_compare_page(folder / "compare.html", found, page)
    write_text(folder / "pairs.csv", _csv(found))
    # Last: where it stands, the rest does too.
    tables = [
        {"model": one.name, "table": one.origin, "sha256": one.sha256, "leaked_split": one.leaked}
        for one in contenders
    ]
    write_json(folder / _RESULT, found.as_dict() | {"tables": tables})


def _csv(found: Comparison) -> str:
    """A row a pair and metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ["first", "second", "difference", "low", "high", "p", "holm_p", "test", "told_apart"]
    writer.writerow(
        ["first_model", "second_model", "metric", *columns, "only_first", "only_second", "mcnemar_p"]
    )
    for pair in found.pairs:
        counts = pair.mcnemar
        for metric, one in pair.differences.items():
            values = one.as_dict()
            writer.writerow(
                [pair.first, pair.second, metric, *(values[column] for column in columns), counts.only_first,
                 counts.only_second, counts.exact_p]
            )  # fmt: skip
    return text.getvalue()
