"""``pulmoscope plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pulmoscope.evaluation.learning_curve import LearningCurve


def plan(
    sensitivity: Annotated[float | None, typer.Option(help="Expected, in [0, 1].")] = None,
    specificity: Annotated[float | None, typer.Option(help="Expected, in [0, 1].")] = None,
    half_width: Annotated[float, typer.Option(help="Half the wanted width of both intervals.")] = 0.05,
    prevalence: Annotated[float | None, typer.Option(help="Share of diseased among the pictures.")] = None,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    assurance: Annotated[float, typer.Option(help="Chance to get enough of both kinds.")] = 0.9,
    learning_curve: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of trainings on subsets, columns n and error: what would more pictures bring?"
        ),
    ] = None,
    at: Annotated[
        list[float] | None, typer.Option(help="A size to foretell the error at; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Say how many pictures a wanted interval needs, and what a learning curve foretells."""
    import json

    from pulmoscope.errors import PulmoscopeError
    from pulmoscope.evaluation.planning import plan_study

    asked = {"--sensitivity": sensitivity, "--specificity": specificity, "--prevalence": prevalence}
    missing = [name for name, value in asked.items() if value is None]
    if missing and (learning_curve is None or len(missing) < len(asked)):
        raise PulmoscopeError(
            "the plan cannot be made", code="E_USAGE", expected=f"also {', '.join(missing)}",
            remedy="or give --learning-curve FILE alone",
        )  # fmt: skip
    content: dict[str, Any] = {}
    texts = []
    if not missing:
        made = plan_study(
            sensitivity=float(sensitivity or 0), specificity=float(specificity or 0), half_width=half_width,
            prevalence=float(prevalence or 0), level=level, assurance=assurance,
        )  # fmt: skip
        content |= made.as_dict()
        texts.append(str(made))
    if learning_curve is not None:
        curve = _read_curve(learning_curve, level)
        foretold = [(size, *curve.error_at(size)) for size in _sizes(at, curve)]
        content["learning_curve"] = curve.as_dict() | {
            "foretold": [
                dict(zip(("n", "error", "low", "high"), map(_or_none, row), strict=True)) for row in foretold
            ]
        }
        texts.append(_curve_text(curve, foretold))
    print(json.dumps(content, allow_nan=False) if as_json else "\n\n".join(texts))


def _read_curve(path: Path, level: float) -> LearningCurve:
    from pulmoscope.errors import TableError
    from pulmoscope.evaluation.cells import numbers
    from pulmoscope.evaluation.learning_curve import fit_learning_curve
    from pulmoscope.evaluation.reading import read_table

    table = read_table(path)
    lacking = [name for name in ("n", "error") if name not in table]
    if lacking:
        raise TableError(
            f"{path} has no column {' and no column '.join(lacking)}", expected="the columns n and error",
            got=", ".join(map(str, table.columns)),
        )  # fmt: skip
    try:
        return fit_learning_curve(numbers(table["n"]), numbers(table["error"]), level=level)
    except ValueError as error:
        raise TableError(f"{path}: {error}", expected="n above 0 and error in [0, 1] in every row") from None


def _sizes(at: list[float] | None, curve: LearningCurve) -> list[float]:
    from pulmoscope.errors import PulmoscopeError

    if at and not all(0 < size < float("inf") for size in at):
        raise PulmoscopeError("a size is no number of pictures", code="E_USAGE", expected="--at above 0")
    return at or ([2 * curve.largest, 4 * curve.largest] if not curve.reason else [])


def _curve_text(curve: LearningCurve, foretold: list[tuple[float, float, float, float]]) -> str:
    if curve.reason:
        return f"learning curve undefined: {curve.reason}"
    lines = [
        f"learning curve of {curve.points} trainings: error = {curve.floor:.4f} + {curve.scale:.4g} n^-{curve.rate:.3f}"
    ]
    lines += [
        f"  {size:,.0f} pictures: {value:.4f} ({low:.4f}-{high:.4f})"
        + (", beyond what was tried" if size > curve.largest else "")
        for size, value, low, high in foretold
    ]
    return "\n".join(lines)


def _or_none(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124 - a NaN is not itself
