"""An explanation as pictures and as a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

import pulmoscope
from pulmoscope.evaluation.result import show_level
from pulmoscope.explanation import Maps, method_named
from pulmoscope.report.gallery_page import GalleryPage, GalleryPicture, GallerySection
from pulmoscope.report.overlay import Panel, as_bytes, draw_row
from pulmoscope.workflow.explain_result import Explained, MeanMap

_PAGE_HEIGHT, _STRIP_HEIGHT = 290, 190


def panels_of(found: Explained, row: int) -> list[Panel]:
    """The plain picture, then each method's map of the explained class and, where the answer is wrong, of the true."""
    one = found.subjects.pictures[row]
    several = len(found.methods) > 1
    panels = [Panel(title="picture")]

    def add(maps: Maps, place: int, name: str) -> None:
        method = method_named(name)
        what = "" if not method.by_class else f"map for {found.classes[int(maps.targets[place])]}"
        title = f"{method.title} {what.removeprefix('map ')}" if several or not what else what
        values = found.explainers[name].to_original(maps.values[place], _size(one.shown))
        panels.append(Panel(title=title.strip(), values=_smooth(values) if method.fine else values))

    for name in found.methods:
        add(found.maps[name], row, name)
        if row in found.truth_rows and name in found.truth_maps:
            add(found.truth_maps[name], list(found.truth_rows).index(row), name)
    return panels


def strip_of(found: Explained, row: int) -> list[Panel]:
    """The plain picture, then the explained class at each stage with its share of the evidence there."""
    one, belief = found.subjects.pictures[row], found.beliefs[row]
    explainer = found.explainers[found.followed()]
    panels = [Panel(title="picture")]
    for index, stage in enumerate(belief.stages):
        share = belief.shares[index]
        said = "none" if np.isnan(share) else f"{share:.0%}"
        panels.append(
            Panel(
                title=f"{stage.size[0]}×{stage.size[1]}: {said}",
                values=explainer.to_original(belief.values[index], _size(one.shown)),
                marked=explainer.to_original(belief.wins[index].astype(np.float32), _size(one.shown)) >= 0.5,
            )
        )
    return panels


def gallery_page(found: Explained) -> GalleryPage:
    """The page as text and pictures."""
    part = "given files" if found.split is None else f"{found.split} part"
    titles = ", ".join(method_named(name).title for name in found.methods)
    sections = [_mean_section(found)] if found.means else []
    sections += [
        GallerySection(
            anchor=f"gallery-{number}",
            title=pick.title,
            text=f"{len(rows)} of {pick.of}: {pick.how}.",
            pictures=[_picture(found, row) for row in rows],
            wide=len(found.methods) > 1,
        )
        for number, (pick, rows) in enumerate(found.subjects.galleries, start=1)
        if rows
    ]
    if found.beliefs:
        sections.append(_belief_section(found))
    facts = [("Model", found.name)]
    facts += [
        (method_named(name).title, f"layer {found.layers[name]}; {method_named(name).source}")
        for name in found.methods
    ]
    if found.sets is not None:
        count = found.sets.counts[0]
        facts.append(
            ("Prediction sets", f"{show_level(found.sets.level)}, fixed on {count} validation pictures")
        )
    leaked = found.notes.get("leaked_split")
    return GalleryPage(
        title=found.name,
        subtitle=f"{titles}; {len(found.subjects.pictures)} pictures of the {part}; "
        f"Pulmoscope {pulmoscope.__version__}",
        leaked="Trained and judged on a LEAKED SPLIT: patients stand on both sides." if leaked else "",
        says=_reading(found),
        warnings=warnings_of(found),
        sections=sections,
        facts=facts,
    )


def _reading(found: Explained) -> list[str]:
    by_class = any(method_named(name).by_class for name in found.methods)
    said = [
        "A map shows where the score of a class came from. It does not show disease, and a plausible map does not "
        "make an answer right.",
        "Light colours are strong evidence; the line goes round all that is over half of the map's maximum. Each map "
        "is scaled by itself, so strength cannot be compared between pictures.",
    ]
    grids = {
        f"{maps.raw.shape[1]} × {maps.raw.shape[2]}"
        for name, maps in found.maps.items()
        if method_named(name).uses_layer
    }
    if grids:
        said.append(
            f"Maps are coarser than they look: a map of a layer has {' or '.join(sorted(grids))} places, "
            "drawn smooth."
        )
    said += [
        f"{method_named(name).title} are drawn smoothed; maps.npz has them pixel by pixel."
        for name in found.methods
        if method_named(name).fine
    ]
    if found.truth_rows and by_class:
        said.append(
            "Where the answer was wrong (red edge, ✗), the map of the given class stands first and that of the true "
            "class beside it."
        )
    if found.sets is not None:
        level = show_level(found.sets.level)
        said.append(
            f"The {level} set holds the classes that cannot be ruled out: over many pictures like the "
            f"validation part, it holds the true class in {level}. Empty: no class is probable enough."
        )
    return said


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blurred by a Gaussian of 1.5% of the shorter side, and stretched to 1 again."""
    return _top(np.asarray(cv2.GaussianBlur(values, (0, 0), 0.015 * min(values.shape)), np.float32))


def _picture(found: Explained, row: int) -> GalleryPicture:
    one, probabilities = found.subjects.pictures[row], found.probabilities[row]
    given = found.classes[int(probabilities.argmax())]
    lines = ["  ·  ".join(f"{name} {p:.2f}" for name, p in zip(found.classes, probabilities, strict=True))]
    if found.sets is not None:
        held = found.set_of(row)
        lines.append(f"{show_level(found.sets.level)} set: {' or '.join(held) if held else 'empty'}")
    title = f"{given} ({probabilities.max():.2f})"
    title = title if one.label is None else f"true {one.label}, predicted {title}"
    return GalleryPicture(
        number=row + 1,
        data=_embedded(one.shown, panels_of(found, row), _PAGE_HEIGHT),
        alt=f"Radiograph and its maps; {title}.",
        title=title,
        lines=lines,
        wrong=None if one.label is None else one.label != given,
    )


def _mean_section(found: Explained) -> GallerySection:
    title = method_named(found.methods[0]).title

    def picture(one: MeanMap) -> GalleryPicture:
        panels = [
            Panel(title="mean picture"),
            Panel(title=f"mean map for {one.name}", values=_top(one.values)),
        ]
        return GalleryPicture(
            number=0,
            data=_embedded(one.picture, panels, _PAGE_HEIGHT),
            alt=f"Mean radiograph and mean map of {one.name}.",
            title=one.name,
            lines=[f"{one.count} right answers"],
        )

    return GallerySection(
        anchor="means",
        title="Mean map of each class",
        text=f"{title}, mean over right answers at even steps from the surest to the least sure, scaled to its own "
        "maximum, in the network's square. A maximum at a corner or edge hints at marks of the picture, not of the "
        "chest.",
        pictures=[picture(one) for one in found.means],
    )


def _belief_section(found: Explained) -> GallerySection:
    method = method_named(found.followed()).title

    def picture(row: int) -> GalleryPicture:
        belief, name = found.beliefs[row], found.classes[int(found.targets[row])]
        shares = ", ".join(
            f"{stage.name} {'none' if np.isnan(share) else f'{share:.0%}'}"
            for stage, share in zip(belief.stages, belief.shares, strict=True)
        )
        whole = _picture(found, row)
        return GalleryPicture(
            number=row + 1,
            data=_embedded(found.subjects.pictures[row].shown, strip_of(found, row), _STRIP_HEIGHT),
            alt=f"Maps for {name} at each stage; share of the evidence: {shares}.",
            title=f"{whole.title}; evidence for {name}",
            lines=[shares],
            wrong=whole.wrong,
        )

    return GallerySection(
        anchor="layers",
        title="Belief through the layers",
        text=f"{method} at each stage, from the first to the last, each scaled by itself. Here the line goes round the "
        "places where the class has more evidence than any other. Above each map: its grid, and the class's share of "
        "the evidence for all classes at that stage. A share is no probability; early stages see edges, not classes.",
        pictures=[picture(row) for row in range(len(found.beliefs))],
        wide=True,
    )


def _embedded(pixels: NDArray[np.float32], panels: Sequence[Panel], height: int) -> str:
    return base64.b64encode(as_bytes(draw_row(pixels, panels, height=height), "JPEG")).decode("ascii")


def _top(values: NDArray[np.float32]) -> NDArray[np.float32]:
    most = float(values.max())
    return values / np.float32(most) if most > 0 else values


def _size(shown: NDArray[np.float32]) -> tuple[int, int]:
    return shown.shape[0], shown.shape[1]


def warnings_of(found: Explained) -> list[str]:
    """What the reader must know of single pictures."""
    said = []
    if found.subjects.unread:
        name, reason = found.subjects.unread[0]
        said.append(
            f"{len(found.subjects.unread)} pictures could not be read, such as {name.rpartition('/')[2]}: {reason}"
        )
    if found.moved:
        said.append(
            f"{len(found.moved)} pictures have other probabilities now than in the predictions (No. "
            f"{', '.join(str(row + 1) for row in found.moved[:8])}): their files or the model have changed since"
        )
    empty = [pick.title for pick, rows in found.subjects.galleries if not rows]
    if empty:
        said.append(f"there is no picture of: {'; '.join(empty)}")
    return said
