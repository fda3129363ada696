"""``pulmoscope evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from pulmoscope.workflow.external import External

_RESULT = "evaluation.json"


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="A run's folder.")] = None,
    cohort: Annotated[Path | None, typer.Option(help="Judge the run on this other cohort.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Judge a predictions table (CSV or Parquet) that any program wrote.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="val or test; a part of another cohort, which is judged whole by default."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json, or of an external validation's results."),
    ] = None,
    intervals: Annotated[
        str,
        typer.Option(
            help="default (Wilson; joined for means over classes; AUROC bootstrap), exact (Clopper-Pearson; joined; "
            "DeLong), or patient-bootstrap for all."
        ),
    ] = "default",
    class_map: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="MODEL=COHORT,...",
            help="Sum classes of the model to one of the other cohort, as in covid=pneumonia,viral=pneumonia.",
        ),
    ] = None,
    allow_leak: Annotated[
        bool,
        typer.Option("--allow-leak", help="Judge on a cohort that shares pictures with the training data."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Judge a run, a run on another cohort beside its internal test, or somebody's predictions."""
    import json

    from pulmoscope.errors import RunError

    if (run is None) == (predictions is None):
        raise RunError(
            "nothing to judge, or too much", code="E_USAGE", expected="either RUN or --predictions FILE"
        )
    if class_map is not None and cohort is None:
        raise RunError("--map needs --cohort", code="E_USAGE", expected="evaluate RUN --cohort DIR --map A=B")
    if out is not None and cohort is None:
        _refuse(out)
    from pulmoscope.evaluation import IntervalMethod

    method = cast(IntervalMethod, intervals)  # evaluate() refuses any other with one line
    external, leaked = None, False
    if predictions is not None:
        from pulmoscope.evaluation import evaluate as measure
        from pulmoscope.evaluation import read_predictions

        table = read_predictions(predictions, at_least=2)
        # Rows that chose the model must not be mixed with those that judge it.
        part = split or ("test" if "test" in table.splits else None)
        evaluation = measure(table, split=part, intervals=method)
    elif cohort is not None:
        from pulmoscope.cohort import Cohort
        from pulmoscope.workflow import Run, evaluate_external
        from pulmoscope.workflow.summary import is_leaked

        judged = Run(run or "")
        external = evaluate_external(
            judged,
            Cohort.read(cohort),
            name=cohort.resolve().name,
            split=split,
            out=out,
            allow_leak=allow_leak,
            intervals=method,
            class_map=None if class_map is None else _pairs(class_map),
            progress=True,
        )
        evaluation = external.evaluation
        leaked = is_leaked(Cohort.read(external.folder)) or is_leaked(judged.cohort)
    else:
        from pulmoscope.workflow import Run
        from pulmoscope.workflow.summary import is_leaked

        judged = Run(run or "")
        evaluation = judged.evaluate(split or "test", intervals=method)
        leaked = is_leaked(judged.cohort)
    mark = {"leaked_split": True} if leaked else {}
    if out is not None and external is None:
        _write(out, evaluation.as_dict() | mark)
    if as_json:
        content = evaluation.as_dict() if external is None else external.as_dict()
        print(json.dumps(content | mark, allow_nan=False))
        return
    if leaked:
        from pulmoscope.workflow.summary import LEAKED

        print(LEAKED)
    print(evaluation)
    if external is not None:
        _print_external(external)
    elif out is not None:
        print(f"\nwritten: {out / _RESULT}")
    print("\nResearch use only.")


def _print_external(external: External) -> None:
    if external.transport is not None:
        from pulmoscope.evaluation.transport_words import transport_text

        print(f"\nInternal test and external cohort\n\n{transport_text(external.transport)}")
    if external.points:
        from pulmoscope.evaluation.operating_table import points_text

        print(f"\nThe model's operating points\n\n{points_text(external.points, 'external')}")
    print(f"\nreport: {external.folder / 'report.html'}")


def _refuse(out: Path) -> None:
    """An evaluation replaces an earlier one and nothing else."""
    from pulmoscope.workflow.results_folder import refuse_other_content, refuse_run_or_cohort

    refuse_run_or_cohort(out)
    refuse_other_content(out, _RESULT, what="an evaluation")


def _write(out: Path, content: dict[str, Any]) -> None:
    from pulmoscope.files import exclusive, write_json

    with exclusive(out):
        write_json(out / _RESULT, {"use": "Research use only. Not a medical device."} | content)


def _pairs(text: str) -> dict[str, str]:
    from pulmoscope.errors import LabelError

    pairs: dict[str, str] = {}
    for item in text.split(","):
        name, equals, parent = (part.strip() for part in item.partition("="))
        if not (name and equals and parent) or name in pairs:
            raise LabelError(
                f"{text!r} is no map of classes", code="E_USAGE",
                expected="MODEL=COHORT,... with each class of the model once, as in covid=pneumonia,viral=pneumonia",
            )  # fmt: skip
        pairs[name] = parent
    return pairs
