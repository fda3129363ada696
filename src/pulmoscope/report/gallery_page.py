"""The page of an explanation: galleries of pictures with their maps, in one HTML file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulmoscope.files import write_text
from pulmoscope.report.page import template


@dataclass(frozen=True, kw_only=True)
class GalleryPicture:
    """One picture with its maps.

    Attributes:
        number: As in ``explain.json``; file names are kept out of the page.
        data: A JPEG of the row of panels, base64.
        alt: What it shows, for those who cannot see it.
        title: What was said of it and what is true.
        lines: Probabilities, prediction set and what else there is.
        wrong: Whether the prediction is not the true class; None where the truth is not known.
    """

    number: int
    data: str
    alt: str
    title: str
    lines: Sequence[str]
    wrong: bool | None = None


@dataclass(frozen=True, kw_only=True)
class GallerySection:
    """Pictures of one kind.

    Attributes:
        anchor: For links within the page; letters, digits and hyphens.
        title: Heading.
        text: How many there are and how these were chosen.
        pictures: In the order of the gallery.
        wide: Whether a picture takes a line of its own.
    """

    anchor: str
    title: str
    text: str
    pictures: Sequence[GalleryPicture]
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class GalleryPage:
    """What the page says, as text.

    Attributes:
        title: The run's name.
        subtitle: Part, pictures, methods, version.
        leaked: A warning, where patients stand on both sides of the split.
        says: How to read the maps, and what they cannot tell, sentence by sentence.
        warnings: What went wrong with single pictures.
        sections: Mean maps, galleries, strips through the layers.
        facts: Model, layer, methods with their papers.
    """

    title: str
    subtitle: str
    leaked: str
    says: Sequence[str]
    warnings: Sequence[str]
    sections: Sequence[GallerySection]
    facts: Sequence[tuple[str, str]]


def write_gallery_page(path: str | os.PathLike[str], page: GalleryPage) -> Path:
    """Write the page to ``path``, whole or not at all.

    Args:
        path: An HTML file.
        page: What it says. Text is escaped; the page has no scripts, and its content policy forbids them and any
            network.

    Raises:
        StorageError: It cannot be written.
    """
    target = Path(path)
    write_text(target, template("gallery.html.j2").render(page=page))
    return target
