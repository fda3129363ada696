"""The sections of the report's page that other modules make, in their order; one that has nothing is left out."""

from __future__ import annotations

from dataclasses import dataclass

from pulmoscope.report.calibration_section import calibration_section
from pulmoscope.report.decision_section import decision_section
from pulmoscope.report.external_section import external_section
from pulmoscope.report.inputs import ReportInputs
from pulmoscope.report.operating_section import operating_section, stored_points_section
from pulmoscope.report.scorecard_section import explain_section, scorecard_section
from pulmoscope.report.section import Section
from pulmoscope.report.subgroup_section import subgroup_section
from pulmoscope.report.uncertainty_section import uncertainty_section


@dataclass(frozen=True, kw_only=True, eq=False)
class PageSection:
    """One of them with its place on the page.

    Attributes:
        anchor: Its id.
        title: Its heading.
        content: What it shows.
    """

    anchor: str
    title: str
    content: Section


def page_sections(inputs: ReportInputs) -> tuple[PageSection, ...]:
    """What the run's folder has the data for."""
    judged = inputs.judged()
    made: list[tuple[str, str, Section | None]] = [
        ("external", "External validation", external_section(inputs.metrics)),
        ("kept", "The model's operating points here", stored_points_section(inputs.metrics)),
    ]
    if judged is not None:
        made.append(
            ("calibration", "Calibration", calibration_section(judged, inputs.models, part=inputs.part))
        )
        if inputs.part == "test":
            tables = [model.table for model in inputs.models]
            made.append(("operating", "Operating points", operating_section(tables)))
        made.append(("decision", "Decision curves", decision_section(judged)))
        if inputs.part == "test" and inputs.predictions is not None:
            made.append(("uncertainty", "Uncertainty", uncertainty_section(inputs.predictions)))
        if inputs.cohort is not None:
            made.append(("subgroups", "Subgroups", subgroup_section(judged, inputs.cohort.frame)))
    made.append(("maps", "Explanation maps", explain_section(inputs.folder)))
    made.append(("scorecard", "Can the maps be believed?", scorecard_section(inputs.folder)))
    return tuple(
        PageSection(anchor=anchor, title=title, content=content)
        for anchor, title, content in made
        if content is not None
    )
