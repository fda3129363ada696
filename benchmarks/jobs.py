"""What the benchmarks on real radiographs share: the data's place, commands as a user types them, results files."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

DATA = Path(os.environ.get("PULMOSCOPE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pulmoscope(*arguments: object) -> None:
    """One command; its output is ours. Status 3 is a result that lacks something, and tells what."""
    done = subprocess.run([sys.executable, "-m", "pulmoscope", *map(str, arguments)], check=False)
    if done.returncode not in {0, 3}:
        raise SystemExit(done.returncode)


def build_cohort(folder: Path, *arguments: object) -> Path:
    """``cohort build`` into ``folder``, unless it is there."""
    if not (folder / "cohort.parquet").is_file():
        pulmoscope("cohort", "build", *arguments, "--out", folder)
    return folder


def train(recipe: str, cohort: Path, run: Path, *, seed: int, settings: Sequence[str] = ()) -> Path:
    """``train`` with ``settings`` of ``--set`` into ``run``, from where it stopped."""
    resume = ["--resume"] if run.is_dir() else []
    changed = [item for setting in settings for item in ("--set", setting)]
    pulmoscope("train", recipe, "--cohort", cohort, "--out", run, "--seed", seed, *changed, *resume)
    return run


def join_nih(data: Path, folder: Path) -> None:
    """One NIH folder: the sample, and the NIH pictures that stand in DarkCovidNet under their own names."""
    if folder.is_dir():
        return
    (folder / "images").mkdir(parents=True)
    shutil.copy(data / "nih_sample" / "Data_Entry_2017_v2020.csv", folder)
    for part in ("nih_sample/images", "darkcovidnet/No_findings", "darkcovidnet/Pneumonia"):
        for picture in (data / part).iterdir():
            shutil.copy(picture, folder / "images")


def about(target: Path, command: str, content: dict[str, Any]) -> None:
    """Write a results file: what was run, where, when, and what came out."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    head = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {gpu}",
    }
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(head | content, indent=2) + "\n")
