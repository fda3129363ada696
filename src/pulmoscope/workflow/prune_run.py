"""Prune a run's network: the curve on validation, a share chosen by it, and one look at the test part."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pulmoscope.errors import PulmoscopeError, RunError
from pulmoscope.evaluation import Comparison, Predictions, compare_predictions, evaluate
from pulmoscope.explanation.pruning import Pruned, prune, recentred
from pulmoscope.explanation.pruning_curve import PrunePoint, choose, pictures_a_second
from pulmoscope.files import exclusive, write_json
from pulmoscope.inference import Predictor
from pulmoscope.models import Bundle
from pulmoscope.models.state_files import file_sha256
from pulmoscope.progress import track
from pulmoscope.workflow.parts import Parts, decode_all
from pulmoscope.workflow.prune_retrain import retrain_recipe, retrained
from pulmoscope.workflow.results_folder import refuse_other_content
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.settle import settle_or_say, with_calibration
from pulmoscope.workflow.training_run import predictions_table, write_predictions

DEFAULT_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RESULT = "pruning.json"
_WRITTEN = (
    RESULT, "predictions.parquet", "predictions_raw.parquet", "model/model.json", "model/weights.safetensors",
)  # fmt: skip
_MEASURED_ON, _BATCH, _TIMED = 1024, 64, 32


@dataclass(frozen=True, kw_only=True, eq=False)
class PruneResult:
    """A curve and what came of it.

    Attributes:
        name: Of the run.
        points: By rising share.
        chosen: One of them.
        measured_on: Training pictures on which batch normalisation and the first dense layer's bias were set right; 0
            where channels were only masked or none was removed.
        retrained: Epochs that every pruned network was then trained for; the whole one was not.
        test: The whole model and the pruned one on the test part; None where the whole one was chosen or the run has
            no test part.
        folder: Where everything was written.
    """

    name: str
    points: Sequence[PrunePoint]
    chosen: PrunePoint
    measured_on: int
    retrained: int
    test: Comparison | None
    folder: Path

    def as_dict(self) -> dict[str, Any]:
        """The content of ``pruning.json``."""
        return {
            "use": "Research use only. Not a medical device.",
            "run": self.name,
            "method": "channels of the smallest L1 norm of each layer (Li et al. 2017)",
            "kind": self.points[0].kind,
            "means_measured_on": self.measured_on,
            "retrained_epochs": self.retrained,
            "points": [one.as_dict() for one in self.points],
            "chosen": self.chosen.share,
            "test": None if self.test is None else self.test.as_dict(),
        }

    def __str__(self) -> str:
        """The curve as text."""
        whole = self.points[0]
        lines = [
            f"model       {self.name}",
            "pruned      channels of the smallest norm of every layer, "
            + ("taken out" if whole.kind == "smaller" else "only set to zero (masks): nothing gets smaller"),
        ]
        if self.measured_on:
            lines.append(
                f"            means set right on {self.measured_on} training pictures; "
                + (f"then trained for {_epochs(self.retrained)}" if self.retrained else "no weight trained")
            )
        lines += ["", "share  parameters  pictures/s  validation accuracy"]
        for one in self.points:
            rate = one.accuracy
            mark = "   <- chosen" if one is self.chosen else ""
            speed = "-" if math.isnan(one.pictures_a_second) else f"{one.pictures_a_second:,.0f}"
            lines.append(
                f"{100 * one.share:>4g}%  {one.parameters:>10,}  {speed:>10}  "
                f"{rate.value:.3f} ({rate.low:.3f}-{rate.high:.3f}){mark}"
            )
        lines += [
            "",
            "chosen: the largest share whose validation accuracy is not below the whole network's interval; chosen",
            "among several on the same pictures, it flatters. Speeds are of this machine, all networks taking turns.",
        ]
        if self.test is not None:
            pair = self.test.pair("whole", "pruned")
            gap = pair.differences["accuracy"]
            first, second = (self.test.models[name].accuracy for name in ("whole", "pruned"))
            lines.append(
                f"test, read once: accuracy {first.value:.3f} ({first.low:.3f}-{first.high:.3f}) whole, "
                f"{second.value:.3f} ({second.low:.3f}-{second.high:.3f}) pruned;"
            )
            lines.append(
                f"  difference {gap.difference:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}), {self.test.pictures} pictures"
            )
            lines.append(f"  {verdict_of_test(gap.low, gap.high)}")
        elif self.chosen.share == 0:
            lines.append(
                "no pruned network kept its accuracy: the test part was not read, and no model was written"
            )
        return "\n".join([*lines, f"written: {self.folder}"])


def prune_run(
    place: str | os.PathLike[str],
    *,
    shares: Sequence[float] = DEFAULT_SHARES,
    retrain: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> PruneResult:
    """Measure a run's network at several shares of channels, choose one on validation, save it and judge it on test.

    ``pruning.json``, ``pruning.png`` and, where a share over 0 was chosen, ``model/`` and ``predictions.parquet`` are
    written. The pruned model gets a calibration of its own, of the run's kind, fitted on validation. An interrupted
    retraining goes on where it was when the same command is given again.

    Args:
        place: A run's folder, with its pictures still readable.
        shares: In [0, 1); 0 is added where it is not among them.
        retrain: Epochs for which each pruned network learns again, on the training part; 0 trains nothing.
        out: Folder; by default ``pruned`` in the run's. It may hold an earlier pruning, nothing else.
        progress: Whether to show a bar on standard error.

    Raises:
        PulmoscopeError: A share is out of range, or a file cannot be read or written.
        RunError: The run has no validation part.
    """
    run = Run(place)
    if retrain < 0:
        raise PulmoscopeError(
            "retraining takes epochs", code="E_OPTION", expected="0 or more", got=str(retrain)
        )
    wanted = sorted({0.0, *shares})
    if wanted[0] < 0 or wanted[-1] >= 1:
        raise PulmoscopeError(
            "a share is out of range", code="E_OPTION", expected="in [0, 1), as in 0,0.25,0.5",
            got=", ".join(f"{one:g}" for one in shares),
        )  # fmt: skip
    if not (run.cohort.frame["split"] == "val").any():
        raise RunError(
            f"{run.folder} has no validation part to choose on", remedy="train with a validation part"
        )
    folder = run.folder / "pruned" if out is None else Path(out)
    work = folder / _unfinished(run, retrain)
    refuse_other_content(folder, RESULT, work.name, what=f"an earlier {RESULT}")
    whole = replace(run.model, calibration=None, operating_points=())
    if retrain:
        # Refused before any picture is read.
        retrain_recipe(run.recipe, prune(whole, 0.0), retrain)
    parts = decode_all(run.cohort, whole.preprocess, progress=progress)
    with exclusive(folder):
        made, measured_on = _prune_all(run, whole, parts, wanted, retrain, work, progress)
        tables = [_predict(one.bundle, parts, run, "val") for one in made]
        # Masks make nothing faster: what a clock would show of them is its own noise.
        timed = [one.bundle for one in made if one.kind == "smaller" or not one.removed]
        clocked = iter(pictures_a_second(timed, _timed_pictures(parts), device=run.recipe.train.device))
        speeds = [next(clocked) if one.kind == "smaller" or not one.removed else float("nan") for one in made]
        points = [
            PrunePoint(
                share=share, kind=one.kind, removed=one.removed, channels=one.channels, parameters=one.parameters,
                accuracy=evaluate(table, split="val", replicates=1).accuracy, pictures_a_second=speed,
            )
            for share, one, table, speed in zip(wanted, made, tables, speeds, strict=True)
        ]  # fmt: skip
        chosen = choose(points)
        index = points.index(chosen)
        for name in _WRITTEN:
            # An earlier pruning may have chosen a network where this one chooses none.
            (folder / name).unlink(missing_ok=True)
        test = None
        if chosen.share > 0:
            bundle = _settled(run, made[index], chosen, measured_on, retrain, tables[index])
            bundle.save(folder / "model")
            test = _judge(run, bundle, parts, tables[index], folder)
        found = PruneResult(
            name=run.folder.resolve().name, points=points, chosen=chosen, measured_on=measured_on,
            retrained=retrain, test=test, folder=folder,
        )  # fmt: skip
        _draw(found)
        write_json(folder / RESULT, found.as_dict())
        if retrain:
            shutil.rmtree(work)  # only what a killed one would go on from
    return found


def _unfinished(run: Run, retrain: int) -> str:
    """Name of the folder that an interrupted retraining goes on from: of these weights, pictures and settings alone."""
    parts = (
        file_sha256(run.folder / "model" / "weights.safetensors"), run.cohort.fingerprint(), run.recipe.as_yaml(),
        str(retrain),
    )  # fmt: skip
    return f".retraining-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:16]}"


def _prune_all(
    run: Run, whole: Bundle, parts: Parts, shares: Sequence[float], retrain: int, work: Path, progress: bool
) -> tuple[list[Pruned], int]:
    """A network a share, and on how many pictures its means were set right."""
    made: list[Pruned] = []
    pictures = _some_training_pictures(parts)
    measured_on = 0
    for share in track(shares, "Pruning", enabled=progress):
        one = prune(whole, share)
        if one.removed and one.kind == "smaller":
            one = replace(one, bundle=recentred(one.bundle, whole, _batches(whole, parts, pictures)))
            measured_on = len(pictures)
        if one.removed and retrain:
            seed = int(run.environment["seed"])
            place = work / f"share-{share!r}"
            one = retrained(one, run.recipe, parts, place, epochs=retrain, seed=seed, progress=progress)
        made.append(one)
    return made, measured_on


def _epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number} epochs"


def verdict_of_test(low: float, high: float) -> str:
    """What the interval of the accuracy's difference on the test part, pruned less whole, says of the choice.

    >>> verdict_of_test(-0.14, -0.08)
    'the pruned network is worse on the test part: validation promised more than it kept'
    """
    if high < 0:
        return "the pruned network is worse on the test part: validation promised more than it kept"
    if low > 0:
        return "the pruned network is better on the test part"
    return "no difference was shown on the test part; the interval says how large one could be"


def _some_training_pictures(parts: Parts) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of the store, drawn from the training part by a fixed seed."""
    rows = parts.examples("train").rows
    if len(rows) <= _MEASURED_ON:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, _MEASURED_ON, replace=False))


def _batches(bundle: Bundle, parts: Parts, rows: np.ndarray[Any, np.dtype[np.int64]]) -> list[torch.Tensor]:
    starts = range(0, len(rows), _BATCH)
    stored = [np.asarray(parts.store.pixels[rows[start : start + _BATCH]]) for start in starts]
    # One picture alone has no spread.
    return [
        bundle.preprocess.to_input(torch.from_numpy(one)) for one in stored if len(one) > 1 or len(rows) == 1
    ]


def _timed_pictures(parts: Parts) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rows = parts.examples("val").rows
    return np.asarray(parts.store.pixels[np.resize(rows, _TIMED)])


def _predict(bundle: Bundle, parts: Parts, run: Run, split: str) -> Predictions:
    rows = parts.cohort.part(split).frame.reset_index(drop=True)
    options = run.recipe.train
    predictor = Predictor(bundle, device=options.device, precision=options.precision)
    return predictions_table(rows, predictor.predict_store(parts.store, rows["image_id"]), bundle.classes)


def _settled(
    run: Run, made: Pruned, point: PrunePoint, measured_on: int, retrain: int, validation: Predictions
) -> Bundle:
    """The chosen network with its own calibration and operating points, and where it comes from."""
    before = run.model
    notes = before.notes | {
        "pruned": {
            "share": point.share, "kind": point.kind, "channels_removed": point.removed, "channels": point.channels,
            "from_weights_sha256": file_sha256(run.folder / "model" / "weights.safetensors"),
            "means_measured_on": measured_on, "retrained_epochs": retrain,
        }
    }  # fmt: skip
    method = "none" if before.calibration is None else before.calibration.method
    return settle_or_say(replace(made.bundle, notes=notes), validation, method)


def _judge(
    run: Run, bundle: Bundle, parts: Parts, validation: Predictions, folder: Path
) -> Comparison | None:
    """Predictions of the pruned model, and its test part beside the whole model's."""
    import pandas as pd

    if "test" not in run.predictions.splits or not (parts.cohort.frame["split"] == "test").any():
        write_predictions(folder, validation, bundle)
        return None
    test = _predict(replace(bundle, calibration=None), parts, run, "test")
    raw = Predictions(pd.concat([validation.frame, test.frame], ignore_index=True), bundle.classes)
    write_predictions(folder, raw, bundle)
    tables = {"whole": run.predict("test"), "pruned": with_calibration(test, bundle.calibration)}
    return compare_predictions(tables, split="test", metrics=("accuracy",))


def _draw(found: PruneResult) -> None:
    from pulmoscope.report.figures.pruning_curve import draw_pruning_curve
    from pulmoscope.report.style import save_png

    save_png(draw_pruning_curve(found.points, found.chosen), found.folder / "pruning.png")
