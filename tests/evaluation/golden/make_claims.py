"""Golden values of the claims auditor from mlscorecheck 1.0.3 (MIT), which is no dependency of ours.

Run once, in an environment of its own: ``pip install mlscorecheck==1.0.3 && python make_claims.py``, which writes
claims.json beside it.
Each case is a table of printed numbers and whether mlscorecheck finds them inconsistent: of two classes by trying all
matrices, of three by its linear programme for the means over the classes (its "acc" is the mean one-vs-rest accuracy).
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
from mlscorecheck.check.binary import check_1_testset_no_kfold
from mlscorecheck.check.multiclass import check_1_testset_no_kfold_macro

BINARY = {
    "accuracy": "acc",
    "sensitivity": "sens",
    "specificity": "spec",
    "ppv": "ppv",
    "npv": "npv",
    "f1": "f1",
}
MEANS = {"mean_ovr_accuracy": "acc", "sensitivity": "sens", "specificity": "spec"}


def rates(tp: int, fn: int, fp: int, tn: int) -> dict[str, float]:
    return {
        "accuracy": (tp + tn) / (tp + tn + fp + fn), "sensitivity": tp / (tp + fn), "specificity": tn / (tn + fp),
        "ppv": tp / (tp + fp), "npv": tn / (tn + fn), "f1": 2 * tp / (2 * tp + fp + fn),
    }  # fmt: skip


def main() -> None:
    logging.disable()
    rng = np.random.default_rng(20)
    cases = []
    while len(cases) < 60:
        p, n = int(rng.integers(15, 90)), int(rng.integers(15, 300))
        tp, tn = int(rng.binomial(p, 0.85)), int(rng.binomial(n, 0.9))
        if tp in (0, p) or tn in (0, n):
            continue
        names = sorted(rng.choice(list(BINARY), 4, replace=False).tolist())
        values = {name: rates(tp, p - tp, n - tn, tn)[name] for name in names}
        cases.append(case(rng, [p, n], values, len(cases)))
        scores = {BINARY[name]: float(text) for name, text in cases[-1]["printed"].items()}
        found = check_1_testset_no_kfold(
            testset={"p": p, "n": n}, scores=scores, eps=0.5 * 10 ** -cases[-1]["digits"]
        )
        cases[-1]["inconsistent"] = bool(found["inconsistency"])
    while len(cases) < 90:
        sizes = rng.integers(20, 300, 3)
        matrix = np.stack(
            [rng.multinomial(k, rng.dirichlet(np.eye(3)[i] * 12 + 1)) for i, k in enumerate(sizes)]
        )
        total = int(matrix.sum())
        each = [
            rates(tp := int(matrix[i, i]), int(sizes[i]) - tp, fp := int(matrix[:, i].sum()) - tp,
                  total - int(sizes[i]) - fp)
            for i in range(3)
        ]  # fmt: skip
        values = {
            name: float(np.mean([one["accuracy" if short == "acc" else name] for one in each]))
            for name, short in MEANS.items()
        }
        cases.append(case(rng, sizes.tolist(), values, len(cases)))
        scores = {MEANS[name]: float(text) for name, text in cases[-1]["printed"].items()}
        found = check_1_testset_no_kfold_macro(
            testset=dict(enumerate(sizes.tolist())), scores=scores, eps=0.5 * 10 ** -cases[-1]["digits"],
            numerical_tolerance=1e-7,
        )  # fmt: skip
        cases[-1]["inconsistent"] = bool(found["inconsistency"])
    lines = ",\n".join(json.dumps(one) for one in cases)
    (Path(__file__).parent / "claims.json").write_text(f"[\n{lines}\n]\n")


def case(
    rng: np.random.Generator, supports: list[int], values: dict[str, float], number: int
) -> dict[str, object]:
    """Every second one has a number moved by a few units of its last digit."""
    digits = int(rng.integers(3, 5))
    printed = {name: f"{value:.{digits}f}" for name, value in values.items()}
    if number % 2:
        name = str(rng.choice(list(values)))
        moved = values[name] + int(rng.choice([-1, 1])) * int(rng.integers(2, 40)) * 10**-digits
        printed[name] = f"{min(max(moved, 0), 1):.{digits}f}"
    return {"supports": supports, "digits": digits, "printed": printed}


if __name__ == "__main__":
    main()
