"""The claims auditor: every number of a claim file, judged."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Any

from pulmoscope.evaluation.claims.areas import judge_areas
from pulmoscope.evaluation.claims.by_counts import judge_with_counts
from pulmoscope.evaluation.claims.by_matrix import check_matrix, judge_with_matrix
from pulmoscope.evaluation.claims.by_size import judge_without_counts
from pulmoscope.evaluation.claims.counts_audit import (
    judge_data,
    judge_formulas,
    judge_series,
    judge_statement,
)
from pulmoscope.evaluation.claims.readings import proper
from pulmoscope.evaluation.claims.schema import ClaimFile, ClaimTable, read_claims
from pulmoscope.evaluation.claims.verdicts import MEANINGS, Verdict


@dataclass(frozen=True, kw_only=True)
class Audit:
    """A claim file with a verdict for each of its numbers.

    Attributes:
        file: What was judged.
        verdicts: In the order: tables, series, data, formulas, statements.
    """

    file: ClaimFile
    verdicts: tuple[Verdict, ...]

    @property
    def alarms(self) -> tuple[Verdict, ...]:
        """The verdicts that say that something is wrong."""
        return tuple(one for one in self.verdicts if one.alarm)

    @property
    def counts(self) -> dict[str, int]:
        """Verdict -> how many there are, all kinds named."""
        found = Counter(one.kind for one in self.verdicts)
        return {kind: found[kind] for kind in MEANINGS}

    def at(self, where: str) -> tuple[Verdict, ...]:
        """The verdicts of one table or part."""
        return tuple(one for one in self.verdicts if one.where == where)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.file.name,
            "title": self.file.title,
            "source": self.file.source,
            "use": "Research use only. Not a medical device.",
            "counts": self.counts,
            "alarms": len(self.alarms),
            "verdicts": [one.as_dict() for one in self.verdicts],
        }

    def __str__(self) -> str:
        from pulmoscope.evaluation.claims.text import as_text

        return as_text(self)


def audit_claims(claims: ClaimFile | str | os.PathLike[str]) -> Audit:
    """Judge every number of a claim file.

    Args:
        claims: The file, its path, or a shipped one's name.

    Raises:
        TableError: The file cannot be read or holds mistakes.
    """
    file = claims if isinstance(claims, ClaimFile) else read_claims(claims)
    verdicts = [
        *(one for table in file.tables for one in judge_table(table)),
        *(one for series in file.series for one in judge_series(series, file)),
        *(one for data in file.data for one in judge_data(data)),
        *judge_formulas(file),
        *(judge_statement(statement) for statement in file.statements),
    ]
    return Audit(file=file, verdicts=tuple(verdicts))


def judge_table(table: ClaimTable) -> list[Verdict]:
    """Every claim of one table, in its order."""
    places = range(len(table.claims))
    areas = [place for place in places if table.claims[place].says == "auc"]
    others = [place for place in places if place not in areas]
    if table.supports is None:
        return [judge_without_counts(claim, table) for claim in table.claims]
    unread = [place for place in others if not proper(table.claims[place], table)]
    read = [place for place in others if place not in unread]
    found: dict[int, Verdict] = {place: _unread(table, place) for place in unread}
    if table.confusion is not None:
        matrix, disagrees = check_matrix(table)
        found |= {place: judge_with_matrix(table.claims[place], table, matrix) for place in read}
        found |= judge_areas(table, areas, (), matrix)
        before = [] if disagrees is None else [disagrees]
        return before + [found[place] for place in places]
    settled = judge_with_counts(table, read)
    found |= settled.verdicts
    found |= judge_areas(table, areas, settled.wanted, None, settled.confusion)
    return [found[place] for place in places]


def _unread(table: ClaimTable, place: int) -> Verdict:
    claim = table.claims[place]
    return Verdict(
        where=table.name, what=claim.title, printed=claim.value, kind="cannot be judged",
        sentence="No definition of this name and average is known here.",
    )  # fmt: skip
