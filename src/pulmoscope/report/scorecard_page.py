"""The scorecard's own page: verdicts, the maps as weights become random, figures and tables in one HTML file."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulmoscope.files import write_text
from pulmoscope.report.overlay import Panel, as_bytes, draw_row
from pulmoscope.report.page import PageFigure, template
from pulmoscope.report.scorecard_section import as_section

_STRIP_HEIGHT = 170


@dataclass(frozen=True, kw_only=True, eq=False)
class MapStrip:
    """One picture's map as the network is changed.

    Attributes:
        title: The method.
        picture: (S, S) in [0, 1].
        maps: What was changed, and the map (S, S) in [0, 1].
    """

    title: str
    picture: NDArray[np.float32]
    maps: Sequence[tuple[str, NDArray[np.float32]]]


def write_scorecard_page(
    path: str | os.PathLike[str], found: Mapping[str, Any], strips: Sequence[MapStrip]
) -> Path:
    """Write the page to ``path``, and its figures as PNG beside it, each whole or not at all.

    Args:
        path: An HTML file.
        found: The content of ``scorecard.json``.
        strips: One a method.

    Raises:
        StorageError: A file cannot be written.
    """
    target = Path(path)
    section = as_section(found)
    drawn = section.draw(target.parent / "figures")
    figures = [
        PageFigure(data=base64.b64encode(drawn[name].read_bytes()).decode("ascii"), caption=caption, alt=alt)
        for name, (caption, alt) in section.captions.items()
    ]
    facts = [("Model", found["model"]), ("Part", found["split"])]
    facts.append(("Pictures", ", ".join(f"{count} {name}" for name, count in found["pictures"].items())))
    facts.append(("Pictures with lung masks", str(found["facts"]["lung_masks"])))
    facts.append(("Pictures with known lesions", str(found["facts"]["lesion_masks"])))
    titles = {"other": "Another training", "shuffled": "Trained on shuffled labels"}
    facts += [(titles[key], str(found["facts"][key] or "not given")) for key in titles]
    facts += [(row["title"], f"layer {row['layer']}") for row in found["methods"]]
    page = template("scorecard.html.j2").render(
        title=found["model"], version=found["pulmoscope"], part=found["split"], groups=found["groups"],
        count=sum(found["pictures"].values()), rows=found["methods"], rules=found["rules"],
        strips=[(one.title, _strip(one)) for one in strips], figures=figures, tables=section.tables, facts=facts,
        unread=found["unread"],
    )  # fmt: skip
    write_text(target, page)
    return target


def _strip(one: MapStrip) -> str:
    """A JPEG, base64."""
    panels = [
        Panel(title="picture"),
        *(Panel(title=_short(name), values=values) for name, values in one.maps),
    ]
    drawn = draw_row(one.picture, panels, height=_STRIP_HEIGHT)
    return base64.b64encode(as_bytes(drawn, "JPEG")).decode("ascii")


def _short(name: str) -> str:
    return name.replace("head and ", "").removesuffix(" of layers").replace("all layers", "all")
