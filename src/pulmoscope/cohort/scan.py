"""Walk a folder once: its pictures, and what stands there beside them."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pulmoscope.cohort.dropped import dropped_rows
from pulmoscope.errors import CohortError

PICTURE_ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".gif", ".webp"}
    | {".jp2", ".j2k", ".pgm", ".ppm", ".pnm", ".dcm", ".dicom", ".dic", ".ima"}
)
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"\x00\x00\x00\x0cjP  ")


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a folder holds.

    Args:
        root: The folder, absolute.
        pictures: Paths of its pictures relative to it, with ``/``, sorted.
        skipped: ``(relative path, code, detail)`` of everything else, escaped where it is not UTF-8; sorted.
        barren: Folders without a picture in them or below them, sorted.
    """

    root: Path
    pictures: list[str]
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    barren: list[str] = field(default_factory=list)

    def dropped(self, source: str, *, but: Container[str] = ()) -> pd.DataFrame:
        """Return the skipped entries as dropped rows, without the source's own tables named in ``but``."""
        rows = [row for row in self.skipped if row[0] not in but]
        return dropped_rows(
            source,
            [f"{source}/{name}" for name, _, _ in rows],
            [f"{self.root}/{name}" for name, _, _ in rows],
            [code for _, code, _ in rows],
            [detail for _, _, detail in rows],
        )

    def without(self, *folders: str) -> Scan:
        """Return the scan without the pictures below ``folders``, such as a source's masks."""
        below = tuple(f"{folder}/" for folder in folders)
        kept = [name for name in self.pictures if not name.startswith(below)]
        return Scan(root=self.root, pictures=kept, skipped=self.skipped, barren=self.barren)

    def twins(self) -> list[str]:
        """Return notes on names that differ only by case or by Unicode form: one file on other systems."""
        forms = pd.Series(
            [unicodedata.normalize("NFC", name).casefold() for name in self.pictures], dtype="str"
        )
        count = int(forms.duplicated(keep=False).sum())
        if not count:
            return []
        first = self.pictures[int(forms.duplicated().to_numpy().argmax())]
        return [f"{count} file names differ only by case or Unicode form from another, such as {first}"]


def scan(folder: str | os.PathLike[str]) -> Scan:
    """Read the tree below ``folder``; the result does not depend on the order of files on the disk.

    Links to files are followed while they stay in the folder. Links to folders are not: what lies inside is
    read at its own place, and what lies outside does not belong to the collection.

    Raises:
        CohortError: ``folder`` is no folder, or cannot be read.
    """
    root = Path(os.path.abspath(folder))
    if not root.is_dir():
        raise CohortError(
            f"{root} is not a folder" if root.exists() else f"there is nothing at {root}",
            expected="a folder of radiographs",
        )
    real_root = os.path.realpath(root)
    pictures: list[str] = []
    skipped: list[tuple[str, str, str]] = []
    visited: set[tuple[int, int]] = set()
    folders: set[str] = set()
    pending = [""]
    while pending:
        prefix = pending.pop()
        place = os.path.join(root, prefix)
        try:
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in visited:
                skipped.append((prefix, "E_SYMLINK", "this folder was read under another name"))
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise CohortError(f"cannot read {root}: {error.strerror}") from error
            skipped.append((prefix, "E_UNREADABLE", str(error.strerror)))
            continue
        for entry in found:
            name = f"{prefix}/{entry.name}" if prefix else entry.name
            if not _is_utf8(entry.name):
                escaped = os.fsencode(name).decode("utf-8", "backslashreplace")
                skipped.append((escaped, "E_FILENAME", "rename it to plain letters to use it"))
            elif entry.name.startswith(".") or entry.name in {"Thumbs.db", "__MACOSX", "desktop.ini"}:
                skipped.append((name, "E_NOT_PICTURE", "hidden or left by an operating system"))
            elif entry.is_dir(follow_symlinks=False):
                pending.append(name)
                folders.add(name)
            else:
                verdict = _judge(entry, real_root)
                if verdict is None:
                    pictures.append(name)
                else:
                    skipped.append((name, *verdict))
    return Scan(
        root=root,
        pictures=sorted(pictures),
        skipped=sorted(skipped),
        barren=sorted(folders - _fertile(pictures)),
    )


def match_files(names: pd.Series, pictures: list[str]) -> tuple[pd.Series, list[str]]:
    """Find the picture that each name of a table means, by its file name, else by its stem.

    Published tables often name another ending than the files have (``.png`` there, ``.jpg`` on the disk).

    Args:
        names: (N,) file names, with or without ending or folders.
        pictures: Relative paths, sorted; of two with one stem the first is taken.

    Returns:
        (N,) relative paths, null where there is none, and the pictures that no name means.
    """
    relative = pd.Series(pictures, dtype="str")
    bases = relative.str.rsplit("/", n=1).str[-1].astype("str")
    by_name = pd.Series(relative.to_numpy(), index=bases, dtype="str")
    by_stem = pd.Series(relative.to_numpy(), index=stems(bases), dtype="str")
    wanted = names.str.replace("\\", "/").str.rsplit("/", n=1).str[-1].astype("str")
    found = wanted.map(by_name[~by_name.index.duplicated()])
    by_stem = by_stem[~by_stem.index.duplicated()]
    # A table may name the stem alone, and a stem may itself hold dots.
    found = found.fillna(stems(wanted).map(by_stem)).fillna(wanted.map(by_stem)).astype("str")
    unused = relative[~relative.isin(found.dropna())]
    return found, unused.tolist()


def stems(names: pd.Series) -> pd.Series:
    """Return file names without folders and ending."""
    return names.str.replace(r"^.*/", "", regex=True).str.replace(r"(?<=.)\.[^./]*$", "", regex=True)


def _fertile(pictures: list[str]) -> set[str]:
    """Return the folders with a picture in them or below them."""
    found: set[str] = set()
    for folder in {name.rpartition("/")[0] for name in pictures}:
        parts = folder.split("/")
        found |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    return found


def _is_utf8(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _judge(entry: os.DirEntry[str], real_root: str) -> tuple[str, str] | None:
    """Return None for a picture, else code and detail."""
    fault = _link_fault(entry.path, real_root) if entry.is_symlink() else None
    if fault is not None:
        return "E_SYMLINK", fault
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        return "E_UNREADABLE", str(error.strerror)
    if not stat.S_ISREG(mode):
        return "E_NOT_REGULAR", "a pipe, socket or device"
    ending = os.path.splitext(entry.name)[1].lower()
    if ending in PICTURE_ENDINGS or _looks_like_picture(entry.path):
        return None
    return "E_NOT_PICTURE", f"a {ending} file" if ending else "no picture by its first bytes"


def _link_fault(path: str, real_root: str) -> str | None:
    target = os.path.realpath(path)
    if not os.path.exists(target):
        return "a broken link"
    if os.path.isdir(target):
        return "a link to a folder"
    if os.path.commonpath([real_root, target]) != real_root:
        return "a link that leaves the folder"
    return None


def _looks_like_picture(path: str) -> bool:
    """Judge a file without a known ending (DICOM often has none) by its first bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return head[128:132] == b"DICM" or head.startswith(_SIGNATURES)
