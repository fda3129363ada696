"""Claim tables made from random confusion matrices, and matrices found without a solver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from pulmoscope.evaluation.claims import Claim, ClaimTable, class_definitions, overall_definitions
from pulmoscope.evaluation.claims.readings import proper


def random_table(seed: int, *, largest: int, classes: int) -> tuple[np.ndarray, ClaimTable]:
    """A table printed with 2-4 decimals, every number under its right name, and the matrix behind it."""
    rng = np.random.default_rng(seed)
    k, n = int(rng.integers(2, classes + 1)), int(rng.integers(40, largest))
    while True:
        matrix = rng.multinomial(n, rng.dirichlet((0.3 + 3 * np.eye(k)).ravel())).reshape(k, k)
        if matrix.sum(axis=1).all():
            break
    names = [f"c{i}" for i in range(k)]
    options: list[dict[str, str]] = [
        {"says": name} for name in ("balanced_accuracy", "kappa", "mean_ovr_accuracy")
    ]
    options += [
        {"says": name, "average": average}
        for name in ("sensitivity", "specificity", "ppv", "f1")
        for average in ("macro", "weighted")
    ]
    options += [
        {"says": name, "of": one}
        for name in ("sensitivity", "specificity", "ppv", "npv", "f1")
        for one in names
    ]
    counts = dict(zip(names, matrix.sum(axis=1).tolist(), strict=True))
    known = {**overall_definitions(k), **class_definitions(names)}
    empty = ClaimTable(name="t", classes=counts, claims=({"says": "accuracy", "value": "0"},))
    digits = int(rng.integers(2, 5))
    claims = []
    for i in (None, *rng.choice(len(options), int(rng.integers(3, 8)), replace=False)):
        option = {"says": "accuracy"} if i is None else options[int(i)]
        definition = known[proper(Claim(value="0", **option), empty)[0]]
        claims.append({**option, "value": f"{float(definition.of(matrix)):.{digits}f}"})
    return matrix, ClaimTable(name=f"t{seed}", classes=counts, claims=tuple(claims))


def any_matrix_of_three(supports: list[int], printed: Mapping[str, str]) -> bool:
    """Whether three classes have a matrix with these mean one-vs-rest accuracy, sensitivity and specificity.

    Every number of wrong answers is tried with every way to share them among the classes, as missed and as called.
    """
    n, half = sum(supports), 0.5 * 10 ** -len(printed["sensitivity"].partition(".")[2]) + 1e-9
    sizes, rest = np.array(supports), n - np.array(supports)

    def shares(total: int, limits: np.ndarray) -> Iterator[np.ndarray]:
        a, b = np.indices((min(total, limits[0]) + 1, min(total, limits[1]) + 1)).reshape(2, -1)
        c = total - a - b
        keep = (c >= 0) & (c <= limits[2])
        yield np.stack([a[keep], b[keep], c[keep]], axis=1)

    for wrong in range(n + 1):
        if abs(1 - 2 * wrong / (3 * n) - float(printed["mean_ovr_accuracy"])) > half:
            continue
        missed, called = next(shares(wrong, sizes)), next(shares(wrong, rest))
        missed = missed[np.abs(1 - (missed / sizes).mean(axis=1) - float(printed["sensitivity"])) <= half]
        called = called[np.abs(1 - (called / rest).mean(axis=1) - float(printed["specificity"])) <= half]
        for one in missed:
            if (called + one <= wrong).all(axis=1).any():
                return True
    return False
