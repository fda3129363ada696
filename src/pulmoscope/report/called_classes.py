"""Which classes a reader would call, such as a disease, and which are what is left when nothing is."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NOTHING_FOUND = {"normal", "healthy", "nofinding", "nofindings", "negative", "control", "none"}


def called_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The classes without those that say that nothing is there; all where none is left.

    >>> called_classes(["covid", "non-covid", "normal"]), called_classes(["covid", "non-covid"])
    (('covid', 'non-covid'), ('covid',))
    """
    plain = [re.sub(r"[^a-z0-9]", "", name.casefold()) for name in classes]
    denied = set(_NOTHING_FOUND)
    if len(plain) == 2:
        # Of two classes, "not that" is the absence of the other; of three it may be another disease.
        denied |= {prefix + other for other in plain for prefix in ("non", "not", "no")}
    kept = tuple(name for name, word in zip(classes, plain, strict=True) if word not in denied)
    return kept or tuple(classes)
