"""What a reader must know before the numbers: the caveats of a cohort, its split and its results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from pulmoscope.report.caveat import Caveat, from_text
from pulmoscope.report.confounds import find_confounds
from pulmoscope.report.numbers import number, show_count, show_rate, show_share, value_of

_TINY_PART = 100
_TINY_CLASS = 10
_FEW_IN_CLASS = 30
# Sizes of bacterial, normal and viral in Kermany, Zhang and Goldbaum 2018, largest first.
_KERMANY = (2780, 1583, 1493)
_MEANINGS = r"viral pneumonia|not covid|synthetic|phantom"
_SIZES = frozenset({"validation", "few-test-pictures"})


def find_caveats(
    *,
    frame: pd.DataFrame | None = None,
    info: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
    validation: Mapping[str, Any] | None = None,
    ece: float | None = None,
    trained: bool = True,
    part: str = "test",
) -> list[Caveat]:
    """Collect the caveats of a run, the worst first; each code once for what was computed.

    Args:
        frame: The cohort's table.
        info: The cohort's ``info``: its split, what was dropped, source notes, and the builder's own caveats.
        scores: ``metrics.json``'s content for the reported part.
        validation: Its content for the validation part.
        ece: Expected calibration error of the reported part, [0, 1].
        trained: Whether a model was trained here (and so an epoch chosen).
        part: Name of the reported part.
    """
    info = info or {}
    found: list[Caveat] = [*_leak(frame, info), *_meaning(frame, info)]
    if frame is not None and len(frame):
        found += [*_validation_size(frame, trained), *find_confounds(frame), *_patients(frame)]
    if scores is not None:
        found += [*_test_size(scores, part), *_undefined(scores), *_gap(scores, validation, part)]
    found += [*_calibration(ece), *_dropped(frame, info)]
    computed = {caveat.code for caveat in found}
    # The rows of this run say how large its parts are; the builder's sentence may be of an earlier state.
    settled = _SIZES if frame is not None else frozenset()
    given = [from_text(str(text)) for text in info.get("caveats") or []]
    found += _joined(caveat for caveat in given if caveat.code not in computed | settled)
    if any(caveat.code == "source-tied" for caveat in found):
        found = [caveat for caveat in found if caveat.code != "one-collection"]
    order = {"danger": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda caveat: order[caveat.level])


def _joined(given: Iterable[Caveat]) -> list[Caveat]:
    """One caveat a code, what it says joined; what is of no known kind stays by itself."""
    found: dict[str, Caveat] = {}
    for caveat in given:
        key = caveat.what if caveat.code == "other" else caveat.code
        before = found.get(key)
        if before is None or before.what == caveat.what:
            found[key] = caveat
        else:
            found[key] = replace(before, what=f"{before.what} {caveat.what}")
    return list(found.values())


def cut_groups(frame: pd.DataFrame) -> int:
    """Number of groups that stand in more than one part of the split; 0 where groups or split are unknown."""
    if not {"group_id", "split"} <= set(frame.columns):
        return 0
    placed = frame[frame["split"].notna() & frame["group_id"].notna()]
    return int((placed.groupby("group_id")["split"].nunique() > 1).sum())


def _leak(frame: pd.DataFrame | None, info: Mapping[str, Any]) -> list[Caveat]:
    split = info.get("split") or {}
    groups = max(int(number(split.get("leaking_groups")) or 0), 0 if frame is None else cut_groups(frame))
    if not (split.get("leaked") or groups):
        return []
    external = split.get("kind") == "external"
    where = "the model's training data" if external else "more than one part of the split"
    thing = (
        "radiographs share a patient or a picture with"
        if external
        else "groups of one patient's pictures or of copies stand in"
    )
    shown = f"{groups:,} {thing}" if groups else f"Some {thing}"
    return [
        Caveat(
            code="leaked-split",
            level="danger",
            what=f"This split leaks. {shown} {where}.",
            why="The model is judged on patients or pictures that it has learned from: every number below is too good.",
            remedy="Do not quote these numbers. Leave the shared ones out"
            + (
                ", or build the cohort again without --allow-leak."
                if not external
                else " and evaluate again."
            ),
        )
    ]


def _meaning(frame: pd.DataFrame | None, info: Mapping[str, Any]) -> list[Caveat]:
    """A class that is not what its name says, and drawn pictures, by the sources' notes and by known collections."""
    texts = []
    for name, source in (info.get("sources") or {}).items():
        told = source if isinstance(source, Mapping) else {}
        if str(told.get("kind")) == "phantom":
            texts.append(f"{name}: synthetic radiographs, drawn by the phantom")
        notes = [
            str(note) for note in told.get("notes") or [] if re.search(_MEANINGS, str(note), re.IGNORECASE)
        ]
        texts += [note if note.lower().startswith(str(name).lower()) else f"{name}: {note}" for note in notes]
    if frame is not None and {"label", "source"} <= set(frame.columns):
        texts += _known_collections(frame)
    found: dict[str, Caveat] = {}
    for caveat in map(from_text, texts):
        found.setdefault(caveat.code, caveat)
    # The builder's own sentence on the same thing stands; ours goes.
    given = {from_text(str(text)).code for text in info.get("caveats") or []}
    return [caveat for code, caveat in found.items() if code not in given]


def _known_collections(frame: pd.DataFrame) -> list[str]:
    """Kermany's paediatric pictures with a class that is called covid: they were taken before 2019."""
    texts = []
    for name, rows in frame.groupby("source"):
        counts = rows["label"].value_counts()
        covid = [
            str(label)
            for label in counts.index
            if re.fullmatch(r"covid([-_ ]?19)?", str(label), re.IGNORECASE)
        ]
        close = [abs(size - found) <= 0.03 * size for size, found in zip(_KERMANY, counts, strict=False)]
        if covid and ("kermany" in str(name).lower() or (len(counts) == len(_KERMANY) and all(close))):
            texts.append(
                f"{name}: the class “{covid[0]}” is viral pneumonia of children, not COVID-19: the collection is that "
                "of Kermany et al. 2018 (normal, bacterial, viral) under other class names"
            )
    return texts


def _validation_size(frame: pd.DataFrame, trained: bool) -> list[Caveat]:
    if not trained or "split" not in frame:
        return []
    part = frame[frame["split"] == "val"]
    if not len(part):
        return []
    counts = part["label"].value_counts().reindex(sorted(frame["label"].dropna().unique()), fill_value=0)
    if len(part) >= _TINY_PART and counts.min() >= _TINY_CLASS:
        return []
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return [
        Caveat(
            code="validation",
            level="warning",
            what=f"The validation set is tiny: {len(part):,} pictures ({listed}).",
            why="It chose the epoch that was kept; with so few pictures that choice is close to chance.",
            remedy="Carve a larger one out of the training part: pulmoscope cohort build ... --val-from-train 0.15.",
        )
    ]


def _test_size(scores: Mapping[str, Any], part: str) -> list[Caveat]:
    total = int(number(scores.get("n")) or 0)
    supports = {
        name: int(number(rates.get("support")) or 0) for name, rates in scores.get("classes", {}).items()
    }
    few = {name: support for name, support in supports.items() if 0 < support < _FEW_IN_CLASS}
    if total >= _TINY_PART and not few:
        return []
    listed = ", ".join(f"{name} {support:,}" for name, support in (few or supports).items())
    return [
        Caveat(
            code="few-test-pictures",
            level="warning",
            what=f"Few {part} pictures: {total:,} in all, {listed}.",
            why="A handful of pictures moves the rates by many points; two models can swap places by chance.",
            remedy="Read the intervals, not the values; pool folds (--split kfold:5) or add a collection.",
        )
    ]


def _undefined(scores: Mapping[str, Any]) -> list[Caveat]:
    missing = [
        f"{rate} of {name}"
        for name, rates in scores.get("classes", {}).items()
        for rate, value in rates.items()
        if rate != "support" and value_of(value) is None
    ]
    missing += [
        name.replace("_", " ")
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
        if name in scores and value_of(scores[name]) is None
    ]
    if not missing:
        return []
    shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
    return [
        Caveat(
            code="undefined",
            level="note",
            what=f"Undefined here: {shown}.",
            why="They divide by a number of pictures that is 0 (a class absent, or never predicted).",
            remedy="Read “undefined” as unknown, never as 0; add pictures of that class.",
        )
    ]


def _gap(scores: Mapping[str, Any], validation: Mapping[str, Any] | None, part: str) -> list[Caveat]:
    ours, other = scores.get("accuracy"), (validation or {}).get("accuracy")
    if part == "val" or not isinstance(ours, Mapping) or not isinstance(other, Mapping):
        return []
    low, high = number(other.get("low")), number(ours.get("high"))
    if low is None or high is None or low <= high:
        return []
    return [
        Caveat(
            code="validation-gap",
            level="warning",
            what=f"Accuracy falls from {show_rate(other)} on validation to {show_rate(ours)} on {part}.",
            why="The intervals do not meet: the test pictures differ from the training ones, or the validation shares "
            "patients with them.",
            remedy="Trust the test figure; look at the wrong predictions and at the mix of sources, views and ages.",
        )
    ]


def _calibration(ece: float | None) -> list[Caveat]:
    if ece is None or not ece > 0.1:
        return []
    return [
        Caveat(
            code="calibration",
            level="note",
            what=f"The probabilities are not calibrated (expected calibration error {ece:.3f}).",
            why="A probability of 0.9 is not right nine times in ten here.",
            remedy="Use the probabilities to rank, not as chances; see the reliability diagram.",
        )
    ]


def _patients(frame: pd.DataFrame) -> list[Caveat]:
    if "patient_id" not in frame:
        return []
    unknown = int(frame["patient_id"].isna().sum())
    if not unknown:
        return []
    share = (
        "No picture has"
        if unknown == len(frame)
        else f"{show_share(unknown, len(frame))} of the pictures have no"
    )
    return [
        Caveat(
            code="no-patient-ids",
            level="warning",
            what=f"{share} a patient id." if unknown == len(frame) else f"{share} patient id.",
            why="Two pictures of one patient may stand in training and test, which flatters the result; the "
            "intervals count each such picture as a patient.",
            remedy="Read the result as an upper bound; prefer a collection that names patients, or test on another.",
        )
    ]


def _dropped(frame: pd.DataFrame | None, info: Mapping[str, Any]) -> list[Caveat]:
    reasons = {str(reason): int(number(count) or 0) for reason, count in (info.get("dropped") or {}).items()}
    total = sum(reasons.values())
    if not total:
        return []
    kept = 0 if frame is None else len(frame)
    listed = "; ".join(
        f"{_meaning_of(reason)}: {count:,}"
        for reason, count in sorted(reasons.items(), key=lambda x: -x[1])[:4]
    )
    return [
        Caveat(
            code="dropped",
            level="note",
            what=f"{show_count(total)} of {show_count(total + kept)} rows were left out ({listed}"
            + ("; …)." if len(reasons) > 4 else ")."),
            why="What is left out can shift the mix of patients.",
            remedy="See dropped.csv for each row with its reason.",
        )
    ]


def _meaning_of(reason: str) -> str:
    """A reason without its code."""
    code, colon, meaning = reason.partition(": ")
    return meaning if colon and code.startswith("E_") else reason
