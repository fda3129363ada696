"""Claim files: what a report prints, validated whole, with all mistakes in one message."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pulmoscope.errors import TableError, did_you_mean, near_names
from pulmoscope.evaluation.claims.formulas import FormulaError, parse_formula
from pulmoscope.evaluation.claims.printed import Printed, parse_printed
from pulmoscope.evaluation.claims.yaml_text import read_yaml_text

CLAIMS = Path(__file__).parents[2] / "recipes" / "claims"

#: The names that a claim may go by; other words for them are in ``_OTHER_WORDS``.
Says = Literal[
    "accuracy", "mean_ovr_accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "kappa",
    "mcc", "auc",
]  # fmt: skip
Average = Literal["macro", "weighted", "micro"]
_OTHER_WORDS = {
    "recall": "sensitivity", "tpr": "sensitivity", "precision": "ppv", "tnr": "specificity", "roc": "auc",
    "auroc": "auc", "roc_auc": "auc", "f1_score": "f1", "f1-score": "f1",
}  # fmt: skip
_SIGNED = ("kappa", "mcc")

Count = Annotated[int, Field(ge=0, le=10_000_000)]


def _number(text: str) -> str:
    parse_printed(text)
    return text


PrintedText = Annotated[str, AfterValidator(_number)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Claim(_Part):
    """One printed number.

    Attributes:
        says: What the report calls it, in our words.
        value: As printed: trailing zeros count, ``%`` means per cent.
        of: The class it is of; None for one over all classes.
        average: Over the classes, where the report says it.
        printed_as: The report's own word, where it differs.
    """

    says: Says
    value: PrintedText
    of: str | None = None
    average: Average | None = None
    printed_as: str | None = None

    @property
    def printed(self) -> Printed:
        """The value with its digits."""
        return parse_printed(self.value)

    @property
    def title(self) -> str:
        """What it is, on a line."""
        words = {"ppv": "PPV", "npv": "NPV", "f1": "F1", "auc": "AUC", "mcc": "MCC"}
        name = words.get(self.says, self.says.replace("_", " ").replace("ovr", "one-vs-rest"))
        return " ".join(one for one in (self.average, name, self.of) if one) + (
            f" (printed as {self.printed_as})" if self.printed_as else ""
        )

    @model_validator(mode="before")
    @classmethod
    def _other_words(cls, content: Any) -> Any:
        if isinstance(content, dict) and isinstance(content.get("says"), str):
            said = content["says"].strip().lower().replace(" ", "_")
            return content | {"says": _OTHER_WORDS.get(said, said)}
        return content

    @model_validator(mode="after")
    def _in_range(self) -> Claim:
        value = self.printed.value
        if value > 1 or value < (-1 if self.says in _SIGNED else 0):
            raise ValueError(f"value: expected a share, or per cent with %, such as 97.57%, got {self.value}")
        if self.of is not None and self.average is not None:
            raise ValueError("average: a number of one class is no average")
        return self


class ClaimTable(_Part):
    """The numbers of one model on one part of the data, which one confusion matrix must give.

    Attributes:
        name: Of the table.
        part: Of the data, such as test.
        classes: Pictures of each class; null where the report does not say.
        n: All pictures, where the classes' counts are not given.
        positive: The class that sensitivity, F1 and their kind are of where no class is named.
        confusion: Rows are the truth, in the order of ``classes``.
        confusion_from: Where it stands.
        claims: The numbers.
    """

    name: str
    part: str | None = None
    classes: dict[str, Count | None] = {}
    n: Count | None = None
    positive: str | None = None
    confusion: tuple[tuple[Count, ...], ...] | None = None
    confusion_from: str | None = None
    claims: tuple[Claim, ...] = Field(min_length=1)

    @property
    def supports(self) -> tuple[int, ...] | None:
        """Pictures of each class; None where one is not known."""
        if self.confusion is not None and (not self.classes or None in self.classes.values()):
            return tuple(sum(row) for row in self.confusion)
        counts = tuple(count for count in self.classes.values() if count is not None)
        return counts if counts and len(counts) == len(self.classes) else None

    @property
    def size(self) -> int | None:
        """All pictures; None where it is not known."""
        return sum(self.supports) if self.supports is not None else self.n

    @model_validator(mode="after")
    def _fits_together(self) -> ClaimTable:
        wrong = []
        names = list(self.classes)
        if len(names) == 1 or len(names) > 20:
            wrong.append(f"classes: expected two to twenty, got {len(names)}")
        if self.positive is not None and self.positive not in names:
            wrong.append(f"positive: no class {self.positive!r}{_near(self.positive, names)}")
        if self.positive is not None and len(names) != 2:
            wrong.append("positive: of two classes only")
        for place, claim in enumerate(self.claims):
            if claim.of is not None and claim.of not in names:
                wrong.append(f"claims.{place}.of: no class {claim.of!r}{_near(claim.of, names)}")
        if self.confusion is not None:
            size = len(self.confusion)
            if size != len(names) or any(len(row) != size for row in self.confusion):
                wrong.append(f"confusion: expected {len(names)} rows of {len(names)} counts")
            elif not sum(map(sum, self.confusion)):
                wrong.append("confusion: it counts no picture")
        counts = [count for count in self.classes.values() if count is not None]
        if self.supports is not None and not sum(self.supports) and self.confusion is None:
            wrong.append("classes: they hold no picture")
        if self.n is not None and len(counts) == len(names) and names and sum(counts) != self.n:
            wrong.append(f"n: the classes' counts sum to {sum(counts)}, got {self.n}")
        if self.n == 0:
            wrong.append("n: expected at least 1, or nothing where the report does not say")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class DataCounts(_Part):
    """Pictures of each class in a whole collection and in the parts it was split into.

    Attributes:
        name: Of the collection.
        whole: Class -> pictures; empty where not said.
        parts: Part -> class -> pictures.
    """

    name: str
    whole: dict[str, Count] = {}
    parts: dict[str, dict[str, Count]] = {}


class Series(_Part):
    """Many values of one metric, such as those of a grid search.

    Attributes:
        name: Of the series.
        says: The metric.
        part: Of the data they are said to be measured on.
        n: Pictures of that part.
        values: As printed.
        step: m where the report's values are all multiples of 1/m; instead of ``values``.
        count: How many values there are, with ``step``.
    """

    name: str
    says: Literal["accuracy"] = "accuracy"
    part: str | None = None
    n: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    values: tuple[PrintedText, ...] = ()
    step: Annotated[int, Field(ge=2, le=10_000_000)] | None = None
    count: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Series:
        if (self.step is None) == (len(self.values) < 2):
            raise ValueError("expected two or more values, or step (m of 1/m)")
        return self


class Statement(_Part):
    """A thing that a report says in several places.

    Attributes:
        about: What it is about.
        values: What the report says of it, once for each place.
    """

    about: str
    values: tuple[str, ...] = Field(min_length=1)


class ClaimFile(_Part):
    """All that is to be judged of a report.

    Attributes:
        name: Short name.
        title: Of the report.
        source: Where it can be read.
        note: What the reader of the audit should know.
        formulas: Metric -> its formula as printed, in TP, FP, TN and FN.
        data: Counts of the data.
        tables: One a model and part.
        series: Many values of one metric.
        statements: What is said more than once.
    """

    name: str
    title: str = ""
    source: str = ""
    note: str = ""
    formulas: dict[str, str] = {}
    data: tuple[DataCounts, ...] = ()
    tables: tuple[ClaimTable, ...] = ()
    series: tuple[Series, ...] = ()
    statements: tuple[Statement, ...] = ()

    @model_validator(mode="after")
    def _formulas(self) -> ClaimFile:
        wrong = []
        for name, formula in self.formulas.items():
            if _OTHER_WORDS.get(name, name) not in get_args(Says):
                wrong.append(f"formulas: no metric {name!r}{_near(name, [*get_args(Says), *_OTHER_WORDS])}")
            try:
                parse_formula(formula)
            except FormulaError as error:
                wrong.append(f"formulas.{name}: {error}")
        if not (self.tables or self.data or self.series or self.statements or self.formulas):
            wrong.append("there is nothing to judge: expected tables, data, series, statements or formulas")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def shipped_claims() -> list[str]:
    """Names of the claim files that come with Pulmoscope."""
    return sorted(path.stem for path in CLAIMS.glob("*.yaml"))


def read_claims(name_or_path: str | os.PathLike[str]) -> ClaimFile:
    """Read a claim file by its path or a shipped one's name.

    Raises:
        TableError: It cannot be read, or holds mistakes: all of them are named at once.
    """
    text = os.fspath(name_or_path)
    path = CLAIMS / f"{text}.yaml" if text in shipped_claims() and not Path(text).is_file() else Path(text)
    if not path.is_file():
        raise TableError(
            f"there is no claim file {text}",
            code="E_CLAIMS",
            expected=f"a YAML file, or one of {', '.join(shipped_claims())}",
        )
    return parse_claims(read_yaml_text(path), str(path))


def parse_claims(content: Any, where: str) -> ClaimFile:
    """Validate a mapping as a claim file; ``where`` names it in the error.

    Raises:
        TableError: All mistakes at once.
    """
    if not isinstance(content, dict):
        raise TableError(
            f"{where} is no claim file", code="E_CLAIMS", expected="a mapping of names to values"
        )
    try:
        return ClaimFile.model_validate(content)
    except ValidationError as error:
        found = error.errors()
        # Of a list whose entries are wrong it is also said that it is empty.
        told = [one for one in found if one["type"] != "too_short" or not any(
            other is not one and other["loc"][: len(one["loc"])] == one["loc"] for other in found)]  # fmt: skip
        raise TableError(
            f"{where}: {'; '.join(map(_mistake, told))}",
            code="E_CLAIMS",
            remedy="docs/claims.md has every field, and a file to start from",
        ) from error


def _mistake(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = [name for model in (ClaimFile, ClaimTable, Claim, DataCounts, Series, Statement)
                 for name in model.model_fields]  # fmt: skip
        return f"{place}: no such field{_near(str(error['loc'][-1]), known)}"
    if error["type"] == "value_error":
        said = str(error["ctx"]["error"])
        return f"{place}: {said}" if place else said
    if error["type"] == "missing":
        return f"{place}: needed, and not there"
    if error["type"] == "too_short":
        return f"{place}: empty, at least one is needed"
    return f"{place}: {error['msg'].lower()}, got {str(error['input'])[:60]!r}"


def _near(name: str, known: list[str]) -> str:
    return did_you_mean(near_names(name, known), before=", ")
