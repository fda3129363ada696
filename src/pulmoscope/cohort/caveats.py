"""What a reader of any result must know about the cohort, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

_COLLECTIONS = ("cohen", "nih", "hannover", "chexpert")
_TINY_PART, _TINY_CLASS = 100, 10
_VIEW_GAP = 0.3
_AGE_GAP, _ADULT = 15.0, 18.0
_COUNTED_NOTES = {
    "inverted-suspect": "{n} pictures look inverted (bright background); they are used as they are",
    "low-depth": "{n} pictures have few grey levels",
}


def caveats(
    frame: pd.DataFrame,
    *,
    classes: tuple[str, ...],
    leaked: bool = False,
    leaking_groups: int = 0,
    conflicts: int = 0,
    picture_notes: Mapping[str, int] | None = None,
) -> list[str]:
    """Return the cohort's caveats; the order is that of weight.

    Args:
        frame: Rows of the cohort, split or folds assigned.
        classes: Class names.
        leaked: The split cuts patients or copies and is used all the same.
        leaking_groups: How many groups it cuts.
        conflicts: Rows dropped because their picture stands under two labels.
        picture_notes: Decoding note -> count.
    """
    found: list[str] = []
    if leaked:
        found.append(
            f"the split leaks: {leaking_groups} groups of patients or copies stand in more than one part, "
            "so the test results are too good"
        )
    if conflicts:
        found.append(f"{conflicts} pictures were dropped because the same picture stands under two labels")
    found += _sources(frame, classes)
    found += _small_parts(frame, classes)
    found += _few_groups(frame, classes)
    found += _no_patients(frame)
    found += _views(frame, classes)
    found += _ages(frame, classes)
    for note, text in _COUNTED_NOTES.items():
        count = (picture_notes or {}).get(note, 0)
        if count:
            found.append(text.format(n=count))
    return found


def _sources(frame: pd.DataFrame, classes: tuple[str, ...]) -> list[str]:
    """Where classes come from different sources, scanner, borders and letters can give the class away."""
    # A tree of class folders may itself be put together from known collections: patient ids tell.
    prefix = frame["patient_id"].str.extract(r"^([^:]+):")[0]
    origin = prefix.where(prefix.isin(_COLLECTIONS)).fillna(frame["source"])
    pairs = pd.crosstab(frame["label"], origin)
    if pairs.shape[0] < 2 or pairs.shape[1] < 2:
        return []
    present = [name for name in classes if name in pairs.index]
    only = {name: pairs.columns[pairs.loc[name] > 0] for name in present}
    found = []
    told: set[str] = set()
    for source in pairs.columns:
        names = [name for name in present if list(only[name]) == [source]]
        if names and len(names) < len(present):
            told |= {source} if len(names) == (pairs[source] > 0).sum() else set()
            title = "class" if len(names) == 1 else "classes"
            verb = "comes" if len(names) == 1 else "come"
            listed = ", ".join(map(repr, names))
            found.append(
                f"{title} {listed} {verb} from {source!r} only: a network can learn the source instead of the disease"
            )
    pure = {source: pairs[source].idxmax() for source in pairs.columns if (pairs[source] > 0).sum() == 1}
    if set(pure) - told:
        share = pairs[list(pure)].to_numpy().sum() / pairs.to_numpy().sum()
        listed = ", ".join(f"{source} ({name})" for source, name in pure.items())
        found.append(
            f"sources with one class: {listed}; for {share:.0%} of the pictures the source gives it away"
        )
    return found


def _small_parts(frame: pd.DataFrame, classes: tuple[str, ...]) -> list[str]:
    found = []
    for part, title in (("val", "validation"), ("test", "test")):
        rows = frame[frame["split"] == part]
        if rows.empty:
            continue
        counts = rows["label"].value_counts().reindex(list(classes), fill_value=0)
        few = ", ".join(f"{name} {count}" for name, count in counts.items() if count < _TINY_CLASS)
        if len(rows) < _TINY_PART or few:
            found.append(
                f"the {title} set is tiny: {len(rows)} pictures" + (f" (of a class: {few})" if few else "")
            )
    if (frame["split"] == "train").any() and not (frame["split"] == "val").any():
        found.append("there is no validation set: carve one out of the training part")
    return found


def _few_groups(frame: pd.DataFrame, classes: tuple[str, ...]) -> list[str]:
    groups = frame.groupby("label")["group_id"].nunique().reindex(list(classes), fill_value=0)
    few = [f"{name} ({count})" for name, count in groups.items() if 0 < count < _TINY_CLASS]
    return [f"few patients or groups in a class: {', '.join(few)}"] if few else []


def _no_patients(frame: pd.DataFrame) -> list[str]:
    unknown = frame["patient_id"].isna()
    found = []
    for source, rows in unknown.groupby(frame["source"]):
        if rows.all():
            found.append(
                f"no patient ids in {source!r}: pictures of one patient may stand on both sides of a split"
            )
        elif rows.mean() > 0.01:
            found.append(f"{int(rows.sum())} of {len(rows)} pictures in {source!r} have no patient id")
    return found


def _views(frame: pd.DataFrame, classes: tuple[str, ...]) -> list[str]:
    known = frame[frame["view"].notna()]
    if known.empty:
        return []
    share = pd.crosstab(known["label"], known["view"], normalize="index")
    share = share[known["label"].value_counts().reindex(share.index) >= _TINY_CLASS]
    if len(share) < 2:
        return []
    gap = share.max() - share.min()
    view = gap.idxmax()
    if gap[view] < _VIEW_GAP:
        return []
    shares = ", ".join(f"{name} {share.loc[name, view]:.0%}" for name in classes if name in share.index)
    return [f"classes differ in view position ({view}: {shares}): the view can give the class away"]


def _ages(frame: pd.DataFrame, classes: tuple[str, ...]) -> list[str]:
    median = frame.groupby("label")["age"].agg(["median", "count"])
    median = median[median["count"] >= _TINY_CLASS]["median"]
    if len(median) < 2 or median.max() - median.min() < _AGE_GAP:
        return []
    texts = ", ".join(f"{name} {median[name]:.0f}" for name in classes if name in median.index)
    what = "children against adults" if median.min() < _ADULT <= median.max() else "classes differ in age"
    return [f"{what} (median years: {texts}): the age can give the class away"]


def picture_note_counts(notes: list[tuple[str, ...]]) -> dict[str, Any]:
    """Count decoding notes over all pictures."""
    flat = pd.Series([note for one in notes for note in one], dtype="str")
    return {str(note): int(count) for note, count in flat.value_counts().sort_index().items()}
