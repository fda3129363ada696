"""Classes that something other than the disease gives away: source, view position, age, size of the picture."""

from __future__ import annotations

import pandas as pd

from pulmoscope.report.caveat import Caveat
from pulmoscope.report.numbers import show_share

_FEWEST = 10
_APART = 0.4


def find_confounds(frame: pd.DataFrame) -> list[Caveat]:
    """Caveats on what goes with the class in a cohort's table; a test looks only at rows where its column is known."""
    frame = frame[frame["label"].notna()]
    return [*_source(frame), *_view(frame), *_age(frame), *_size(frame)]


def _source(frame: pd.DataFrame) -> list[Caveat]:
    if "source" not in frame:
        return []
    sources = frame.groupby("label")["source"].agg(
        lambda column: sorted(column.dropna().astype(str).unique())
    )
    everything = sorted(frame["source"].dropna().astype(str).unique())
    if len(everything) < 2:
        return [
            Caveat(
                code="one-collection",
                level="note",
                what=f"All pictures come from one collection ({''.join(everything) or 'unnamed'}).",
                why="Networks do worse on other hospitals' pictures than on held-out ones of their own.",
                remedy="Judge the run on another collection: pulmoscope evaluate RUN --cohort DIR.",
            )
        ]
    alone = {str(name): found[0] for name, found in sources.items() if len(found) == 1}
    if not alone:
        return []
    listed = "; ".join(f"{name} only from {source}" for name, source in alone.items())
    return [
        Caveat(
            code="source-tied",
            level="warning",
            what=f"Class and source go together: {listed}.",
            why="The network can tell the collections apart (markers, borders, exposure, file history) and never "
            "look at the lungs.",
            remedy="Test on a collection that holds all classes, and look where the model looks (pulmoscope explain).",
        )
    ]


def _farthest(shares: pd.DataFrame) -> tuple[str, str, str, float] | None:
    """The two classes whose rows of ``shares`` lie farthest apart (total variation), and the column that tells most."""
    best: tuple[str, str, str, float] | None = None
    names = list(shares.index)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            gap = shares.loc[one] - shares.loc[other]
            distance = float(gap.abs().sum() / 2)
            if best is None or distance > best[3]:
                column = gap.abs().idxmax()
                high, low = (one, other) if gap[column] > 0 else (other, one)
                best = (str(high), str(low), str(column), distance)
    return best


def _view(frame: pd.DataFrame) -> list[Caveat]:
    if "view" not in frame:
        return []
    known = frame[frame["view"].notna()]
    if not len(known):
        return [
            Caveat(
                code="view-unknown",
                level="note",
                what="The view position (PA, AP, lateral) is not known for any picture.",
                why="If one class is mostly bedside AP, the network may read the view and not the disease.",
                remedy="Look at the pictures by class, or add view positions in a table.",
            )
        ]
    table = pd.crosstab(known["label"], known["view"])
    table = table[table.sum(axis=1) >= _FEWEST]
    shares = table.div(table.sum(axis=1), axis=0)
    found = _farthest(shares)
    if found is None or found[3] < _APART:
        return []
    high, low, view, _ = found
    listed = ", ".join(
        f"{name} {show_share(table.loc[name, view], table.loc[name].sum())}" for name in (high, low)
    )
    return [
        Caveat(
            code="view-tied",
            level="warning",
            what=f"Class and view position go together: share of {view} in {listed}"
            + (
                f" (view known for {show_share(len(known), len(frame))} of the pictures)."
                if len(known) < len(frame)
                else "."
            ),
            why="AP pictures are taken of the sicker, in bed: heart, scapulae and markers give the view away, and "
            "the view the class.",
            remedy="Train and test within one view (--where 'view=AP') and compare.",
        )
    ]


def _age(frame: pd.DataFrame) -> list[Caveat]:
    if "age" not in frame:
        return []
    known = frame[frame["age"].notna()]
    groups = known.groupby("label")["age"]
    medians = groups.median()[groups.size() >= _FEWEST]
    if len(medians) < 2 or medians.max() - medians.min() < 15:
        return []
    young, old = medians.idxmin(), medians.idxmax()
    return [
        Caveat(
            code="age-tied",
            level="warning",
            what=f"Class and age go together: median age {medians[young]:.0f} years in {young}, "
            f"{medians[old]:.0f} in {old}.",
            why="Bone, heart and size of the chest show age; the network may learn it in place of the disease.",
            remedy="Match the ages, or report the results by age band.",
        )
    ]


def _size(frame: pd.DataFrame) -> list[Caveat]:
    """One size of picture that nearly all of one class has and hardly any of another: a mark of where it came from."""
    if not {"width", "height"} <= set(frame.columns):
        return []
    known = frame[frame["width"].notna() & frame["height"].notna()]
    if not len(known):
        return []
    sizes = known["width"].astype(int).astype(str) + " x " + known["height"].astype(int).astype(str)
    table = pd.crosstab(known["label"], sizes)
    table = table[table.sum(axis=1) >= _FEWEST]
    shares = table.div(table.sum(axis=1), axis=0)
    for name in shares.index:
        size = shares.loc[name].idxmax()
        if shares.loc[name, size] < 0.9:
            continue
        others = shares[size].drop(name)
        if len(others) and others.min() <= 0.1:
            other = others.idxmin()
            return [
                Caveat(
                    code="size-tied",
                    level="warning",
                    what=f"Class and picture size go together: {size} pixels in {100 * shares.loc[name, size]:.0f}% of "
                    f"{name}, {100 * others[other]:.0f}% of {other}.",
                    why="Size, borders and sharpness after resizing betray the collection, and so the class.",
                    remedy="Check with pictures of one size and history, or test on another collection.",
                )
            ]
    return []
