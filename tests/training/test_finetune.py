from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import in_memory
import tiny
from pulmoscope import Cohort, files, train
from pulmoscope.errors import RunBusyError, RunError, TrainingError
from pulmoscope.files import exclusive
from pulmoscope.models import HeadSpec, ModelSpec, build_classifier
from pulmoscope.training import fit
from pulmoscope.training.batches import Batch
from pulmoscope.training.finetune import _averaged


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    table = tiny.draw_pictures(tmp_path_factory.mktemp("data") / "bars")
    return Cohort.from_sources({"bars": table}, near_copies=False)


def test_averaged_weights_are_the_exponential_mean_by_hand() -> None:
    spec = ModelSpec(backbone="test_efficientnet", channels=1, head=HeadSpec(), classes=("a", "b"))
    network = build_classifier(spec, seed=0)
    averaged = _averaged(network, 0.9)
    expected = None
    for step in range(4):
        with torch.no_grad():
            network.head[1].bias.fill_(float(step))
        averaged.update_parameters(network)
        # AveragedModel copies the first time; then the decay is (1 + t) / (10 + t) for t = 1, 2, ...
        decay = min(0.9, (1 + step) / (10 + step))
        expected = float(step) if expected is None else decay * expected + (1 - decay) * step
    assert averaged.module.head[1].bias.tolist() == pytest.approx([expected] * 2)


def test_a_loss_that_is_not_finite_ends_in_one_line_and_keeps_the_checkpoint(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulmoscope.training.finetune import Finetune

    step = Finetune.training_step

    def poisoned(self: Finetune, batch: Batch, batch_idx: int) -> torch.Tensor:
        if batch.epoch == 2:
            with torch.no_grad():
                self.network.head[1].bias.fill_(float("nan"))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Finetune, "training_step", poisoned)
    with pytest.raises(TrainingError, match="loss became nan in epoch 2"):
        train(tiny.write_recipe(tmp_path), cohort, out=tmp_path / "run")
    monkeypatch.undo()
    run = train(tiny.write_recipe(tmp_path), cohort, out=tmp_path / "run", resume=True)
    assert run.metrics["test"]["n"] > 0


def test_a_folder_in_use_names_the_process(cohort: Cohort, tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from pulmoscope.files import exclusive\n"
        f"with exclusive(Path({str(tmp_path / 'run')!r})):\n print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(RunBusyError, match=f"in use by process {holder.pid}"):
            train(tiny.write_recipe(tmp_path), cohort, out=tmp_path / "run")
    finally:
        holder.kill()
        holder.communicate()
    with exclusive(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())


@pytest.mark.parametrize(("kept", "patience"), [(1.0, 20.0), (30.0, 0.3)])
def test_the_lock_of_a_process_that_was_killed_is_waited_for_a_moment(
    kept: float, patience: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child of the killed process keeps the lock a while, as a slow kernel may."""
    monkeypatch.setattr(files, "_GONE_PATIENCE", patience)
    code = (
        "import os, signal, time; from pathlib import Path; from pulmoscope.files import exclusive\n"
        f"with exclusive(Path({str(tmp_path / 'run')!r})):\n"
        " child = os.fork()\n"
        f" if not child: os.close(1); time.sleep({kept}); os._exit(0)\n"
        " print(child, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    if kept < patience:
        with exclusive(tmp_path / "run"):
            assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())
        return
    try:
        with pytest.raises(RunBusyError, match="what it left behind"), exclusive(tmp_path / "run"):
            pass
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_resume_refuses_other_settings_and_names_them(cohort: Cohort, tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path)
    train(recipe, cohort, out=tmp_path / "run", seed=1)
    with pytest.raises(RunError, match="E_RUN_EXISTS"):
        train(recipe, cohort, out=tmp_path / "run", seed=1)
    with pytest.raises(RunError, match=r"seed \(1 before, 2 now\)"):
        train(recipe, cohort, out=tmp_path / "run", seed=2, resume=True)
    with pytest.raises(RunError, match="train.finetune.batch: 16 before, 8 now"):
        train(recipe, cohort, out=tmp_path / "run", seed=1, resume=True, overrides=["train.finetune.batch=8"])
    fewer = cohort.subset(np.arange(len(cohort)) != 0)
    with pytest.raises(RunError, match="cohort"):
        train(recipe, fewer, out=tmp_path / "run", seed=1, resume=True)


def test_early_stopping_and_selection_use_validation_alone(cohort: Cohort, tmp_path: Path) -> None:
    """Scrambling the test labels changes no weight."""
    scrambled = Cohort(copy.deepcopy(cohort.frame), cohort.info, cohort.dropped)
    test = scrambled.frame["split"] == "test"
    scrambled.frame.loc[test, "label"] = scrambled.frame.loc[test, "label"].to_numpy()[::-1]
    runs = [
        train(tiny.write_recipe(tmp_path), one, out=tmp_path / name, seed=3)
        for name, one in (("plain", cohort), ("scrambled", scrambled))
    ]
    files = [(run.folder / "model" / "weights.safetensors").read_bytes() for run in runs]
    assert files[0] == files[1]


def test_two_processes_train_together(tmp_path: Path) -> None:
    """Both judge the same pictures and count every picture of an epoch once between them (E_SHARES if not)."""
    train_part, val = in_memory.train_and_val()
    finetune = {"epochs": 2, "batch": 27, "ema": 0.0}
    recipe = in_memory.small_recipe(
        devices=2, stop="gap", select="val_auroc:covid", head={"epochs": 0}, finetune=finetune
    )
    fitted = fit(
        recipe, train=train_part, val=val, classes=in_memory.CLASSES, folder=tmp_path / "run", seed=3
    )
    assert [row.epoch for row in fitted.rows] == [1, 2]
    scores = [[row.train_loss, row.val_loss, row.plain_train_loss, row.val_selected] for row in fitted.rows]
    assert np.isfinite(scores).all()
    start = build_classifier(fitted.spec, seed=3).state_dict()
    assert all(not torch.equal(start[name], value) for name, value in fitted.network.named_parameters())


def test_damaged_stage_one_files_are_made_again_with_what_follows(cohort: Cohort, tmp_path: Path) -> None:
    recipe = tiny.write_recipe(tmp_path)
    whole = train(recipe, cohort, out=tmp_path / "whole", seed=6)
    broken = train(recipe, cohort, out=tmp_path / "broken", seed=6)
    (broken.folder / "metrics.json").unlink()
    (broken.folder / "checkpoints" / "head.json").write_text("{")
    train(recipe, cohort, out=tmp_path / "broken", seed=6, resume=True)
    files = [(run.folder / "model" / "weights.safetensors").read_bytes() for run in (whole, broken)]
    assert files[0] == files[1]


def test_a_metric_that_is_never_defined_chooses_nothing(cohort: Cohort, tmp_path: Path) -> None:
    one_class = Cohort(cohort.frame.copy(), cohort.info, cohort.dropped)
    val = (one_class.frame["split"] == "val") & (one_class.frame["label"] != "covid")
    one_class.frame.loc[val, "split"] = "train"
    with pytest.raises(TrainingError, match="undefined in every epoch"):
        train(
            tiny.write_recipe(tmp_path),
            one_class,
            out=tmp_path / "run",
            overrides=["train.select=val_macro_auroc"],
        )
