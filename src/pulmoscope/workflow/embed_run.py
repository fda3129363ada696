"""Where a run's network puts the pictures of one part, and whether it knows where they came from."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pulmoscope.errors import PulmoscopeError, RunError
from pulmoscope.evaluation import Comparison, Estimate, Predictions, compare_predictions
from pulmoscope.evaluation.subgroup_words import show_estimate
from pulmoscope.explanation.embedding import METHODS, embed, grouped_guess, penultimate
from pulmoscope.files import atomic_path, exclusive, write_json
from pulmoscope.workflow.parts import Parts, decode_all
from pulmoscope.workflow.results_folder import refuse_other_content
from pulmoscope.workflow.run import Run

RESULT = "embedding.json"
_BATCH = 64
_CLASS, _FEATURES = "true class alone", "the model's features"


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceGuess:
    """How well the source of a picture is guessed.

    Attributes:
        sources: Pictures of each.
        commonest: Share of the commonest: the accuracy of always naming it.
        comparison: A guess from the true class alone, and one from the features.
    """

    sources: Mapping[str, int]
    commonest: float
    comparison: Comparison

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        pair = self.comparison.pair(_CLASS, _FEATURES)
        return {
            "sources": dict(self.sources),
            "commonest": self.commonest,
            "guesses": {
                name: {
                    "accuracy": found.accuracy.as_dict(), "balanced_accuracy": found.balanced_accuracy.as_dict()
                }
                for name, found in self.comparison.models.items()
            },
            "features_minus_class": {name: one.as_dict() for name, one in pair.differences.items()},
            "pictures": self.comparison.pictures,
            "groups": self.comparison.groups,
        }  # fmt: skip

    def __str__(self) -> str:
        """What was found, and what it means."""
        class_alone, features = (self.comparison.models[name] for name in (_CLASS, _FEATURES))
        gap = self.comparison.pair(_CLASS, _FEATURES).differences["balanced_accuracy"]
        lines = ["does the model know the source? accuracy, balanced accuracy of guessing it"]
        lines += [
            f"  {name:<22}{show_estimate(one.accuracy)}  {show_estimate(one.balanced_accuracy)}"
            for name, one in ((_FEATURES, features), (_CLASS, class_alone))
        ]
        lines.append(f"  {'blind guess':<22}{self.commonest:.3f}                {1 / len(self.sources):.3f}")
        bounds = "" if math.isnan(gap.low) else f" ({gap.low:+.3f} to {gap.high:+.3f})"
        lines.append(f"  features less class, balanced: {gap.difference:+.3f}{bounds}")
        if gap.low > 0:
            said = "the features tell sources apart beyond what the class tells: the model can use the source"
        elif _at_least(class_alone.balanced_accuracy) > 1 / len(self.sources):
            said = (
                "the class itself gives much of the source away here, so this data cannot tell the two apart"
            )
        else:
            said = "the features were not shown to tell sources apart; that is no proof that they do not"
        return "\n".join([*lines, f"  {said}"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """Points of one part of a run.

    Attributes:
        name: Of the run.
        split: The part.
        frame_ids: Image of each point.
        features: F, how many the network gives.
        points: Method to its points (N, 2).
        notes: Method to a line on its axes.
        guess: Of the source; None where that cannot be asked.
        no_guess: Why not.
        folder: Where everything was written.
    """

    name: str
    split: str
    frame_ids: Sequence[str]
    features: int
    points: Mapping[str, NDArray[np.float64]]
    notes: Mapping[str, str]
    guess: SourceGuess | None
    no_guess: str = ""
    wrong: int = 0
    folder: Path = field(kw_only=True)

    def as_dict(self) -> dict[str, Any]:
        """The content of ``embedding.json``; the points are in ``embedding.csv``."""
        return {
            "use": "Research use only. Not a medical device.",
            "run": self.name,
            "split": self.split,
            "pictures": len(self.frame_ids),
            "wrong": self.wrong,
            "features": self.features,
            "methods": [{"name": name, "note": self.notes[name]} for name in self.points],
            "source_guess": None if self.guess is None else self.guess.as_dict(),
            "no_source_guess": self.no_guess or None,
        }

    def __str__(self) -> str:
        """A few lines for the command line."""
        lines = [
            f"model       {self.name}",
            f"pictures    {len(self.frame_ids)} of the {self.split} part, {self.wrong} of them wrong",
            f"features    {self.features}",
        ]
        lines += [f"drawn       {note}" for note in self.notes.values()]
        lines += ["", str(self.guess) if self.guess is not None else f"source not guessed: {self.no_guess}"]
        return "\n".join([*lines, "", f"written: {self.folder}"])


def embed_run(
    place: str | os.PathLike[str],
    *,
    methods: Sequence[str] = ("pca", "tsne", "umap"),
    split: str = "test",
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Embedding:
    """Write ``embedding.png``, ``embedding.csv``, ``embedding.json`` and, of several sources, ``source.png``.

    Args:
        place: A run's folder, with the pictures of the part still readable.
        methods: Of :data:`~pulmoscope.explanation.embedding.METHODS`.
        split: Part of the run: ``test`` or ``val``.
        out: Folder; by default ``embedding`` in the run's. It may hold an earlier one, nothing else.
        seed: Of t-SNE, UMAP and the folds.

    Raises:
        PulmoscopeError: No such method, or too few pictures.
        RunError: The run has no such part.
    """
    run = Run(place)
    chosen = list(dict.fromkeys(methods))
    unknown = [one for one in chosen if one not in METHODS]
    if unknown or not chosen:
        raise PulmoscopeError(
            f"there is no embedding {', '.join(unknown)}" if unknown else "no embedding was named",
            code="E_OPTION",
            expected=", ".join(METHODS),
        )
    folder = run.folder / "embedding" if out is None else Path(out)
    refuse_other_content(folder, RESULT, what=f"an earlier {RESULT}")
    table = run.predict(split)
    bundle = run.model
    parts = decode_all(run.cohort, bundle.preprocess, progress=False)
    frame = parts.cohort.frame.set_index("image_id", drop=False)
    ids = [one for one in table.frame["image_id"].astype(str) if one in frame.index]
    if not ids:
        raise RunError(f"none of the {split} pictures of {run.folder} can be read")
    judged = table.frame.assign(wrong=table.predicted != table.labels).set_index("image_id").loc[ids]
    rows = frame.loc[ids]
    features = penultimate(bundle.network(), _batches(parts, bundle.preprocess.to_input, ids))
    points, notes = {}, {}
    for method in chosen:
        points[method], notes[method] = embed(features, method, seed=seed)
    guess, no_guess = None, ""
    sources = rows["source"].to_numpy(np.str_)
    try:
        guess = _guess(
            features,
            sources,
            rows["label"].to_numpy(np.str_),
            judged["group_id"].to_numpy(np.str_),
            ids,
            seed,
        )
    except PulmoscopeError as error:
        if error.code != "E_GUESS":
            raise
        no_guess = f"{error.what}: {error.expected}, got {error.got}"
    wrong = judged["wrong"].to_numpy(bool)
    found = Embedding(
        name=run.folder.resolve().name, split=split, frame_ids=ids, features=features.shape[1], points=points,
        notes=notes, guess=guess, no_guess=no_guess, wrong=int(wrong.sum()), folder=folder,
    )  # fmt: skip
    with exclusive(folder):
        (folder / RESULT).unlink(missing_ok=True)
        (folder / "source.png").unlink(missing_ok=True)
        _draw(found, rows["label"].tolist(), sources.tolist(), wrong)
        written = rows[["image_id", "label", "source"]].assign(wrong=wrong)
        for method, values in points.items():
            written[f"{method}_1"], written[f"{method}_2"] = values[:, 0], values[:, 1]
        with atomic_path(folder / "embedding.csv") as temporary:
            written.to_csv(temporary, index=False, encoding="utf-8", lineterminator="\n")
        write_json(folder / RESULT, found.as_dict())
    return found


def _batches(parts: Parts, to_input: Any, ids: Sequence[str]) -> Iterator[torch.Tensor]:
    rows = parts.store.rows(ids)
    for start in range(0, len(rows), _BATCH):
        yield to_input(torch.from_numpy(np.asarray(parts.store.pixels[rows[start : start + _BATCH]])))


def _guess(
    features: NDArray[np.float32],
    sources: NDArray[np.str_],
    labels: NDArray[np.str_],
    groups: NDArray[np.str_],
    ids: Sequence[str],
    seed: int,
) -> SourceGuess:
    one_hot = (labels[:, None] == np.unique(labels)[None, :]).astype(np.float64)
    tables = {}
    for name, seen in ((_CLASS, one_hot), (_FEATURES, features)):
        probabilities, known = grouped_guess(seen, sources, groups, seed=seed)
        tables[name] = Predictions.from_arrays(
            image_id=ids,
            probabilities=probabilities,
            classes=known,
            label=sources.tolist(),
            group_id=groups.tolist(),
        )
    names, counts = np.unique(sources, return_counts=True)
    return SourceGuess(
        sources={str(name): int(count) for name, count in zip(names, counts, strict=True)},
        commonest=float(counts.max() / counts.sum()),
        comparison=compare_predictions(tables, split=None, metrics=("accuracy", "balanced_accuracy")),
    )


def _draw(found: Embedding, labels: Sequence[str], sources: Sequence[str], wrong: NDArray[np.bool_]) -> None:
    from pulmoscope.report.figures.embedding import Embedded, draw_embedding
    from pulmoscope.report.figures.source_guess import Guess, draw_source_guess
    from pulmoscope.report.style import save_png

    rows = [
        Embedded(method=name, note=found.notes[name], points=points) for name, points in found.points.items()
    ]
    figure = draw_embedding(rows, classes=labels, sources=sources, wrong=wrong)
    save_png(figure, found.folder / "embedding.png")
    if found.guess is None:
        return
    models = found.guess.comparison.models
    guesses = [
        Guess(label=f"from {name}", accuracy=models[name].accuracy, balanced=models[name].balanced_accuracy)
        for name in (_FEATURES, _CLASS)
    ]
    caption = (
        f"{found.guess.comparison.pictures} {found.split} pictures of {found.guess.comparison.groups} groups; logistic "
        "regression, cross-validated by group; bars are 95% intervals.\nWhere the class alone gives the source away, "
        "features that know the class must do so too: only what lies above it is knowledge of the source."
    )
    figure = draw_source_guess(
        guesses, commonest=found.guess.commonest, sources=len(found.guess.sources), caption=caption
    )
    save_png(figure, found.folder / "source.png")


def _at_least(one: Estimate) -> float:
    """Its lower bound; the value where no replicate differs from it, as with a guess that is always right."""
    return one.value if math.isnan(one.low) else one.low
