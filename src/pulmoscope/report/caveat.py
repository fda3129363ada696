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
        r"two (different )?labels", "label-conflict", "warning",
        "A picture that two experts, or two collections, call differently shows how sure the labels are.",
        "See dropped.csv for the pictures; such doubt is in the rest of the labels too.",
    ),
    (
        r"viral|paediatric|pediatric|label.*(means|noise)|not covid", "label-meaning", "warning",
        "A result holds for what the pictures show, not for what the class is called.",
        "Say in every table what the class really holds; do not quote it as a finding about the named disease.",
    ),
    (
        r"synthetic|phantom", "synthetic", "warning",
        "Drawn radiographs show that the software works; they say nothing about patients.",
        "Do not quote these numbers as performance; train and test on real collections.",
    ),
    (
        r"(left out|dropped).*(test|part|split|leak)|leak.*(left out|dropped)", "leaks-dropped", "note",
        "The parts are kept apart, but they are no longer the collection's own: published results are not comparable.",
        "Say so beside any comparison with a published result.",
    ),
    (
        r"leak", "leaked-split", "danger",
        "The model is judged on patients or pictures that it has learned from: the numbers are too good.",
        "Build the cohort again without --allow-leak.",
    ),
    (
        r"carved out", "carved", "note",
        "The validation set is not the collection's own, so training saw fewer pictures than a published run on it.",
        "Say so beside any comparison with a published result.",
    ),
    (
        r"validation (set|part|pictures?|has)|picture.* validation", "validation", "warning",
        "The epoch is chosen by validation: few or one-sided pictures choose it almost by chance.",
        "Carve a larger validation set out of the training part (--val-from-train 0.15).",
    ),
    (
        r"test (set|part) ", "few-test-pictures", "warning",
        "A handful of pictures moves the rates by many points; two models can swap places by chance.",
        "Read the intervals, not the values; pool folds (--split kfold:5) or add a collection.",
    ),
    (
        r"few (patients|groups)", "few-groups", "warning",
        "A rate over few patients says little about the next one, however many pictures they have.",
        "Add patients of that class, or read its rates as an illustration.",
    ),
    (
        r"no patient|patient id", "no-patient-ids", "warning",
        "Two pictures of one patient may stand in training and test, which flatters the result.",
        "Read the result as an upper bound; prefer a collection that names patients.",
    ),
    (
        r"one source|only from|from .* only|single source", "source-tied", "warning",
        "A network can learn the collection (marker, border, exposure) in place of the disease.",
        "Test on another collection (pulmoscope evaluate --cohort) before believing it.",
    ),
    (
        r"children|\bages?\b|median years", "age-tied", "warning",
        "Bone, heart and size of the chest show age; the network may learn it in place of the disease.",
        "Match the ages, or report the results by age band.",
    ),
    (
        r"\bviews?\b", "view-tied", "warning",
        "View position can give the class away.",
        "Build the cohort with one view (--where 'view=AP') and compare.",
    ),
    (
        r"inverted|grey level", "pictures", "note",
        "Odd pictures are easy to tell from the others, and teach the network nothing about the chest.",
        "Look at them, and mend or leave them out.",
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

# The builder's sentences end with the reason, which the page gives in a line of its own.
_REASON_GIVEN = re.compile(r": (a network can learn|the (view|age) can give|pictures of one patient may) .*$")


def from_text(text: str) -> Caveat:
    """A sentence of the cohort's builder as a caveat, with the reason and the remedy that go with its words."""
    said = _REASON_GIVEN.sub("", text.strip())
    if not said.partition(" ")[0].endswith(":"):  # a source's name stays as it is written
        said = said[:1].upper() + said[1:]
    said = said if said.endswith((".", "!", "?")) else f"{said}."
    for pattern, code, level, why, remedy in _KNOWN:
        if re.search(pattern, text, re.IGNORECASE):
            return Caveat(code=code, level=level, what=said, why=why, remedy=remedy)
    return Caveat(
        code="other", level="warning", what=said, why="The collection's reader found it worth saying.",
        remedy="Weigh it against the results below.",
    )  # fmt: skip
