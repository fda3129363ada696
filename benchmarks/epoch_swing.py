"""How much the test accuracy of one training swings from epoch to epoch: a lesson, and no way to choose.

System C's flat network on kermany150, its recipe's own setting. After every epoch the weights are judged on the test
part, which nothing here can use: the training chooses by validation, as always.

Usage: epoch_swing.py [--data FOLDER] [--work FOLDER] [--seed N]. Writes benchmarks/results/epoch_swing.json and .png.
"""

from __future__ import annotations

import argparse
import copy
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from jobs import DATA, about, build_cohort
from published import KERMANY

from pulmoscope.cohort import Cohort
from pulmoscope.report.style import COLOURS, INK, dress, new_figure
from pulmoscope.training import Examples, fit, load_recipe
from pulmoscope.training.finetune import Finetune
from pulmoscope.training.loop import SaveEpochs
from pulmoscope.workflow.parts import decode_all

HERE = Path(__file__).parent
mpl.use("Agg")


def main() -> None:
    """Train once, judge every epoch, draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("runs/published"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cohort = Cohort.read(
        build_cohort(given.work / "c_system_c", *(w.format(data=given.data) for w in KERMANY))
    )
    recipe = load_recipe("system_c:flat").resolved()
    parts = decode_all(cohort, recipe.preprocess, progress=True)
    test = parts.examples("test")
    folder = given.work / f"epoch_swing_{given.seed}"
    shutil.rmtree(folder, ignore_errors=True)  # a resumed training would miss the epochs before
    accuracy: list[float] = []
    save = SaveEpochs.on_train_epoch_end

    def judge_too(self: SaveEpochs, trainer: Any, module: Any) -> None:
        save(self, trainer, module)
        accuracy.append(_accuracy(module, test))

    SaveEpochs.on_train_epoch_end = judge_too  # type: ignore[method-assign]
    fitted = fit(
        recipe,
        train=parts.examples("train"),
        val=parts.examples("val"),
        classes=tuple(cohort.classes),
        folder=folder,
        seed=given.seed,
        progress=True,
    )
    rows = fitted.rows
    chosen = int(fitted.chosen["epoch"])
    validation = [row.val_accuracy for row in rows]
    about(
        HERE / "results" / "epoch_swing.json",
        "python benchmarks/epoch_swing.py",
        {
            "what": "system_c:flat on kermany150: accuracy after each epoch; the test values chose nothing",
            "seed": given.seed,
            "test_pictures": len(test),
            "test_accuracy": accuracy,
            "val_accuracy": validation,
            "chosen_by_validation": {"epoch": chosen, "test_accuracy": accuracy[chosen - 1]},
            "lowest": min(accuracy),
            "highest": max(accuracy),
            "lowest_after_epoch_10": min(accuracy[10:]),
        },
    )
    _draw(accuracy, validation, chosen)


def _accuracy(module: Finetune, test: Examples) -> float:
    # A copy: the network itself, left in evaluation mode, would train another way from here on.
    network, right = copy.deepcopy(module.kept).eval(), 0
    with torch.inference_mode():
        for start in range(0, len(test), 64):
            pictures, labels = test.take(np.arange(start, min(start + 64, len(test))))
            inputs = module.preprocess.to_input(pictures).contiguous(memory_format=torch.channels_last)
            right += int((network(inputs).argmax(dim=1) == labels).sum())
    return right / len(test)


def _draw(accuracy: list[float], validation: list[float], chosen: int) -> None:
    figure = new_figure(9.0, 5.0)
    axes = figure.subplots()
    epochs = np.arange(1, len(accuracy) + 1)
    axes.plot(epochs, validation, color=COLOURS[1], marker="s", markersize=4, label="validation (chooses)")
    axes.plot(epochs, accuracy, color=COLOURS[0], marker="o", markersize=5, label="test (chooses nothing)")
    axes.axvline(chosen, color=INK, linewidth=1.2, label="epoch chosen by validation loss")
    axes.axhline(0.8943, color=INK, linewidth=1, linestyle="--", label="published: 0.8943")
    dress(axes, title="One training, judged after every epoch", x="epoch", y="accuracy")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
    figure.savefig(HERE / "results" / "epoch_swing.png", dpi=120)


if __name__ == "__main__":
    main()
