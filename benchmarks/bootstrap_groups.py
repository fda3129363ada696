"""The bootstrap over groups at full size: time and peak memory of an evaluation with its intervals.

100,000 pictures of 3 classes with probabilities, 2,000 replicates, macro AUROC included. The time of the processor
stands beside that of the clock, which other programs lengthen.

    python benchmarks/bootstrap_groups.py [--rows 100000] [--replicates 2000] [--out FILE]
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from pulmoscope.evaluation import Predictions, evaluate

CLASSES = ("a", "b", "c")


def predictions(rows: int, groups: int, seed: int = 0) -> Predictions:
    """Scores that rank well but not wholly, patients of several pictures."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, rows)
    scores = random.dirichlet(np.ones(3), rows) + 0.5 * np.eye(3)[truth]
    return Predictions.from_arrays(
        image_id=[f"i{at}" for at in range(rows)],
        probabilities=scores / scores.sum(axis=1, keepdims=True),
        classes=CLASSES,
        label=np.array(CLASSES)[truth].tolist(),
        group_id=[f"p{at}" for at in random.integers(0, groups, rows)],
    )


def main() -> None:
    """Measure with as many groups as pictures, and with a third."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    found = []
    for groups in (chosen.rows, chosen.rows // 3):
        table = predictions(chosen.rows, groups)
        clock, processor = time.perf_counter(), time.process_time()
        evaluation = evaluate(table, split=None, replicates=chosen.replicates)
        found.append(
            {
                "rows": chosen.rows,
                "groups": evaluation.groups,
                "replicates": chosen.replicates,
                "seconds": round(time.perf_counter() - clock, 2),
                "processor_seconds": round(time.process_time() - processor, 2),
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                "macro_auroc": evaluation.macro_auroc.as_dict(),
            }
        )
        print(found[-1])
    if chosen.out is not None:
        # Imported last: it brings PyTorch, whose memory is not the bootstrap's.
        from jobs import about

        about(
            chosen.out,
            f"bootstrap_groups.py --rows {chosen.rows} --replicates {chosen.replicates}",
            {"runs": found},
        )


if __name__ == "__main__":
    main()
