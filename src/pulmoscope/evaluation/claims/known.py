"""Class counts of known collections: a class that has exactly as many pictures as one of them is likely to be it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Small numbers agree by chance.
_LEAST = 100


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A collection whose counts are published.

    Attributes:
        name: With its source.
        about: What its pictures are, which a report may not say.
        parts: Part -> finding -> pictures.
    """

    name: str
    about: str
    parts: Mapping[str, Mapping[str, int]]


COLLECTIONS = (
    Collection(
        name="Kermany et al. 2018 (Cell 172:1122)",
        about="radiographs of children, taken before 2020",
        parts={
            "training": {"normal": 1341, "viral pneumonia": 1345, "bacterial pneumonia": 2530},
            "test": {"normal": 234, "viral pneumonia": 148, "bacterial pneumonia": 242},
        },
    ),
)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A known collection behind a report's class counts.

    Attributes:
        collection: Which one.
        part: Of it.
        same: Class of the report -> (finding there, pictures).
        other: Classes of the report whose counts are not in it.
    """

    collection: Collection
    part: str
    same: Mapping[str, tuple[str, int]]
    other: tuple[str, ...]


def recognise(counts: Mapping[str, int]) -> Origin | None:
    """The collection of which two or more classes have exactly the counts; None where nothing agrees.

    Args:
        counts: Class -> pictures.

    >>> found = recognise({"healthy": 1341, "covid": 1345})
    >>> found.same["covid"] if found else None
    ('viral pneumonia', 1345)
    """
    for collection in COLLECTIONS:
        for part, findings in collection.parts.items():
            by_count = {count: finding for finding, count in findings.items()}
            same = {
                name: (by_count[count], count)
                for name, count in counts.items()
                if count >= _LEAST and count in by_count
            }
            if len(same) > 1:
                other = tuple(name for name in counts if name not in same)
                return Origin(collection=collection, part=part, same=same, other=other)
    return None
