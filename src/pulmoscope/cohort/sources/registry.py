"""The adapters, found by a source's name or by looking at its folder."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulmoscope.cohort.sources.any_table import AnyTableSource
from pulmoscope.cohort.sources.base import Source, SourceRows
from pulmoscope.cohort.sources.chexpert import CheXpertSource
from pulmoscope.cohort.sources.class_folders import ClassFoldersSource
from pulmoscope.cohort.sources.cohen import CohenSource
from pulmoscope.cohort.sources.hannover import HannoverSource
from pulmoscope.cohort.sources.medmnist import MedMnistSource
from pulmoscope.cohort.sources.nih import NihSource
from pulmoscope.errors import CohortError, did_you_mean, near_names

#: Adapters in the order in which they look at a folder: the particular before the general.
SOURCES: tuple[Source, ...] = (
    MedMnistSource(),
    CohenSource(),
    NihSource(),
    CheXpertSource(),
    HannoverSource(),
    AnyTableSource(),
    ClassFoldersSource(),
)

_OTHERS = "others"  # what the cohort tells an adapter; no option of the user


def find_source(name: str, path: Path, kind: str | None = None) -> Source:
    """Return the adapter named by ``kind``, else the one the name begins with, else the one that fits.

    Raises:
        CohortError: The kind is unknown, or no adapter knows the layout.
    """
    kinds = {source.kind: source for source in SOURCES}
    if kind is not None:
        if kind not in kinds:
            raise CohortError(
                f"no kind of source is called {kind!r}",
                expected=", ".join(kinds),
                remedy=did_you_mean(map(repr, near_names(kind, kinds))),
            )
        return kinds[kind]
    named = [source for source in SOURCES if name.casefold().startswith(source.kind)]
    for source in (*named, *SOURCES):
        if source.sniff(path):
            return source
    raise CohortError(
        f"source {name!r}: no reader knows what {path} is",
        code="E_SOURCE",
        expected="class folders, a CSV, TSV or XLSX table with path,label, a MedMNIST .npz, or the folder of "
        "Cohen (metadata.csv), NIH (Data_Entry*.csv), CheXpert (train.csv) or Hannover (data.csv)",
        got="an empty folder or one without class folders"
        if path.is_dir()
        else f"a {path.suffix or 'plain'} file",
    )


def read_source(
    name: str,
    path: str | os.PathLike[str],
    others: Mapping[str, str | os.PathLike[str]] | None = None,
    /,
    *,
    kind: str | None = None,
    uncertain: str = "ignore",
    **options: Any,
) -> SourceRows:
    """Read one source with the adapter that fits.

    Args:
        name: Name of the source: letters, digits, dot, dash, underscore; it begins every image id.
        path: File or folder.
        others: The cohort's other sources, name -> path, for adapters that may ask their tables.
        kind: Adapter to use instead of looking.
        uncertain: What CheXpert's uncertain findings become: ignore, positive or negative.
        options: Options of the adapter.

    Raises:
        CohortError: The name is no name, nothing is there, no adapter fits, or an option is unknown.
        TableError: The source's table cannot be read.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.\-]*", name, re.ASCII):
        raise CohortError(
            f"{name!r} cannot name a source", expected="letters, digits, '.', '-' and '_' without spaces"
        )
    place = Path(path)
    try:
        os.path.abspath(place).encode("utf-8")
    except UnicodeEncodeError:
        raise CohortError(
            f"source {name!r}: its path is not UTF-8: {os.fsencode(place).decode('utf-8', 'backslashreplace')}",
            code="E_FILENAME",
            remedy="rename the folder, or reach it through a link with a plain name",
        ) from None
    if not place.exists():
        raise CohortError(
            f"source {name!r}: there is nothing at {place}", code="E_MISSING", expected="a file or folder"
        )
    source = find_source(name, place, kind)
    known = _options(source)
    strange = sorted(set(options) - set(known))
    if strange:
        raise CohortError(
            f"source {name!r} ({source.kind}) has no option {', '.join(strange)}",
            expected=", ".join(known) or "no options",
            remedy=did_you_mean(map(repr, near_names(strange[0], known))),
        )
    if "uncertain" in known:
        options.setdefault("uncertain", uncertain)
    if _OTHERS in inspect.signature(source.read).parameters:
        options[_OTHERS] = others
    return source.read(name, place, **options)


def _options(source: Source) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(source.read).parameters
    return {
        key: one
        for key, one in parameters.items()
        if one.kind is inspect.Parameter.KEYWORD_ONLY and key != _OTHERS
    }
