"""``pulmoscope claims``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def claims(
    file: Annotated[str, typer.Argument(metavar="FILE.yaml", help="A claim file, or a shipped one's name.")],
    out: Annotated[Path | None, typer.Option(help="Folder for claims.json and the page claims.html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Say of each number that a report prints which definition fits it, its interval, or that no matrix can give it."""
    import json

    from pulmoscope.evaluation.claims import audit_claims

    audit = audit_claims(file)
    page = None
    if out is not None:
        from pulmoscope.report.claims_page import write_claims

        page = write_claims(out, audit)
    if as_json:
        print(json.dumps(audit.as_dict(), ensure_ascii=False, allow_nan=False))
        return
    print(audit)
    if page is not None:
        print(f"page: {page}")
    print("Research use only.")
