"""What a trial left, as files: one JSON and one of validation probabilities, each whole or not at all.

A trial has ended when its JSON is there. Heads that were trained together are first written as one file, so that either
all of them have ended or none has: a group that is trained again is then the same group.
"""

from __future__ import annotations

import io
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pulmoscope.files import write_bytes, write_json
from pulmoscope.search.samplers import params_key
from pulmoscope.search.space import Value

log = logging.getLogger("pulmoscope")
End = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialResult:
    """How a trial ended.

    Attributes:
        number: From 0.
        params: Axis -> value; axes that do not exist beside the others are left out.
        state: ``complete``, ``pruned`` or ``failed``.
        objective: On the validation part; None where the trial is not complete.
        stage: Which stage's weights were kept.
        epoch: The epoch that was kept; of a pruned trial the last one.
        seconds: It took; of heads trained together their share.
        reason: Why it failed, in one line.
        rows: A row an epoch, as ``history.csv`` has them.
        probabilities: Of the validation pictures in the order of the cohort, (M, C); None where it is not complete.
    """

    number: int
    params: Mapping[str, Value]
    state: End
    objective: float | None = None
    stage: str | None = None
    epoch: int | None = None
    seconds: float = 0.0
    reason: str | None = None
    rows: Sequence[Mapping[str, Any]] = ()
    probabilities: NDArray[np.float64] | None = None

    def as_dict(self) -> dict[str, Any]:
        """All but the probabilities; undefined is null."""
        return {
            "number": self.number,
            "key": params_key(self.params),
            "params": dict(self.params),
            "state": self.state,
            "objective": self.objective,
            "stage": self.stage,
            "epoch": self.epoch,
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
            "rows": [{name: _finite(value) for name, value in row.items()} for row in self.rows],
        }


def trial_path(folder: Path, number: int) -> Path:
    """The JSON of a trial; beside it lie ``NNNN.npz`` and, while it trains, a folder ``NNNN``."""
    return folder / "trials" / f"{number:04d}.json"


def write_trial(folder: Path, result: TrialResult) -> None:
    """Write both files, the JSON last."""
    path = trial_path(folder, result.number)
    if result.probabilities is not None:
        write_bytes(path.with_suffix(".npz"), _arrays({"probabilities": result.probabilities}))
    write_json(path, result.as_dict())


def read_trial(folder: Path, number: int) -> TrialResult | None:
    """A trial that has ended; None where it has not, or where its files are damaged: it then runs again."""
    path = trial_path(folder, number)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
        probabilities = None
        if content["state"] == "complete":
            with _load(path.with_suffix(".npz")) as arrays:
                probabilities = arrays["probabilities"]
        return _result(content, probabilities)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        log.warning("trial %d in %s is damaged (%s): running it again", number, folder, error)
        return None


def write_group(folder: Path, results: Sequence[TrialResult]) -> Path:
    """Write heads that were trained together, in one file; its path, for :func:`open_group`."""
    content = json.dumps([result.as_dict() for result in results], allow_nan=False)
    arrays: dict[str, NDArray[Any]] = {"results": np.frombuffer(content.encode(), np.uint8)}
    for result in results:
        if result.probabilities is not None:
            arrays[f"p{result.number}"] = result.probabilities
    path = _group_path(folder, results[0].number)
    write_bytes(path, _arrays(arrays))
    return path


def open_group(folder: Path, path: Path) -> list[TrialResult]:
    """Write the trials of a group's file that are not there whole yet, then remove it; the trials written."""
    written = []
    try:
        with _load(path) as arrays:
            for content in json.loads(arrays["results"].tobytes()):
                name = f"p{content['number']}"
                result = _result(content, arrays.get(name))
                if read_trial(folder, result.number) is None:
                    write_trial(folder, result)
                    written.append(result)
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, EOFError, BadZipFile) as error:
        log.warning("%s is damaged (%s): training its heads again", path, error)
    path.unlink(missing_ok=True)
    return written


def open_groups(folder: Path) -> list[TrialResult]:
    """Open what a sweep that was killed left; workers open only what they wrote, because others run beside them."""
    paths = sorted((folder / "trials").glob("group-*.npz"))
    return [result for path in paths for result in open_group(folder, path)]


def forget_failed(folder: Path, numbers: Iterable[int]) -> None:
    """Remove the failed ones of these trials, so that they run again: what stopped them may be there by now."""
    for number in numbers:
        found = read_trial(folder, number)
        if found is not None and found.state == "failed":
            trial_path(folder, number).unlink()


def _group_path(folder: Path, first: int) -> Path:
    return folder / "trials" / f"group-{first:04d}.npz"


def _arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _load(path: Path) -> Any:
    # From memory: NumPy leaves a torn file open.
    return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)


def _result(content: Mapping[str, Any], probabilities: NDArray[np.float64] | None) -> TrialResult:
    fields = {name: value for name, value in content.items() if name != "key"}
    rows = [{k: math.nan if v is None else v for k, v in row.items()} for row in fields.pop("rows")]
    return TrialResult(**fields, rows=rows, probabilities=probabilities)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
