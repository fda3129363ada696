"""How much of a map lies inside the lungs, on the pictures of Cohen's collection whose lungs are known.

Every radiograph with a lung mask (the others of the 510 masked pictures are slices of CT) is explained by each run, for
the class that the run predicts, and the share of the map inside the lungs is set beside the share of the square that
the lungs fill, which is what a map without a preference would have. The same is done with the network's weights drawn
at random. A run that was trained on some of these pictures is judged on all of them all the same: what is asked is
where it looks, not whether it is right.

Usage: lung_share.py NAME=RUN [NAME=RUN ...] [--data FOLDER] [--method grad-cam] [--work FOLDER]. Writes
benchmarks/results/lung_share.json, and with --work lung_share.png there: pictures, maps and masks of the first run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jobs import DATA, about
from numpy.typing import NDArray
from PIL import Image

from pulmoscope.cohort import Cohort
from pulmoscope.explanation import Explainer
from pulmoscope.explanation.group_mean import mean_over_groups
from pulmoscope.explanation.localisation import area_share, share_inside
from pulmoscope.explanation.sanity import levels, randomised
from pulmoscope.imaging import Preprocess, decode
from pulmoscope.models import load_bundle
from pulmoscope.report.overlay import Panel, as_bytes, draw_row
from pulmoscope.workflow.scorecard_pictures import mask_in_square

HERE = Path(__file__).parent


class Masked(NamedTuple):
    """Pictures (N, S, S), their lungs (N, S, S) and groups (patients), (N,)."""

    stored: NDArray[np.uint8]
    lungs: NDArray[np.bool_]
    groups: NDArray[np.str_]


def main() -> None:
    """Explain, measure, draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--method", default="grad-cam")
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    frame = Cohort.from_sources(
        {"cohen": given.data / "cohen"}, labels="binary-covid", near_copies=False
    ).frame
    rows = frame[frame["mask_path"].notna()]
    found: dict[str, Any] = {}
    for one in given.runs:
        name, _, folder = one.partition("=")
        explainer = Explainer(load_bundle(Path(folder) / "model"), method=given.method)
        pictures = read(rows, explainer.bundle.preprocess)
        found[name] = judge(explainer, pictures)
        print(name, found[name]["trained"])
        if given.work is not None and len(found) == 1:
            given.work.mkdir(parents=True, exist_ok=True)
            draw(explainer, pictures, given.work / "lung_share.png")
    names = " ".join(f"{one.partition('=')[0]}=RUN" for one in given.runs)
    about(
        HERE / "results" / "lung_share.json",
        f"python benchmarks/lung_share.py {names}",
        {"method": given.method, "pictures": len(rows), "runs": found},
    )


def read(rows: Any, preprocess: Preprocess) -> Masked:
    """Pictures and masks as the network sees them."""
    stored, lungs = [], []
    for path, mask in zip(rows["path"], rows["mask_path"], strict=True):
        pixels = decode(path).pixels
        stored.append(preprocess.to_store(pixels))
        lungs.append(mask_in_square(mask, pixels.shape, preprocess))
    return Masked(np.stack(stored), np.stack(lungs), rows["group_id"].to_numpy(np.str_))


def judge(explainer: Explainer, pictures: Masked) -> dict[str, Any]:
    """Shares of the trained network and of random weights, beside the lungs' share of the square."""
    values = explainer.maps(pictures.stored).values
    lungs, inside = area_share(values, pictures.lungs), share_inside(values, pictures.lungs)
    with randomised(explainer.network, levels(explainer.network)[-1].paths, seed=0):
        blind = share_inside(explainer.maps(pictures.stored).values, pictures.lungs)
    shares = {
        "trained": inside,
        "random_weights": blind,
        "lungs_area": lungs,
        "trained_less_random": inside - blind,
    }
    found = {name: mean_over_groups(one, pictures.groups).as_dict() for name, one in shares.items()}
    return {
        "layer": explainer.layer,
        "masks_without_lungs": int((~pictures.lungs.any(axis=(1, 2))).sum()),
    } | found


def draw(explainer: Explainer, pictures: Masked, target: Path) -> None:
    """Some pictures, drawn by a seed, with their maps and the outline of their lungs."""
    rows = []
    for at in np.random.default_rng(0).choice(len(pictures.stored), 5, replace=False):
        values = explainer.maps(pictures.stored[at : at + 1]).values[0]
        panels = [
            Panel(title="radiograph"),
            Panel(title="map, half of maximum", values=values),
            Panel(title="map, known lungs", values=values, marked=pictures.lungs[at]),
        ]
        rows.append(np.asarray(draw_row(pictures.stored[at].astype(np.float32) / 255, panels, height=240)))
    target.write_bytes(as_bytes(Image.fromarray(np.vstack(rows))))


if __name__ == "__main__":
    main()
