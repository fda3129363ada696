"""The page of a claims audit: every printed number with its verdict, in one HTML file without scripts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulmoscope.evaluation.claims.audit import Audit
from pulmoscope.evaluation.claims.text import show_interval, show_number, summary
from pulmoscope.evaluation.claims.verdicts import MEANINGS, Verdict
from pulmoscope.files import write_json, write_text
from pulmoscope.report.page import template


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One number on the page.

    Attributes:
        what: What the report calls it.
        printed: As printed.
        kind: The verdict.
        sentence: Why.
        instead: What it should be, or is under its name; empty where that cannot be told or there is no alarm.
        interval: 95% interval; empty where there is none.
        alarm: Whether something is wrong.
    """

    what: str
    printed: str
    kind: str
    sentence: str
    instead: str
    interval: str
    alarm: bool


def write_claims(folder: str | os.PathLike[str], audit: Audit) -> Path:
    """Write ``claims.json`` and the page ``claims.html``, whose path is returned, each whole or not at all.

    Raises:
        StorageError: They cannot be written.
    """
    target = Path(folder)
    write_json(target / "claims.json", audit.as_dict())
    return write_claims_page(target / "claims.html", audit)


def write_claims_page(path: str | os.PathLike[str], audit: Audit) -> Path:
    """Write the page to ``path``. Text is escaped, and its content policy forbids scripts and any network.

    Raises:
        StorageError: It cannot be written.
    """
    groups: dict[str, list[ClaimRow]] = {}
    for one in audit.verdicts:
        groups.setdefault(one.where, []).append(_row(one))
    text = template("claims.html.j2").render(
        file=audit.file,
        summary=summary(audit),
        alarms=[(one.where, _row(one)) for one in audit.alarms],
        groups=groups,
        classes=_classes(audit),
        meanings=MEANINGS,
    )
    write_text(path, text)
    return Path(path)


def _row(one: Verdict) -> ClaimRow:
    # Counts of pictures and statements have no unit that a rate could be shown in.
    instead = show_number(one.computed, one.printed) if one.alarm and one.computed and one.interval else ""
    return ClaimRow(
        what=one.what,
        printed=one.printed,
        kind=one.kind,
        sentence=one.sentence,
        instead=instead,
        interval="" if one.interval is None else show_interval(one.interval, one.printed),
        alarm=one.alarm,
    )


def _classes(audit: Audit) -> dict[str, str]:
    """Table -> its class counts in words."""
    found = {}
    for table in audit.file.tables:
        supports: Sequence[int] = table.supports or ()
        said = ", ".join(f"{name} {count:,}" for name, count in zip(table.classes, supports, strict=False))
        if table.confusion is not None:
            said += f"; a confusion matrix ({table.confusion_from or 'printed'})"
        if said:
            found[table.name] = said
        elif table.n is not None:
            found[table.name] = f"{table.n:,} pictures, class counts not given"
        else:
            found[table.name] = "number of pictures not given"
    return found
