"""Maps where the truth is known: on the phantom, do they find the lesion, and do they betray a planted marker?

Three networks are trained by phantom_cnn.yaml on synthetic films, each tested on the films of other patients:

- One of many films plays the pointing game against the known lesions: of each class of film, with random weights
  instead, in the last map and in a finer one, and with the maps stretched over the picture as tiles, as is usual. It
  learns from one lot of films, and then for a few epochs from a second of as many; each lot has its own test part.
- Two of fewer films are a pair: one learns from the films as they are, the other with a disc burnt into the lower
  corner of most covid films and few others. How much of the covid films' maps lies in the lungs and on the marker?

A map says where this network found its evidence; only here do we know what it ought to have found.

Usage: phantom_maps.py --work FOLDER [--films 6000] [--pair-films 1500] [--method grad-cam] [--threads 1]. What is
in the folder already is used again. Writes benchmarks/results/phantom_maps.json and the folder's pictures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jobs import about
from numpy.typing import NDArray

from pulmoscope.cohort import Cohort, draw_phantom_cohort
from pulmoscope.explanation import METHODS, Explainer
from pulmoscope.explanation.group_mean import mean_over_groups
from pulmoscope.explanation.localisation import (
    area_share,
    pointing,
    pointing_by_chance,
    share_inside,
    top_iou,
)
from pulmoscope.explanation.sanity import levels, randomised
from pulmoscope.report.overlay import Panel, as_bytes, draw_row
from pulmoscope.workflow import Run, train
from pulmoscope.workflow.scorecard_pictures import Sample, marked_pictures

HERE = Path(__file__).parent
DRAWS = 5
RECIPE = HERE / "phantom_cnn.yaml"
PAIR_SEED, SEED, SECOND_SEED = 0, 1, 2
EPOCHS, SECOND_EPOCHS, SECOND_RATE = 20, 6, 0.002
LAYERS = {"last map": None, "finer map": "backbone.blocks.2"}
# Where burn_shortcut puts its disc, and room for a coarse map's peak beside it.
MARKER, MARKER_REACH = (0.06, 0.93), 0.12


def films(folder: Path, *, count: int, seed: int, marked: bool) -> Path:
    """Synthetic films as the demo draws them; their table."""
    shortcut = "corner-marker" if marked else None
    return draw_phantom_cohort(folder, n=count, seed=seed, shortcut=shortcut) / "table.csv"


def trained(
    folder: Path,
    table: Path,
    *,
    seed: int,
    epochs: int | None = None,
    source: str = "phantom",
    changes: tuple[str, ...] = (),
) -> Run:
    """A network, trained unless it is there."""
    if (folder / "metrics.json").is_file():
        return Run(folder)
    # Synthetic films look alike as no patients do, so near copies are not sought.
    cohort = Cohort.from_sources({source: table}, seed=seed, near_copies=False)
    ends = [] if epochs is None else [f"train.finetune.{name}={epochs}" for name in ("epochs", "patience")]
    return train(RECIPE, cohort, out=folder, seed=seed, overrides=[*ends, *changes], resume=folder.is_dir())


def on_lesions(explainer: Explainer, sample: Sample) -> dict[str, Any]:
    """The pointing game and its like, each film's true class explained."""
    maps = explainer.maps(sample.stored, sample.labels)
    values, marks = maps.values, sample.marks
    right = maps.probabilities.argmax(axis=1) == sample.labels
    hits = pointing(values, marks)
    return {
        "pointing": mean_over_groups(hits, sample.groups).as_dict(),
        "pointing_by_class": {
            name: mean_over_groups(
                hits[sample.labels == index], sample.groups[sample.labels == index]
            ).as_dict()
            for index, name in enumerate(explainer.bundle.classes)
            if not np.isnan(hits[sample.labels == index]).all()
        },
        "pointing_of_right_answers": mean_over_groups(np.where(right, hits, np.nan), sample.groups).as_dict(),
        "by_chance": mean_over_groups(pointing_by_chance(values, marks), sample.groups).as_dict(),
        "pointing_as_tiles": mean_over_groups(
            pointing(as_tiles(explainer, maps.raw), marks), sample.groups
        ).as_dict(),
        "share_inside": mean_over_groups(share_inside(values, marks), sample.groups).as_dict(),
        "iou": mean_over_groups(top_iou(values, marks), sample.groups).as_dict(),
    }


def as_tiles(explainer: Explainer, raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same maps where every cell is taken for a tile of the picture."""
    side = explainer.bundle.preprocess.size
    scaled = METHODS[explainer.method].scaled(torch.from_numpy(raw), side)
    return np.asarray(scaled.numpy(), np.float32)


def random_weights(explainer: Explainer, sample: Sample) -> dict[str, Any]:
    """The pointing game of networks whose weights are all random, the mean over some draws."""
    every = levels(explainer.network)[-1].paths
    hits = []
    for draw in range(DRAWS):
        with randomised(explainer.network, every, seed=draw):
            hits.append(pointing(explainer.maps(sample.stored, sample.labels).values, sample.marks))
    table = np.stack(hits)
    defined = (~np.isnan(table)).sum(axis=0)
    mean = np.where(defined > 0, np.nansum(table, axis=0) / np.maximum(defined, 1), np.nan)
    return {
        "draws": DRAWS,
        "pointing": mean_over_groups(mean, sample.groups).as_dict(),
        "empty_maps": float(np.isnan(table).mean()),
    }


def marker_place(side: int) -> NDArray[np.bool_]:
    """Round where the disc is, or would be."""
    y, x = np.mgrid[:side, :side] / side
    return np.asarray((x - MARKER[0]) ** 2 + (y - MARKER[1]) ** 2 <= MARKER_REACH**2)


def on_covid(explainer: Explainer, sample: Sample) -> dict[str, Any]:
    """How much of the covid films' maps for covid lies in the lungs, and where the marker is or would be."""
    chosen = np.flatnonzero(sample.labels == explainer.bundle.classes.index("covid"))
    values = explainer.maps(sample.stored[chosen], sample.labels[chosen]).values
    groups, lungs = sample.groups[chosen], sample.marks[chosen]
    place = np.repeat(marker_place(values.shape[1])[None], len(values), axis=0)
    return {
        "in_lungs": mean_over_groups(share_inside(values, lungs), groups).as_dict(),
        "lungs_area": mean_over_groups(area_share(values, lungs), groups).as_dict(),
        "at_the_marker": mean_over_groups(share_inside(values, place), groups).as_dict(),
        "marker_area": mean_over_groups(area_share(values, place), groups).as_dict(),
        "points_at_the_marker": mean_over_groups(pointing(values, place, 0), groups).as_dict(),
    }


def draw(explainers: dict[str, Explainer], samples: dict[str, Sample], lesions: Sample, target: Path) -> None:
    """Covid films without and with the marker, each with its network's map; the line goes round the lesion."""
    known = dict(zip(lesions.image_ids, lesions.marks, strict=True))
    plain, marked = samples["plain"], samples["marked"]
    covid = explainers["plain"].bundle.classes.index("covid")
    both = [one for one, label in zip(plain.image_ids, plain.labels, strict=True) if label == covid]
    rows = []
    for name in [one for one in both if one in set(marked.image_ids) and one in known][:4]:
        for which, sample in samples.items():
            at = list(sample.image_ids).index(name)
            stored = sample.stored[at : at + 1]
            values = explainers[which].maps(stored, np.array([covid])).values[0]
            panels = [
                Panel(title="film" if which == "plain" else "film with the marker"),
                Panel(title="map, half of maximum", values=values),
                Panel(title="map, known lesion", values=values, marked=known[name]),
            ]
            rows.append(np.asarray(draw_row(stored[0].astype(np.float32) / 255, panels, height=240)))
    if rows:
        from PIL import Image

        pairs = [np.hstack(rows[i : i + 2]) for i in range(0, len(rows), 2)]
        target.write_bytes(as_bytes(Image.fromarray(np.vstack(pairs))))


def main() -> None:
    """Train what is missing, judge the maps, write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--films", type=int, default=6000)
    parser.add_argument("--pair-films", type=int, default=1500)
    parser.add_argument("--method", default="grad-cam")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    first = films(given.work / "lesions" / "phantom", count=given.films, seed=SEED, marked=False)
    begun = trained(given.work / "lesions" / "run", first, seed=SEED, epochs=EPOCHS)
    second = films(given.work / "more" / "phantom", count=given.films, seed=SECOND_SEED, marked=False)
    learned = given.work / "lesions" / "run" / "model" / "weights.safetensors"
    pointed = trained(
        given.work / "more" / "run", second, seed=SECOND_SEED, epochs=SECOND_EPOCHS, source="more",
        changes=(f"model.weights=file:{learned}", f"train.finetune.learning_rate={SECOND_RATE}"),
    )  # fmt: skip
    runs = {}
    for which in ("plain", "marked"):
        place, count = given.work / which, given.pair_films
        drawn = films(place / "phantom", count=count, seed=PAIR_SEED, marked=which == "marked")
        runs[which] = trained(place / "run", drawn, seed=PAIR_SEED)
    explainers = {
        which: Explainer(run.model, method=given.method, layer=LAYERS["finer map"], device="cpu")
        for which, run in runs.items()
    }

    def sample(run: Run, masks: Path | None) -> Sample:
        found = marked_pictures(run, run.predict("test"), run.model.preprocess, given.films, masks=masks)
        assert found is not None
        return found

    after_one = sample(begun, first.parent / "lesions")
    lesions = sample(pointed, second.parent / "lesions")
    lungs = {which: sample(run, None) for which, run in runs.items()}
    results = {
        "films": {"each lot": given.films, "pair": given.pair_films},
        "method": given.method,
        "layers": {name: layer or "the last before the pooling" for name, layer in LAYERS.items()},
        "accuracy": {
            which: run.metrics["test"]["accuracy"]
            for which, run in ({"first lot": begun, "second lot": pointed} | runs).items()
        },
        "lesions_after_the_first_lot": on_lesions(
            Explainer(begun.model, method=given.method, device="cpu"), after_one
        ),
        "lesions": {
            name: {"trained": on_lesions(one, lesions), "random": random_weights(one, lesions)}
            for name, layer in LAYERS.items()
            for one in [Explainer(pointed.model, method=given.method, layer=layer, device="cpu")]
        },
        "covid_films": {which: on_covid(explainers[which], lungs[which]) for which in runs},
    }
    about(HERE / "results" / "phantom_maps.json", "phantom_maps.py", results)
    known = sample(runs["plain"], given.work / "plain" / "phantom" / "lesions")
    draw(explainers, lungs, known, given.work / "phantom_maps.png")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
