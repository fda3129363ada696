"""``pulmoscope doctor``."""

from __future__ import annotations

import typer


def doctor() -> None:
    """Print versions, device, threads, caches and weights, and the command that mends what is missing."""
    from pulmoscope.workflow.doctor import diagnose

    missing = 0
    for what, state, remedy in diagnose():
        print(f"{what:<44} {state}")
        if remedy is not None:
            missing += 1
            print(f"{'':<44} to mend: {remedy}")
    print("nothing is missing" if not missing else f"{missing} to mend")
    if missing:
        raise typer.Exit(1)
