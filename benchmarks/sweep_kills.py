"""System B's whole grid, killed with SIGKILL at random moments and resumed each time, against an unbroken one.

The design is many_heads.py's: EfficientNet-lite0 frozen at 224 pixels, Cohen AP (COVID-19) against NIH AP, 72 heads.
First an unbroken sweep computes pictures and features; a second one, which finds them, says how long the rest takes.
Then comes the killed one. Its first lives have a cache of their own, which is empty, so that kills fall into decoding
and features too; the others find the first sweep's. A life waits, its imports done, to be told to go: kills fall into
work, not into start-up. At the end the tables, the chosen weights and the test part's numbers are compared, and whether
a trial that had ended before a kill was written again.

Usage: sweep_kills.py [--data FOLDER] [--work FOLDER] [--cohort FOLDER] [--kills 10] [--cold 3] [--seed 0]
[--set KEY=VALUE]. ``--cohort`` takes another cohort with a split, ``--set`` changes the recipe, for a smoke test.
Writes benchmarks/results/sweep_kills.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from jobs import DATA, about, build_cohort, join_nih

from pulmoscope.search.study import Study, sqlite_url

HERE = Path(__file__).parent
LIFE = """
import sys
from pulmoscope.cli import main
import pulmoscope.workflow.sweep_run
print("ready", flush=True)
sys.stdin.readline()
main(sys.argv[1:])
"""


def main() -> None:
    """Sweep twice without a break, once with many."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--cohort", type=Path, default=None)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--cold", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "sweep_kills.json")
    given = parser.parse_args()
    dice = random.Random(given.seed)
    cohort = given.cohort or design(given.data, given.work)
    folder = given.work / "sweep_kills"
    shutil.rmtree(folder, ignore_errors=True)
    warm, cold = folder / "cache", folder / "cold"
    command = ["sweep", "system_b:imagenet", "--cohort", str(cohort)]
    for change in ("model.backbone=efficientnet_lite0", *given.set):
        command += ["--set", change]
    whole = live([*command, "--out", str(folder / "whole")], warm)
    rest = live([*command, "--out", str(folder / "again")], warm)
    killed = folder / "killed"
    command += ["--out", str(killed)]
    kills: list[dict[str, Any]] = []
    ended: dict[str, int] = {}
    for number in range(given.kills):
        in_cold = number < given.cold
        # Long enough that some trials have ended, short enough that the sweep seldom ends before the last kill. Of few
        # pictures, features may take less than the clock swings.
        features = max(1.0, whole["seconds"] - rest["seconds"])
        after = dice.uniform(0, features / 2 if in_cold else rest["seconds"] / 2)
        life = live([*command, *resume(killed)], cold if in_cold else warm, after)
        for path in killed.glob("trials/[0-9]*.json"):
            ended.setdefault(path.name, path.stat().st_mtime_ns)
        kills.append({"after": round(after, 2), "killed": life["status"] == -9, "trials_ended": len(ended)})
        print(kills[-1], file=sys.stderr)
    last = live([*command, *resume(killed)], warm)
    again = [name for name, when in ended.items() if (killed / "trials" / name).stat().st_mtime_ns != when]
    about(
        given.out,
        "python benchmarks/sweep_kills.py",
        {
            "set": given.set,
            "seed": given.seed,
            "trials": len(table(killed)),
            "seconds": {
                "unbroken": round(whole["seconds"], 1),
                "unbroken_features_at_hand": round(rest["seconds"], 1),
                "last_life": round(last["seconds"], 1),
            },
            "kills": kills,
            "killed": sum(kill["killed"] for kill in kills),
            "same_as_unbroken": same(folder / "whole", killed),
            "unbroken_twice_is_the_same": same(folder / "whole", folder / "again"),
            "ended_trials_written_again": again,
            "trials_in_the_database": entries(killed),
        },
    )
    print(given.out.read_text())


def design(data: Path, work: Path) -> Path:
    """The cohort of many_heads.py."""
    join_nih(data, work / "nih")
    return build_cohort(
        work / "c_target",
        *(f"cohen={data}/cohen", f"nih={work}/nih", "--labels", "binary-covid", "--where", "view=AP"),
        *("--split", "patient:0.6,0.2,0.2"),
    )


def resume(folder: Path) -> list[str]:
    """``--resume``, once there is something to go on with."""
    return ["--resume"] if (folder / "plan.json").is_file() else []


def live(command: list[str], cache: Path, after: float | None = None) -> dict[str, Any]:
    """Run a sweep, and kill it ``after`` so many seconds of work; its seconds and exit status."""
    with subprocess.Popen(
        [sys.executable, "-c", LIFE, *command],
        env=os.environ | {"PULMOSCOPE_CACHE": str(cache.absolute())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as life:
        assert life.stdout is not None
        life.stdout.readline()
        started = time.perf_counter()
        try:
            _, complaint = life.communicate("go\n", timeout=after)
        except subprocess.TimeoutExpired:
            life.kill()
            _, complaint = life.communicate()
    if life.returncode not in {0, -9}:
        raise SystemExit(complaint)
    return {"seconds": time.perf_counter() - started, "status": life.returncode}


def table(folder: Path) -> pd.DataFrame:
    """The trials without what a clock says."""
    return pd.read_parquet(folder / "trials.parquet").drop(columns="seconds")


def same(one: Path, other: Path) -> dict[str, bool]:
    """What two sweeps have in common, to the last bit."""

    def tested(folder: Path) -> Any:
        return json.loads((folder / "sweep.json").read_text())["test"]

    def weights(folder: Path) -> str:
        content = (folder / "best" / "model" / "weights.safetensors").read_bytes()
        return hashlib.sha256(content).hexdigest()

    return {
        "table": bool(table(one).equals(table(other))),
        "chosen_weights": weights(one) == weights(other),
        "test_part": tested(one) == tested(other),
    }


def entries(folder: Path) -> dict[str, int]:
    """How many trials the database has, by state."""
    uid = json.loads((folder / "plan.json").read_text())["uid"]
    recipe = json.loads((folder / "plan.json").read_text())["recipe"]
    name = f"{recipe['name']}:{recipe['variant']} {uid} {folder.name}"
    with Study(sqlite_url(folder), name, maximise=True) as study:
        states = [trial.state for trial in study.trials()]
    return {state: states.count(state) for state in sorted(set(states))}


if __name__ == "__main__":
    main()
