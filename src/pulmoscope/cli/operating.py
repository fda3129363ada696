"""``pulmoscope operating``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def operating(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_TABLE", help="A run's folder, or a predictions table with val and test."
        ),
    ],
    positive: Annotated[
        str | None, typer.Option(help="The class that is called; each against the rest by default.")
    ] = None,
    target_sensitivity: Annotated[
        list[float] | None, typer.Option(help="The best specificity with at least this; repeatable.")
    ] = None,
    target_specificity: Annotated[
        list[float] | None, typer.Option(help="The best sensitivity with at least this; repeatable.")
    ] = None,
    youden: Annotated[bool, typer.Option("--youden", help="The largest sensitivity + specificity.")] = False,
    costs: Annotated[
        str | None,
        typer.Option(metavar="MISS:ALARM", help="The least cost at --prevalence, as in 10:1."),
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="Share of diseased where the test will be used: counts a thousand.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Which, where the table holds several models.")] = None,
    chosen_on: Annotated[str, typer.Option(help="The split that chooses the thresholds.")] = "val",
    judged_on: Annotated[str, typer.Option(help="The split that judges them.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print thresholds and rates as JSON.")] = False,
) -> None:
    """Choose thresholds on validation, fix them, and judge them on test; 0.95, 0.95 and Youden by default."""
    import json

    from pulmoscope.evaluation import read_predictions
    from pulmoscope.evaluation.operating import Rule
    from pulmoscope.evaluation.operating_table import DEFAULT_RULES, operating_report

    rules = [Rule(kind="sensitivity", target=one) for one in target_sensitivity or ()]
    rules += [Rule(kind="specificity", target=one) for one in target_specificity or ()]
    rules += [Rule(kind="youden")] if youden else []
    rules += [Rule(kind="cost", costs=_costs(costs), prevalence=prevalence)] if costs is not None else []
    if run.is_dir():
        from pulmoscope.workflow import Run

        table = Run(run).predictions
    else:
        table = read_predictions(run)
    found = operating_report(
        table if model is None else table.of_model(model),
        positive=positive,
        rules=rules or DEFAULT_RULES,
        prevalence=prevalence,
        chosen_on=chosen_on,
        judged_on=judged_on,
    )
    if as_json:
        print(json.dumps(found.as_dict(), allow_nan=False))
    else:
        print(f"{found}\n\nResearch use only.")


def _costs(text: str) -> tuple[float, float]:
    from pulmoscope.errors import PulmoscopeError

    try:
        miss, alarm = (float(part) for part in text.split(":"))
    except ValueError:
        raise PulmoscopeError(
            f"{text!r} are no costs", code="E_USAGE", expected="MISS:ALARM, as in 10:1"
        ) from None
    return miss, alarm
