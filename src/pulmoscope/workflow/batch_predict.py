"""Any number of files scored into Parquet shards: streamed, resumed by the shards that are there, on any engine.

A shard is a fixed range of the manifest's rows, so the forward passes are of the same pictures whoever makes them, and
its answers do not depend on the engine, on the order, or on where an earlier command stopped.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pulmoscope.errors import BundleError, RunError, StorageError, TableError
from pulmoscope.files import atomic_path, exclusive, storage_errors, write_json
from pulmoscope.inference import Prediction, Predictor, Unread
from pulmoscope.models import load_bundle
from pulmoscope.models.bundle import MODEL_FILE
from pulmoscope.models.state_files import file_sha256
from pulmoscope.progress import track
from pulmoscope.search.engine import Engine
from pulmoscope.workflow.batch_manifest import Manifest

FORMAT = 1
RECORD = "manifest.json"
SHARD_ROWS = 2048
_READ, _UNREADABLE = "read", "unreadable"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A range of rows to answer: all that a worker is told.

    Attributes:
        model: The bundle's folder, absolute.
        model_sha256: Of its ``model.json``, which holds the weights' own.
        manifest: Absolute.
        out: Absolute.
        number: Which shard, from 0.
        start: First row.
        stop: The row after the last.
    """

    model: Path
    model_sha256: str
    manifest: Path
    out: Path
    number: int
    start: int
    stop: int

    @property
    def path(self) -> Path:
        """The file that holds its answers, whole or not at all."""
        return self.out / f"part-{self.number:05}.parquet"

    def is_done(self) -> bool:
        """Whether its file is there and has all its rows."""
        try:
            return bool(pq.read_metadata(self.path).num_rows == self.stop - self.start)
        except (OSError, pa.ArrowException):
            return False


@dataclass(frozen=True, kw_only=True)
class BatchSummary:
    """What came of all the manifest's rows.

    Attributes:
        read: Files with an answer.
        unreadable: Files without, by the reason's code.
        answered_now: Rows of this command; the others were there already.
        seconds: That this command took, the workers' start included.
    """

    read: int
    unreadable: dict[str, int]
    answered_now: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Rows a second; NaN where all were there already."""
        return self.answered_now / self.seconds if self.answered_now else float("nan")


def predict_manifest(
    model: Path, manifest: Path, out: Path, *, engine: Engine, shard: int = SHARD_ROWS, progress: bool = False
) -> BatchSummary:
    """Answer every file of a manifest into ``out/part-00000.parquet`` and so on.

    A row is the manifest's own with ``prediction`` and ``p_CLASS`` (null where the file could not be read), ``status``
    (read or unreadable) and ``reason``. Called again after any end, it makes the shards that are missing.

    Args:
        model: A bundle's folder.
        manifest: A Parquet table with a column ``path``; see :class:`Manifest`.
        out: Folder of the shards, which every worker can write.
        engine: Where shards are made.
        shard: Rows a shard. A forward pass never joins pictures of two shards.
        progress: Whether to show a bar on standard error.

    Raises:
        BundleError: The model is missing or torn.
        TableError: The manifest cannot be used.
        RunError: ``out`` holds answers to another manifest, of another model or with other shards (E_OTHER_BATCH), or a
            shard could not be made.
        StorageError: ``out`` cannot be written.
    """
    if shard < 1:
        raise RunError("a shard holds no rows", code="E_USAGE", expected="--shard 1 or more", got=str(shard))
    start = time.perf_counter()
    table = Manifest(manifest)
    _check_names(table, load_bundle(model).classes)
    with exclusive(out):
        record = {
            "format": FORMAT,
            "manifest_sha256": file_sha256(table.path),
            "model_sha256": model_sha256(model),
            "rows": len(table),
            "shard": shard,
        }
        _check_record(out, record)
        shards = [
            Shard(
                model=model.absolute(),
                model_sha256=str(record["model_sha256"]),
                manifest=table.path,
                out=out.absolute(),
                number=number,
                start=first,
                stop=min(first + shard, len(table)),
            )
            for number, first in enumerate(range(0, len(table), shard))
        ]
        missing = [one for one in shards if not one.is_done()]
        try:
            _make(engine, missing, progress)
        finally:
            # What a worker that died had begun; nobody writes here any more.
            for orphan in out.glob(".part-*.tmp*"):
                orphan.unlink(missing_ok=True)
        return _summarise(shards, sum(one.stop - one.start for one in missing), time.perf_counter() - start)


def predict_shard(shard: Shard) -> int:
    """Answer one shard and write its file; the number of its rows. Runs in a worker."""
    predictor = _predictor(shard.model, shard.model_sha256)
    manifest = Manifest(shard.manifest)
    rows = manifest.rows(shard.start, shard.stop)
    places = (manifest.place(path) for path in rows["path"].to_pylist())
    answers = list(predictor.predict_files(places, workers=max(2, torch.get_num_threads())))
    with storage_errors(shard.path), atomic_path(shard.path) as temporary:
        pq.write_table(_answered(rows, answers, predictor.classes), temporary)
    return len(rows)


def model_sha256(model: Path) -> str:
    """A bundle's fingerprint: the SHA-256 of its ``model.json``, which names its weights by theirs."""
    return hashlib.sha256((model / MODEL_FILE).read_bytes()).hexdigest()


@functools.lru_cache(maxsize=1)
def _predictor(model: Path, fingerprint: str) -> Predictor:
    """The model, kept from shard to shard."""
    bundle = load_bundle(model)
    if model_sha256(model) != fingerprint:
        raise BundleError(
            f"{model} is not the model that the command was given",
            expected=f"sha256 {fingerprint[:12]}",
            got=model_sha256(model)[:12],
            remedy="put the model where every node sees the same files",
        )
    return Predictor(bundle)


def _answered(rows: pa.Table, answers: list[Prediction | Unread], classes: tuple[str, ...]) -> pa.Table:
    read = [answer if isinstance(answer, Prediction) else None for answer in answers]
    columns: dict[str, pa.Array] = {
        "prediction": pa.array([one and one.label for one in read], pa.string()),
        **{
            f"p_{name}": pa.array([one and one.probabilities[name] for one in read], pa.float64())
            for name in classes
        },
        "status": pa.array([_READ if one else _UNREADABLE for one in read], pa.string()),
        "reason": pa.array(
            [answer.error if isinstance(answer, Unread) else None for answer in answers], pa.string()
        ),
    }
    for name, column in columns.items():
        rows = rows.append_column(name, column)
    return rows


def _check_names(table: Manifest, classes: tuple[str, ...]) -> None:
    ours = {"prediction", "status", "reason", *(f"p_{name}" for name in classes)}
    taken = sorted(ours.intersection(table.columns))
    if taken:
        raise TableError(
            f"{table.path} has columns that the answers need: {', '.join(taken)}",
            remedy="rename or drop them",
        )


def _check_record(out: Path, record: dict[str, Any]) -> None:
    """Write what the shards answer, or compare it with what is there."""
    path = out / RECORD
    if not path.is_file():
        if any(out.glob("part-*.parquet")):
            raise RunError(
                f"{out} holds shards but no {RECORD}", code="E_OTHER_BATCH", remedy="choose another --out"
            )
        write_json(path, record)
        return
    try:
        before = dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path} is torn", code="E_OTHER_BATCH", remedy="choose another --out") from error
    other = [name for name, value in record.items() if before.get(name) != value]
    if other:
        raise RunError(
            f"{out} holds the answers of another command: its {', '.join(other)} differ",
            code="E_OTHER_BATCH",
            expected=", ".join(f"{name} {str(before.get(name))[:12]}" for name in other),
            got=", ".join(f"{name} {str(record[name])[:12]}" for name in other),
            remedy="choose another --out",
        )


def _make(engine: Engine, missing: list[Shard], progress: bool) -> None:
    died = []
    with contextlib.closing(engine.run(predict_shard, missing)) as outcomes:
        for outcome in track(outcomes, "predicting", enabled=progress, total=len(missing)):
            if outcome.error is None:
                continue
            code, _, what = outcome.error.partition(": ")
            if code == StorageError.default_code:
                raise StorageError(what)
            if code != "E_WORKER":
                # The same would be wrong with every other shard.
                raise RunError(f"{outcome.item.path.name} cannot be made: {outcome.error}", code="E_SHARD")
            died.append(outcome)
    if died:
        first = died[0].item
        raise RunError(
            f"{len(died)} of {len(missing)} shards could not be made; the others are kept",
            code="E_SHARD",
            got=f"{first.path.name}, rows {first.start} to {first.stop - 1} of the manifest: {died[0].error}",
            remedy="give fewer workers more memory and run the same command again",
        )


def _summarise(shards: list[Shard], answered_now: int, seconds: float) -> BatchSummary:
    status: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for shard in shards:
        answers = pq.read_table(shard.path, columns=["status", "reason"])
        status.update(answers["status"].to_pylist())
        reasons.update(text.partition(":")[0] for text in answers["reason"].to_pylist() if text)
    return BatchSummary(
        read=status[_READ],
        unreadable=dict(sorted(reasons.items())),
        answered_now=answered_now,
        seconds=seconds,
    )
