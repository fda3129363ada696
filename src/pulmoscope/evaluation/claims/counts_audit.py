"""What the counts of the data, a series of values, a formula or a repeated statement give away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from pulmoscope.evaluation.claims.formulas import FORMULAS, formula_of
from pulmoscope.evaluation.claims.known import Origin, recognise
from pulmoscope.evaluation.claims.printed import Printed, parse_printed
from pulmoscope.evaluation.claims.schema import ClaimFile, DataCounts, Series, Statement
from pulmoscope.evaluation.claims.verdicts import Kind, Verdict

_NAMES = {"recall": "sensitivity", "tpr": "sensitivity", "precision": "ppv", "tnr": "specificity"}
_WORDS = {"ppv": "precision (PPV)", "npv": "NPV", "f1": "F1", "sensitivity": "sensitivity (recall)"}


def judge_formulas(file: ClaimFile) -> list[Verdict]:
    """Each printed formula: is it that of the metric it stands for?"""
    found = []
    for name, text in file.formulas.items():
        metric = _NAMES.get(name, name)
        actual = formula_of(text)
        own = FORMULAS.get(metric)
        kind: Kind
        if actual == metric:
            kind, sentence = "consistent", f"It is the formula of {_words(metric)}."
        elif actual is not None:
            kind = "relabelled"
            right = f"; that of {_words(metric)} is {own}" if own else ""
            sentence = f"It is the formula of {_words(actual)}, not of {_words(metric)}{right}."
        else:
            kind = "impossible" if own else "cannot be judged"
            sentence = (
                f"It is not the formula of {_words(metric)}, which is {own}, nor of another metric."
                if own
                else "It is the formula of no metric that is known here."
            )
        found.append(
            Verdict(where="formulas", what=name, printed=text, kind=kind, sentence=sentence,
                    fits=(actual,) if actual else ())
        )  # fmt: skip
    return found


def judge_data(data: DataCounts) -> list[Verdict]:
    """Do the parts sum to the whole, and whose counts are they?"""
    found = []
    for name, whole in data.whole.items():
        counts = [part[name] for part in data.parts.values() if name in part]
        if len(counts) < 2:
            continue
        total, listed = sum(counts), " + ".join(map(str, counts))
        same = total == whole
        found.append(
            Verdict(
                where=data.name, what=f"pictures of {name}", printed=str(whole),
                kind="consistent" if same else "contradiction",
                sentence=f"The parts sum to it: {listed}." if same else
                f"The parts sum to {total} ({listed}), not to {whole}.",
                computed=(float(total), float(total)),
            )
        )  # fmt: skip
    named = {"whole": data.whole, **data.parts}
    origins = [(part, origin) for part, counts_of in named.items() if (origin := recognise(counts_of))]
    if origins:
        # The part in which most classes agree says it for all.
        found.append(_judge_origin(data.name, *min(origins, key=lambda one: len(one[1].other))))
    return found


def _judge_origin(where: str, part: str, origin: Origin) -> Verdict:
    """Classes that a known collection has exactly so many pictures of."""
    listed = ", ".join(f"{name} {count:,} is its {finding}" for name, (finding, count) in origin.same.items())
    about = origin.collection.about
    whose = f"{origin.collection.name}, {origin.part} part"
    sentence = f"Counts of {whose}, to the last picture: {listed}. They are {about}."
    # A class that is COVID-19 by name, in a collection from before it, is something else.
    renamed = [name for name in origin.same if _is_covid(name)]
    if renamed:
        kind: Kind = "relabelled"
        sentence += f" So {renamed[0]} is {origin.same[renamed[0]][0]}."
    elif origin.other:
        kind = "confounded"
        other = ", ".join(origin.other)
        sentence += (
            f" Those of {other} come from elsewhere: what tells the origins apart passes for the class."
        )
    else:
        kind = "consistent"
    printed = " / ".join(f"{count:,}" for _, count in origin.same.values())
    return Verdict(where=where, what=f"class counts, {part}", printed=printed, kind=kind, sentence=sentence)


def _is_covid(name: str) -> bool:
    plain = name.lower().replace("-", " ").replace("_", " ")
    return "covid" in plain and not plain.startswith(("non", "no ", "not "))


def judge_series(series: Series, file: ClaimFile) -> list[Verdict]:
    """How many pictures are the values multiples of, and is that the size of the part?"""
    values = [parse_printed(text) for text in series.values]
    step = series.step
    if step is None:
        limit = series.n or 1_000
        step = next(
            (m for m in range(2, limit + 1) if all(_multiple(*one.rounded, m) is not None for one in values)),
            None,
        )
    printed = f"{len(values)} values" if values else f"multiples of 1/{step}"
    count = len(values) or series.count
    where, what = series.name, f"{series.says} of many settings"
    n = series.n
    kind: Kind
    if step is None:
        kind = "impossible" if n else "cannot be judged"
        sentence = f"They are not all whole numbers of {n or 'up to 1,000'} pictures."
    elif n is None or n == step:
        kind, sentence = "consistent", f"They are whole numbers of {step} pictures."
    elif n % step:
        kind = "impossible"
        sentence = (
            f"They are multiples of 1/{step}, which {n} pictures cannot give: {n} is no multiple of {step}."
        )
    elif values and not _telling(values, step, n):
        kind, sentence = "consistent", f"They are whole numbers of {n} pictures."
    else:
        ratio = n // step
        kind = "contradiction"
        sentence = (
            f"They are multiples of 1/{step}, but {series.part or 'the part'} has {n} pictures: the counts of right "
            f"answers would all be multiples of {ratio}"
        )
        sentence += f", which chance gives {count} times with {ratio**-count:.0e}" if count else ""
        sentence += (
            f". So they were measured on {step} pictures or a divisor of that, not on {n}, and one picture moves the "
            f"{series.says} by {100 / step:.2f} points or more."
        )
    found = [Verdict(where=where, what=what, printed=printed, kind=kind, sentence=sentence)]
    if step is not None and kind in ("contradiction", "impossible"):
        found += _apart(series, file, step)
    return found


def _apart(series: Series, file: ClaimFile, step: int) -> list[Verdict]:
    """Accuracies of tables on the same part that are no multiples of the series' step."""
    found = []
    for table in file.tables:
        for claim in table.claims:
            same = table.part is not None and table.part == series.part
            if not same or claim.says != series.says or claim.of is not None:
                continue
            if _multiple(*claim.printed.rounded, step) is None:
                near = math.floor(claim.printed.value * step)
                found.append(
                    Verdict(
                        where=series.name, what=f"{claim.title} of {table.name}", printed=claim.value,
                        kind="contradiction",
                        sentence=f"It is no multiple of 1/{step} ({near}/{step} is "
                        f"{claim.printed.show(Fraction(near, step))}, {near + 1}/{step} is "
                        f"{claim.printed.show(Fraction(near + 1, step))}), so the series was not measured on the "
                        f"pictures of this table.",
                    )
                )  # fmt: skip
    return found


def judge_statement(statement: Statement) -> Verdict:
    """Is what the report says of one thing the same everywhere?"""
    different = list(dict.fromkeys(" ".join(value.split()) for value in statement.values))
    several = len(different) > 1
    return Verdict(
        where="statements", what=statement.about, printed=" / ".join(different),
        kind="contradiction" if several else "consistent",
        sentence=f"The report gives {len(different)} answers: {', '.join(different)}." if several
        else "The report says the same throughout.",
    )  # fmt: skip


def _multiple(low: Fraction, high: Fraction, n: int) -> int | None:
    """A k with ``low <= k / n <= high``; None where there is none."""
    k = math.ceil(low * n)
    return k if k <= math.floor(high * n) else None


def _telling(values: Sequence[Printed], step: int, n: int) -> bool:
    """Whether the digits tell 1/step from 1/n: each value fits at most one k of n, and chance is below 1 in 1,000."""
    if any(one.unit * n > 1 for one in values):
        return False
    return (step / n) ** len({one.value for one in values}) < 1e-3


def _words(metric: str) -> str:
    return _WORDS.get(metric, metric.replace("_", " "))
