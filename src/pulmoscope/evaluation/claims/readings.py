"""Which definitions a claim may rightly mean by its name, and which it may be mistaken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulmoscope.evaluation.claims.definitions import Definition, class_definitions, overall_definitions
from pulmoscope.evaluation.claims.schema import Claim, ClaimTable

# Over all classes, by the average that the report names; the first is what is meant without a word.
_OVERALL: Mapping[str, Mapping[str, str]] = {
    "sensitivity": {"macro": "balanced_accuracy", "weighted": "accuracy", "micro": "accuracy"},
    "specificity": {"macro": "macro_specificity", "weighted": "weighted_specificity",
                    "micro": "micro_specificity"},
    "ppv": {"macro": "macro_ppv", "weighted": "weighted_ppv", "micro": "accuracy"},
    "npv": {"macro": "macro_npv", "weighted": "weighted_npv"},
    "f1": {"macro": "macro_f1", "weighted": "weighted_f1", "micro": "accuracy"},
}  # fmt: skip
_BY_CLASS = {"accuracy": "ovr_accuracy", "mean_ovr_accuracy": "ovr_accuracy",
             "balanced_accuracy": "ovr_balanced_accuracy"}  # fmt: skip

# What is most often printed under another's name, in this order.
_MISTAKEN: Mapping[str, Sequence[str]] = {
    "accuracy": ("mean_ovr_accuracy", "ovr_accuracy", "balanced_accuracy", "sensitivity", "weighted_f1", "macro_f1"),
    "sensitivity": ("macro_ppv", "ppv", "weighted_ppv", "specificity", "npv", "ovr_accuracy"),
    "specificity": ("macro_npv", "npv", "weighted_npv", "sensitivity", "balanced_accuracy", "ppv"),
    "ppv": ("balanced_accuracy", "sensitivity", "accuracy", "npv", "macro_npv"),
    "npv": ("macro_specificity", "specificity", "ppv"),
    "f1": ("macro_f1", "weighted_f1", "accuracy", "f1", "sensitivity", "ppv", "jaccard"),
    "balanced_accuracy": ("accuracy", "mean_ovr_accuracy", "mean_ovr_balanced_accuracy"),
    "mean_ovr_accuracy": ("accuracy",),
    "kappa": ("mcc", "accuracy"),
    "mcc": ("kappa", "accuracy"),
}  # fmt: skip


def definitions_of(table: ClaimTable) -> dict[str, Definition]:
    """Every definition for the table's classes, by name."""
    return {**overall_definitions(len(table.classes)), **class_definitions(list(table.classes))}


def proper(claim: Claim, table: ClaimTable) -> tuple[str, ...]:
    """Names of the definitions that the claim may rightly mean; none for an AUC, which no matrix has."""
    says = claim.says
    if says == "auc":
        return ()
    if claim.of is not None and says not in ("kappa", "mcc"):
        return (f"{_BY_CLASS.get(says, says)}:{claim.of}",)
    if says not in _OVERALL:
        return (says,)
    averages = _OVERALL[says]
    if claim.average is not None:
        return tuple(name for average, name in averages.items() if average == claim.average)
    every = tuple(dict.fromkeys(averages.values()))
    if len(table.classes) != 2:
        return every
    classes = table.classes if table.positive is None else (table.positive,)
    return tuple(f"{says}:{name}" for name in classes) + (every if table.positive is None else ())


def mistaken(claim: Claim, table: ClaimTable) -> tuple[str, ...]:
    """Names of the other definitions that may have been printed instead, the likeliest first.

    A number of one class may be of that class, or the same metric of another one; a number over all classes is over all
    of them, or of one of two.
    """
    known = definitions_of(table)
    binary = len(table.classes) == 2
    own = proper(claim, table)
    if claim.of is not None or (binary and table.positive is not None and claim.says != "accuracy"):
        mine = claim.of or table.positive
        index = list(table.classes).index(str(mine))
        scope = [name for name, one in known.items() if one.index == index]
        scope += (
            [f"{own[0].partition(':')[0]}:{other}" for other in table.classes if other != mine] if own else []
        )
        scope += [name for name in known if ":" not in name] if binary else []
    else:
        scope = [name for name in known if ":" not in name or binary]
    order = list(_MISTAKEN.get(claim.says, ()))
    ranked = sorted(
        (name for name in dict.fromkeys(scope) if name in known and name not in own),
        key=lambda name: (
            order.index(name.partition(":")[0]) if name.partition(":")[0] in order else len(order)
        ),
    )
    # With two classes the mean of the one-vs-rest accuracies is the accuracy.
    same = {"mean_ovr_accuracy", "micro_specificity", *(f"ovr_accuracy:{name}" for name in table.classes)}
    return tuple(name for name in ranked if not (binary and name in same))
