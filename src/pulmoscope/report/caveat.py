"""A caveat: what was found, why it matters, what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Level = Literal["danger", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Caveat:
    """One thing to know.

    Attributes:
        code: Stable name, such as ``leaked-split``.
        level: ``danger`` makes the numbers unusable as they stand, ``warning`` may bend them, ``note`` is good to know.
        what: What was found, with its numbers.
        why: Why it matters, in a sentence.
        remedy: What to do, in a sentence.
    """

    code: str
    level: Level
    what: str
    why: str
    remedy: str


# A caveat that the cohort's builder gave as one sentence finds its reason and its remedy here, by the first match.
_KNOWN: tuple[tuple[str, str, Level, str, str], ...] = (
    (
        r"viral|paediatric|pediatric|named by|label.*(means|noise)|not covid", "label-meaning", "warning",
        "A result holds for what the pictures show, not for what the class is called.",
        "Say in every table what the class really holds; do not quote it as a finding about the named disease.",
    ),
    (
        r"synthetic|phantom|drawn", "synthetic", "warning",
        "Drawn radiographs show that the software works; they say nothing about patients.",
        "Do not quote these numbers as performance; train and test on real collections.",
    ),
    (
        r"leak", "leaked-split", "danger",
        "The model is judged on patients or pictures that it has learned from: the numbers are too good.",
        "Build the cohort again without --allow-leak.",
    ),
    (
        r"validation (set|part|pictures?|has)|picture.* validation", "validation", "warning",
        "The epoch is chosen by validation: few or one-sided pictures choose it almost by chance.",
        "Carve a larger validation set out of the training part (--val-from-train 0.15).",
    ),
    (
        r"no patient|patient id", "no-patient-ids", "warning",
        "Two pictures of one patient may stand in training and test, which flatters the result.",
        "Read the result as an upper bound; prefer a collection that names patients.",
    ),
    (
        r"one source|only (from|in)|single source", "source-tied", "warning",
        "A network can learn the collection (marker, border, exposure) in place of the disease.",
        "Test on another collection (pulmoscope evaluate --cohort) before believing it.",
    ),
    (
        r"view", "view-tied", "warning",
        "View position can give the class away.",
        "Build the cohort with one view (--where 'view=AP') and compare.",
    ),
    (
        r"drop|left out", "dropped", "note",
        "What is left out can shift the mix of patients.",
        "See dropped.csv beside the cohort for each row and its reason.",
    ),
    (
        r"undefined|has no |without", "undefined", "note",
        "Where a class has no pictures its rates do not exist, and means over classes leave it out.",
        "Read “undefined” as unknown, not as 0; add pictures of that class.",
    ),
)  # fmt: skip


def from_text(text: str) -> Caveat:
    """A sentence of the cohort's builder as a caveat, with the reason and the remedy that go with its words."""
    for pattern, code, level, why, remedy in _KNOWN:
        if re.search(pattern, text, re.IGNORECASE):
            return Caveat(code=code, level=level, what=text, why=why, remedy=remedy)
    return Caveat(
        code="other", level="warning", what=text, why="The collection's reader found it worth saying.",
        remedy="Weigh it against the results below.",
    )  # fmt: skip
