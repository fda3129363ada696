"""One row a method: every check, and whether the method may be used on this model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pulmoscope.explanation.agreement import Agreement
from pulmoscope.explanation.faithfulness import Gain
from pulmoscope.explanation.group_mean import GroupMean
from pulmoscope.explanation.sanity import Changed
from pulmoscope.files import or_null

# The thresholds of the verdict, all of them. They were set before any real model was judged.
MOST_LIKE_RANDOM = 0.5
"""With all weights random, or labels shuffled, the rank correlation with the true map is at most this."""
MOST_LIKE_HEADLESS = 0.95
"""With the head random it is at most this: else the map does not depend on the class."""
LEAST_MEASURES = 2
"""Of deletion, insertion and ROAD, so many must be shown better than each plain alternative, and none worse."""
MOST_EMPTY = 0.5
"""At most this share of the pictures may have an empty map."""
LOW_AGREEMENT = 0.5
"""Below this mean rank correlation two methods, or two trainings, are said to disagree. It decides nothing."""

RULES = (
    f"at least {LEAST_MEASURES} of deletion, insertion and ROAD better than the same map laid elsewhere, none worse "
    "(95% intervals over patients)",
    f"at least {LEAST_MEASURES} of them better than a centred Gaussian of the map's area, none worse",
    f"with all weights random the mean rank correlation with the true map is at most {MOST_LIKE_RANDOM}, or most maps "
    "vanish",
    f"with the head random it is at most {MOST_LIKE_HEADLESS}, or most maps vanish",
    f"the same limit of {MOST_LIKE_RANDOM} for a network trained on shuffled labels, where one is given",
    f"at most {MOST_EMPTY:.0%} of the pictures have an empty map",
)


@dataclass(frozen=True, kw_only=True)
class Versus:
    """A measure of place beside what chance gives, over the same pictures.

    Attributes:
        value: The measure.
        chance: What a map that knows nothing gives.
        gain: Their paired difference.
    """

    value: GroupMean
    chance: GroupMean
    gain: GroupMean

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name).as_dict() for name in ("value", "chance", "gain")}


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """What was found about a method on a model.

    Attributes:
        method: Its name.
        title: As papers call it.
        layer: What was explained.
        empty: Share of the pictures whose map is empty.
        deletion: Mean area under the deletion curve.
        insertion: Mean area under the insertion curve.
        road: Mean fall of the probability.
        gains: ``elsewhere`` and ``centred``: how much better than these the map is.
        randomised: From the head down to all layers.
        shuffled: A network trained on shuffled labels; None where none was given.
        agreement: Other method to how alike the maps are.
        other: The same method on another training's network; None where none was given.
        lesions: ``pointing``, ``inside``, ``iou``; empty where no lesions are known.
        lungs: Share of the map inside the lungs; None without masks.
    """

    method: str
    title: str
    layer: str
    empty: float
    deletion: GroupMean
    insertion: GroupMean
    road: GroupMean
    gains: Mapping[str, Gain]
    randomised: Sequence[Changed]
    shuffled: Changed | None = None
    agreement: Mapping[str, Agreement] = field(default_factory=dict)
    other: Agreement | None = None
    lesions: Mapping[str, Versus] = field(default_factory=dict)
    lungs: Versus | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the method may not be used on this model; empty where it may."""
        return (
            *_empty(self), *_faithless(self), *_unchanged(self),
        )  # fmt: skip

    @property
    def usable(self) -> bool:
        """Whether every rule of :data:`RULES` that could be checked holds."""
        return not self.reasons

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if self.usable:
            return f"{self.title} may be used on this model."
        return f"{self.title} may not be used on this model, because {'; '.join(self.reasons)}."

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of its maps should know, which does not decide the verdict, each a sentence."""
        return (*_place_remarks(self), *_agreement_remarks(self))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "method": self.method, "title": self.title, "layer": self.layer, "usable": self.usable,
            "sentence": self.sentence, "reasons": list(self.reasons), "remarks": list(self.remarks),
            "empty": or_null(self.empty),
            "deletion": self.deletion.as_dict(), "insertion": self.insertion.as_dict(), "road": self.road.as_dict(),
            "gains": {
                name: {one: getattr(gain, one).as_dict() for one in ("deletion", "insertion", "road")}
                for name, gain in self.gains.items()
            },
            "randomised": [one.as_dict() for one in self.randomised],
            "shuffled": None if self.shuffled is None else self.shuffled.as_dict(),
            "agreement": {name: one.as_dict() for name, one in self.agreement.items()},
            "other": None if self.other is None else self.other.as_dict(),
            "lesions": {name: one.as_dict() for name, one in self.lesions.items()},
            "lungs": None if self.lungs is None else self.lungs.as_dict(),
        }  # fmt: skip


_OPPONENTS = {"elsewhere": "the same map laid elsewhere", "centred": "a centred blob"}
_MEASURES = {"deletion": "deletion", "insertion": "insertion", "road": "ROAD"}


def _empty(row: MethodRow) -> list[str]:
    return [f"{row.empty:.0%} of its maps are empty"] if row.empty > MOST_EMPTY else []


def _faithless(row: MethodRow) -> list[str]:
    found = []
    for name, gain in row.gains.items():
        means = {title: getattr(gain, one) for one, title in _MEASURES.items()}
        worse = [title for title, mean in means.items() if mean.below(0)]
        better = [title for title, mean in means.items() if mean.above(0)]
        if worse:
            found.append(f"by {_listed(worse)} it is worse than {_OPPONENTS[name]}")
        elif len(better) < LEAST_MEASURES:
            shown = f"only by {better[0]}" if better else "by none of deletion, insertion and ROAD"
            pictures = max(mean.pictures for mean in means.values())
            found.append(f"{shown} is it shown to be better than {_OPPONENTS[name]} on {pictures} pictures")
    return found


def _unchanged(row: MethodRow) -> list[str]:
    found = []
    if row.randomised:
        head, whole = row.randomised[0], row.randomised[-1]
        if _alike(whole, MOST_LIKE_RANDOM):
            found.append(
                f"it hardly changes when all weights are random (rank correlation {whole.spearman.value:.2f})"
            )
        if _alike(head, MOST_LIKE_HEADLESS):
            found.append(
                f"it does not depend on the class (rank correlation {head.spearman.value:.2f} with a random head)"
            )
    if row.shuffled is not None and _alike(row.shuffled, MOST_LIKE_RANDOM):
        found.append(
            "a network trained on shuffled labels gives much the same map (rank correlation "
            f"{row.shuffled.spearman.value:.2f})"
        )
    return found


def _alike(changed: Changed, most: float) -> bool:
    """A map that vanishes has changed."""
    return changed.vanished <= 0.5 and changed.spearman.value > most


def _place_remarks(row: MethodRow) -> list[str]:
    found = []
    if "pointing" in row.lesions:
        one = row.lesions["pointing"]
        found.append(
            f"{row.title} points at the known lesion in {one.value.value:.0%} of {one.value.pictures} pictures; a "
            f"random pixel would in {one.chance.value:.0%}."
        )
    if row.lungs is not None and row.lungs.value.pictures:
        one = row.lungs
        told = (
            f"{one.value.value:.0%} of the map lies inside the lungs, which are {one.chance.value:.0%} of the picture "
            f"({one.value.pictures} pictures with masks)"
        )
        if one.gain.above(0):
            found.append(f"{told}: more than chance.")
        elif one.gain.below(0):
            found.append(
                f"{told}: less than chance. If the map is true, the model looks for its answer outside the lungs."
            )
        else:
            found.append(f"{told}: no different from chance.")
    return found


def _agreement_remarks(row: MethodRow) -> list[str]:
    found = []
    low = [name for name, one in row.agreement.items() if one.spearman.value < LOW_AGREEMENT]
    if low:
        found.append(f"It disagrees with {_listed(low)} (rank correlation under {LOW_AGREEMENT}).")
    if row.other is not None and row.other.spearman.value < LOW_AGREEMENT:
        found.append(
            f"Another training of the network points elsewhere (rank correlation {row.other.spearman.value:.2f}): "
            "the map is of this network, not of the disease."
        )
    return found


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
