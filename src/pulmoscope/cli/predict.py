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

from pulmoscope.cli.options import SOME_LEFT_OUT, EngineName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pulmoscope.evaluation import OperatingPoint
    from pulmoscope.inference import Prediction, Unread
    from pulmoscope.models import Bundle

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
    at: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Also the classes that are called at a stored operating point: 'sensitivity>=0.95', "
            "'specificity>=0.95' or youden.",
        ),
    ] = None,
    prevalence: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS=SHARE,...",
            help="Carry the probabilities of a calibrated model over to these shares of the classes.",
        ),
    ] = None,
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
        _predict_files(model, files, as_json, csv_file, at, prevalence)
        return
    if files or as_json or csv_file is not None or at is not None or prevalence is not None:
        raise RunError("--manifest excludes files, --json, --csv, --at and --prevalence", code="E_USAGE")
    if out is None:
        raise RunError("--manifest needs --out", code="E_USAGE", expected="--out DIR for the Parquet shards")
    _warn(_load(model))
    _predict_manifest(
        _model_folder(model), manifest, out, engine=engine, address=address, workers=workers, shard=shard
    )


def _predict_files(
    model: Path,
    files: list[Path],
    as_json: bool,
    csv_file: Path | None,
    at: str | None,
    prevalence: str | None,
) -> None:
    from pulmoscope.errors import RunError
    from pulmoscope.files import make_folder
    from pulmoscope.inference import Predictor, Unread, find_pictures
    from pulmoscope.inference.calls import prevalence_shift, stored_points

    if as_json and csv_file is not None:
        raise RunError("--json and --csv exclude each other", code="E_USAGE")
    if at is not None and prevalence is not None:
        raise RunError(
            "--at and --prevalence exclude each other",
            code="E_USAGE",
            remedy="the thresholds hold for probabilities that are not carried over",
        )
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
    points = () if at is None else stored_points(bundle, at)
    shift = None if prevalence is None else prevalence_shift(bundle, _shares(prevalence))
    answers = Predictor(bundle, prevalence=shift).predict_files(itertools.chain([first], pictures))
    if csv_file is not None:
        unread = _write_csv(csv_file, answers, bundle.classes, points)
    else:
        if not as_json:
            asked = f"  called at {points[0].rule.code}" if points else ""
            print(f"{'label':<14}{'probability':>11}  path{asked}")
        unread = 0
        for answer in answers:
            if isinstance(answer, Unread):
                unread += 1
            print(_object(answer, points) if as_json else _line(answer, points), flush=as_json)
        if not as_json and (points or shift is not None):
            print("Research use only.")
    if unread:
        print(f"{unread} files could not be read", file=sys.stderr)
        raise typer.Exit(SOME_LEFT_OUT)


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
        raise typer.Exit(SOME_LEFT_OUT)


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


def _shares(text: str) -> dict[str, float]:
    from pulmoscope.errors import PulmoscopeError

    try:
        pairs = [part.rsplit("=", 1) for part in text.split(",")]
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        raise PulmoscopeError(
            f"{text!r} states no prevalence",
            code="E_USAGE",
            expected="CLASS=SHARE,CLASS=SHARE, as in covid=0.1",
        ) from None


def _object(answer: Prediction | Unread, points: Sequence[OperatingPoint]) -> str:
    from pulmoscope.inference import Unread
    from pulmoscope.inference.calls import called

    content = answer.as_dict()
    if points and not isinstance(answer, Unread):
        content["called"] = {"at": points[0].rule.code, "classes": called(points, answer.probabilities)}
    return json.dumps(content, ensure_ascii=True)


def _line(answer: Prediction | Unread, points: Sequence[OperatingPoint]) -> str:
    from pulmoscope.inference import Unread
    from pulmoscope.inference.calls import called

    if isinstance(answer, Unread):
        return f"{'-':<14}{'-':>11}  {answer.path}: {answer.error}"
    line = f"{answer.label:<14}{answer.probabilities[answer.label]:>11.3f}  {answer.path}"
    if not points:
        return line
    said = called(points, answer.probabilities)
    names = [name for name, value in said.items() if value]
    unknown = [f"{name} undefined" for name, value in said.items() if value is None]
    return f"{line}  {', '.join([*names, *unknown]) or 'none'}"


def _write_csv(
    path: Path,
    answers: Iterable[Prediction | Unread],
    classes: tuple[str, ...],
    points: Sequence[OperatingPoint],
) -> int:
    from pulmoscope.files import write_text
    from pulmoscope.inference import Unread
    from pulmoscope.inference.calls import called

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"called_{point.positive}" for point in points]
    writer.writerow(["path", "label", *(f"p_{name}" for name in classes), *names, "error"])
    unread = 0
    for answer in answers:
        if isinstance(answer, Unread):
            unread += 1
            writer.writerow([answer.path, "", *("" for _ in (*classes, *points)), answer.error])
        else:
            row = [f"{answer.probabilities[name]:.6f}" for name in classes]
            said = called(points, answer.probabilities).values()
            calls = ["" if value is None else int(value) for value in said]
            writer.writerow([answer.path, answer.label, *row, *calls, ""])
    write_text(path, text.getvalue())
    print(f"written: {path}")
    return unread
