"""What the folders of a class-folder tree mean: part of a split, class, or wrapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulmoscope.cohort.vocabulary import split_name

_MASK_FOLDERS = frozenset({"mask", "masks", "lung_mask", "lung_masks", "lung masks"})
_PICTURE_FOLDERS = frozenset({"image", "images"})

Parts = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The meaning of each folder that holds pictures.

    Args:
        split: Folder -> train, val, test or None.
        finding: Folder -> nested path of the class without split and wrapping, such as "infected/covid";
            "" for pictures outside the class folders.
        label: Folder -> last part of the finding; the whole path everywhere when two classes share a last part.
        masks: Mask folder -> folder of the pictures it belongs to, as their parts without "images".
        notes: What a user should know.
    """

    split: dict[str, str | None]
    finding: dict[str, str]
    label: dict[str, str]
    masks: dict[str, str]
    notes: list[str]


def read_layout(folders: Sequence[str]) -> Layout:
    """Read the meaning of ``folders`` (relative, with "/", "" for the root), those that hold pictures.

    A level where every folder is called train, val or test (in the usual spellings) is the split, wherever
    it stands. Levels above the classes that all folders share, such as ``chest_xray/``, are wrapping.
    """
    parts = {folder: tuple(folder.split("/")) if folder else () for folder in sorted(folders)}
    masks = _mask_folders(parts)
    bare = {folder: _without_images(own) for folder, own in parts.items() if folder not in masks}
    split, rest, notes = _take_split(bare)
    rest = _take_wrapping(rest)
    # A picture beside the class folders has no class.
    finding = {folder: "/".join(own) for folder, own in rest.items()}
    paths = {path for path in finding.values() if path}
    leaves = {path: path.rpartition("/")[2] for path in paths}
    if len(set(leaves.values())) < len(paths):
        notes.append("two class folders share their last name: whole paths are the labels")
        leaves = {path: path for path in paths}
    label = {folder: leaves.get(path, "") for folder, path in finding.items()}
    return Layout(split=split, finding=finding, label=label, masks=masks, notes=notes)


def _mask_folders(parts: dict[str, Parts]) -> dict[str, str]:
    """Return mask folders that stand beside their pictures: CLASS/masks with CLASS/images or CLASS itself."""
    owners = {"/".join(_without_images(own)) for own in parts.values() if not _is_mask(own)}
    return {
        folder: "/".join(own[:-1])
        for folder, own in parts.items()
        if _is_mask(own) and (len(own) == 1 or "/".join(own[:-1]) in owners)
    }


def _is_mask(own: Parts) -> bool:
    return bool(own) and own[-1].casefold() in _MASK_FOLDERS


def _without_images(own: Parts) -> Parts:
    return own[:-1] if len(own) > 1 and own[-1].casefold() in _PICTURE_FOLDERS else own


def _take_split(bare: dict[str, Parts]) -> tuple[dict[str, str | None], dict[str, Parts], list[str]]:
    inside = [own for own in bare.values() if own]
    depth = min((len(own) for own in inside), default=0)
    level = next((i for i in range(depth) if all(split_name(own[i]) for own in inside)), None)
    if level is not None:
        split = {folder: split_name(own[level]) if own else None for folder, own in bare.items()}
        rest = {folder: own[:level] + own[level + 1 :] for folder, own in bare.items()}
        return split, rest, []
    split = {folder: split_name(own[0]) if len(own) > 1 else None for folder, own in bare.items()}
    if not any(split.values()):
        return dict.fromkeys(bare), bare, []
    outside = sorted({own[0] for folder, own in bare.items() if own and split[folder] is None})
    rest = {folder: own[1:] if split[folder] else own for folder, own in bare.items()}
    return split, rest, [f"folders beside the split's own belong to no part: {', '.join(outside)}"]


def _take_wrapping(rest: dict[str, Parts]) -> dict[str, Parts]:
    inside = [own for own in rest.values() if own]
    if not inside or len(inside) < len(rest):
        return rest
    # The last level always stays: a folder with one class is still a class.
    while all(len(own) > 1 for own in inside) and len({own[0] for own in inside}) == 1:
        inside = [own[1:] for own in inside]
    cut = len(next(iter(rest.values()))) - len(inside[0])
    return {folder: own[cut:] for folder, own in rest.items()}
