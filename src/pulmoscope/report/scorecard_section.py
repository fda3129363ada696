"""The report's sections on explanation: whether maps can be believed, and a few of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulmoscope.errors import RunError
from pulmoscope.report.figures.scorecard import draw_cascade, draw_gains, draw_places, place_measures
from pulmoscope.report.numbers import show_rate
from pulmoscope.report.section import Section
from pulmoscope.report.style import new_figure
from pulmoscope.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_THUMBNAILS = 4
_OPPONENTS = {"elsewhere": "laid elsewhere", "centred": "centred blob"}
_MEASURES = {"deletion": "Deletion", "insertion": "Insertion", "road": "ROAD"}


def scorecard_section(folder: Path) -> Section | None:
    """What ``scorecard/scorecard.json`` in a run's folder says; None where there is none.

    Raises:
        RunError: The file is torn.
    """
    path = folder / "scorecard" / "scorecard.json"
    return as_section(_read(path)) if path.is_file() else None


def as_section(found: Mapping[str, Any]) -> Section:
    """The content of ``scorecard.json`` as verdicts, figures and tables."""
    captions, figures = scorecard_figures(found)
    return Section(
        tables=scorecard_tables(found),
        sentences=(
            f"Explanation maps were tested on {sum(found['pictures'].values())} pictures of the {found['split']} part "
            f"({found['groups']} groups). Of each picture the class that the model gives was explained.",
            *(row["sentence"] for row in found["methods"]),
            *(one for row in found["methods"] if row["usable"] for one in row["remarks"]),
        ),
        captions=captions,
        figures=figures,
    )


def explain_section(folder: Path) -> Section | None:
    """Some pictures of ``explain/explain.json`` in a run's folder; None where there is none.

    Raises:
        RunError: The file is torn.
    """
    path = folder / "explain" / "explain.json"
    if not path.is_file():
        return None
    found = _read(path)
    chosen = [one for one in _across(found) if (path.parent / one["overlay"]).is_file()][:_THUMBNAILS]
    if not chosen:
        return None
    names = ", ".join(one["name"] for one in found["methods"])
    told = "; ".join(
        f"No. {one['number']}: {one['label'] or 'unknown'}, called {one['predicted']}" for one in chosen
    )
    return Section(
        tables=(),
        sentences=(
            f"{len(found['pictures'])} pictures were explained by {names}; explain/gallery.html shows them all. "
            "A map shows where evidence was found, not that the finding is there.",
        ),
        captions={
            "explanation_maps": (
                f"The picture and its map. {told}.",
                f"Radiographs with maps laid over them. {told}.",
            )
        },
        figures={"explanation_maps": partial(_thumbnails, [path.parent / one["overlay"] for one in chosen])},
    )


def scorecard_figures(
    found: Mapping[str, Any],
) -> tuple[dict[str, tuple[str, str]], dict[str, Callable[[], Figure]]]:
    """Captions and drawing functions, by figure."""
    numbers = "; ".join(
        f"{row['title']} {show_rate(row['randomised'][-1]['spearman'], 2)}" for row in found["methods"]
    )
    captions = {
        "scorecard_gains": (
            "Does the model use what the map shows? A map's pixels are taken away (deletion, ROAD) or put back "
            "(insertion), the highest first. Right of 0 the map is better than one that knows nothing of the model; "
            "95% intervals over groups.",
            "Gains of each method in deletion, insertion and ROAD; the same numbers stand in the table.",
        ),
        "scorecard_cascade": (
            "Does the map depend on what the network has learnt? Weights are made random from the head down. A line "
            "that stays high belongs to a map that shows the picture, not the model; maps that vanish are left out.",
            f"Rank correlation with the true map; with all layers random: {numbers}.",
        ),
    }
    figures: dict[str, Callable[[], Figure]] = {
        "scorecard_gains": partial(draw_gains, found),
        "scorecard_cascade": partial(draw_cascade, found),
    }
    if place_measures(found):
        captions["scorecard_places"] = (
            "Does the map lie where it should? This judges map and model together: a true map of a model that looks at "
            "a marker lies on the marker.",
            "Where the maps lie beside what chance gives; the same numbers stand in the table.",
        )
        figures["scorecard_places"] = partial(draw_places, found)
    return captions, figures


def scorecard_tables(found: Mapping[str, Any]) -> tuple[Table, ...]:
    """Verdicts with the checks, the gains, the places and the agreement between methods."""
    rows = found["methods"]
    tables = [
        Table(
            caption="Each method on this model: rank correlations with the true map, 95% intervals over groups",
            header=["Method", "May be used", "Head random", "All layers random", "Maps then empty", "Empty maps"],
            rows=[
                [
                    row["title"], "yes" if row["usable"] else "no", show_rate(row["randomised"][0]["spearman"], 2),
                    show_rate(row["randomised"][-1]["spearman"], 2), show_rate(row["randomised"][-1]["vanished"], 2),
                    show_rate(row["empty"], 2),
                ]
                for row in rows
            ],
        ),
        Table(
            caption="Gain in probability over maps that know nothing of the model; above 0 the map is better",
            header=["Method", *(f"{name}, {who}" for who in _OPPONENTS.values() for name in _MEASURES.values())],
            rows=[
                [row["title"], *(show_rate(row["gains"][who][key]) for who in _OPPONENTS for key in _MEASURES)]
                for row in rows
            ],
        ),
    ]  # fmt: skip
    places = place_measures(found)
    if places:
        tables.append(
            Table(
                caption="Where the maps lie, beside chance",
                header=["Method", *(text for title in places for text in (title, "by chance"))],
                rows=[[row["title"], *_place_cells(row, list(places.values()))] for row in rows],
            )
        )
    tables += _agreement_tables(rows)
    return tuple(tables)


def _place_cells(row: Mapping[str, Any], picks: Sequence[Callable[[Mapping[str, Any]], Any]]) -> list[str]:
    cells = []
    for pick in picks:
        one = pick(row)
        cells += (
            ["", ""] if one is None else [show_rate(one["value"], 2), show_rate(one["chance"]["value"], 2)]
        )
    return cells


def _agreement_tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    found = []
    if len(rows) > 1:
        found.append(
            Table(
                caption="Rank correlation between the methods' maps of the same pictures",
                header=["Method", *(row["title"] for row in rows)],
                rows=[
                    [
                        row["title"],
                        *(
                            show_rate(row["agreement"][one["method"]]["spearman"]["value"], 2)
                            if one["method"] in row["agreement"] else ""
                            for one in rows
                        ),
                    ]
                    for row in rows
                ],
            )
        )  # fmt: skip
    others = {"other": "Another training", "shuffled": "Trained on shuffled labels"}
    there = {key: title for key, title in others.items() if any(row[key] for row in rows)}
    if there:
        found.append(
            Table(
                caption="Rank correlation with the maps of other networks",
                header=["Method", *there.values()],
                rows=[
                    [row["title"], *(show_rate(row[key]["spearman"], 2) if row[key] else "" for key in there)]
                    for row in rows
                ],
            )
        )
    return found


def _across(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pictures of the explanation, one a gallery in turn."""
    by_number = {one["number"]: one for one in found["pictures"]}
    lists = [one["pictures"] for one in found["galleries"]]
    order = [
        numbers[place]
        for place in range(max(map(len, lists), default=0))
        for numbers in lists
        if place < len(numbers)
    ]
    return [by_number[one] for one in dict.fromkeys(order) if one in by_number]


def _thumbnails(paths: Sequence[Path]) -> Figure:
    from matplotlib.image import imread

    pictures = [imread(path) for path in paths]
    columns = 2 if len(pictures) > 1 else 1
    lines = -(-len(pictures) // columns)
    shape = max(one.shape[0] / one.shape[1] for one in pictures)
    figure = new_figure(9.4, 0.2 + lines * 9.4 / columns * shape)
    for axes, picture in zip(figure.subplots(lines, columns, squeeze=False).flat, pictures, strict=False):
        axes.imshow(picture)
    for axes in figure.axes:
        axes.set_axis_off()
    return figure


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path} is torn: {error}", remedy="make it again") from error
