"""The pruning curve of a trained run: validation accuracy, parameters and pictures a second against the share removed.

It shows whether a network keeps its validation accuracy within its interval while it is smaller and faster. RUN is
any run whose pictures can be read; of our own convolutional networks channels are taken out, of others only masked.
For the residual network of system C train one first:

    pulmoscope cohort build kermany150=FOLDER --val-from-train 0.12 --out cohort
    pulmoscope train system_c:flat --cohort cohort --set model.backbone=residual_cnn --out run

Pruned once as it is, at many shares, and once with each of a few pruned networks trained again for three epochs.

Usage: pruning.py RUN [--out benchmarks/results] [--work FOLDER]. Writes pruning.json, pruning.png and
pruning_retrained.png. A retraining that is interrupted goes on in the work folder.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from jobs import about

from pulmoscope.workflow.prune_run import prune_run

HERE = Path(__file__).parent
SHARES = [number / 20 for number in range(19)]
RETRAINED, EPOCHS = (0.25, 0.5, 0.75), 3


def main() -> None:
    """Prune, print the curve and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        found = {
            "pruned": prune_run(arguments.run, shares=SHARES, out=work / "pruned"),
            "retrained": prune_run(
                arguments.run, shares=RETRAINED, retrain=EPOCHS, out=work / "retrained", progress=True
            ),
        }
        for name, curve in found.items():
            print(curve)
            shutil.copyfile(
                curve.folder / "pruning.png",
                arguments.out / ("pruning.png" if name == "pruned" else "pruning_retrained.png"),
            )
        about(
            arguments.out / "pruning.json",
            "benchmarks/pruning.py RUN",
            {name: curve.as_dict() for name, curve in found.items()},
        )


if __name__ == "__main__":
    main()
