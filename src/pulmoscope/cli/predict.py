"""``pulmoscope predict``."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulmoscope.cli.options import EngineName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pulmoscope.inference import Prediction, Unread
    from pulmoscope.models import Bundle

SOME_UNREAD = 3
_SHARD_ROWS = 2048


def predict(
    model: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder or its model/ folder.")
    ],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Pictures, DICOM files, or folders of them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write a CSV table instead.")] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Any number of files: a Parquet table with a column 'path'. Goes on where it stopped."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With --manifest: folder of the Parquet shards.")] = None,
    engine: Annotated[
        EngineName, typer.Option(help="With --manifest: processes here, or Ray.")
    ] = EngineName.LOCAL,
    address: Annotated[
        str | None, typer.Option(help="With --engine ray: a cluster's; otherwise Ray is started here.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="With --manifest: shards at once.")] = None,
    shard: Annotated[int, typer.Option(help="With --manifest: rows a shard.")] = _SHARD_ROWS,
) -> None:
    """Predict classes of radiographs. Exit status 3 when some files could not be read."""
    from pulmoscope.errors import RunError

    batch = {"--out": out, "--address": address, "--workers": workers, "--engine": engine, "--shard": shard}
    asked = [name for name, value in batch.items() if value not in {None, "local", _SHARD_ROWS}]
    if manifest is None:
        if not files:
            raise RunError(
                "nothing to predict", code="E_USAGE", expected="files, or --manifest FILE.parquet --out DIR"
            )
        if asked:
            raise RunError(f"{', '.join(asked)}: only with --manifest", code="E_USAGE")
        _predict_files(model, files, as_json, csv_file)
        return
    if files or as_json or csv_file is not None:
        raise RunError("--manifest excludes files, --json and --csv", code="E_USAGE")
    if out is None:
        raise RunError("--manifest needs --out", code="E_USAGE", expected="--out DIR for the Parquet shards")
    _warn(_load(model))
    _predict_manifest(
        _model_folder(model), manifest, out, engine=engine, address=address, workers=workers, shard=shard
    )


def _predict_files(model: Path, files: list[Path], as_json: bool, csv_file: Path | None) -> None:
    from pulmoscope.errors import RunError
    from pulmoscope.files import make_folder
    from pulmoscope.inference import Predictor, Unread, find_pictures

    if as_json and csv_file is not None:
        raise RunError("--json and --csv exclude each other", code="E_USAGE")
    if csv_file is not None:
        # Known before the work rather than after it.
        make_folder(csv_file.parent)
    bundle = _load(model)
    _warn(bundle)
    pictures = find_pictures(files)
    first = next(pictures, None)
    if first is None:
        raise RunError(
            f"there is no file in {', '.join(map(str, files))}",
            code="E_MISSING",
            expected="pictures, DICOM files, or folders of them",
        )
    answers = Predictor(bundle).predict_files(itertools.chain([first], pictures))
    if csv_file is not None:
        unread = _write_csv(csv_file, answers, bundle.classes)
    else:
        if not as_json:
            print(f"{'label':<14}{'probability':>11}  path")
        unread = 0
        for answer in answers:
            if isinstance(answer, Unread):
                unread += 1
            print(
                json.dumps(answer.as_dict(), ensure_ascii=True) if as_json else _line(answer), flush=as_json
            )
    if unread:
        print(f"{unread} files could not be read", file=sys.stderr)
        raise typer.Exit(SOME_UNREAD)


def _predict_manifest(
    model: Path,
    manifest: Path,
    out: Path,
    *,
    engine: EngineName,
    address: str | None,
    workers: int | None,
    shard: int,
) -> None:
    from pulmoscope.search.engine import open_engine
    from pulmoscope.workflow.batch_predict import predict_manifest

    with open_engine(engine.value, workers=workers, address=address) as opened:
        summary = predict_manifest(model, manifest, out, engine=opened, shard=shard, progress=True)
    print(f"read        {summary.read}")
    for code, count in summary.unreadable.items():
        print(f"unreadable  {count}  {code}")
    if summary.answered_now:
        print(
            f"answered    {summary.answered_now} now, {summary.per_second:.1f} a second, the start included"
        )
    else:
        print("answered    all were there already")
    print(f"written: {out}")
    if summary.unreadable:
        print(f"{sum(summary.unreadable.values())} files could not be read", file=sys.stderr)
        raise typer.Exit(SOME_UNREAD)


def _warn(bundle: Bundle) -> None:
    if bundle.notes.get("leaked_split"):
        print("this model was chosen and judged on a LEAKED SPLIT: its numbers are too good", file=sys.stderr)


def _load(place: Path) -> Bundle:
    from pulmoscope.models import load_bundle

    folder = _model_folder(place)
    # Only a folder that is neither a model nor a run with one needs the training code to say what it is.
    if (folder / "model.json").is_file():
        return load_bundle(folder)
    from pulmoscope.workflow import Run

    return Run(place).model


def _model_folder(place: Path) -> Path:
    return place if (place / "model.json").is_file() else place / "model"


def _line(answer: Prediction | Unread) -> str:
    from pulmoscope.inference import Unread

    if isinstance(answer, Unread):
        return f"{'-':<14}{'-':>11}  {answer.path}: {answer.error}"
    return f"{answer.label:<14}{answer.probabilities[answer.label]:>11.3f}  {answer.path}"


def _write_csv(path: Path, answers: Iterable[Prediction | Unread], classes: tuple[str, ...]) -> int:
    from pulmoscope.files import write_text
    from pulmoscope.inference import Unread

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", *(f"p_{name}" for name in classes), "error"])
    unread = 0
    for answer in answers:
        if isinstance(answer, Unread):
            unread += 1
            writer.writerow([answer.path, "", *("" for _ in classes), answer.error])
        else:
            row = [f"{answer.probabilities[name]:.6f}" for name in classes]
            writer.writerow([answer.path, answer.label, *row, ""])
    write_text(path, text.getvalue())
    print(f"written: {path}")
    return unread
