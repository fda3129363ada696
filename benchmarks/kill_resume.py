"""Kill a training with SIGKILL at random moments, resume it each time, and compare it with an unbroken one.

Usage: kill_resume.py [--kills 20] [--seed 0]. Writes benchmarks/results/kill_resume.json.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

# A worker that has paid for its imports waits to be told to go: the kill then falls into work, not into start-up.
WORKER = """
import sys
from pulmoscope.cli import main
import pulmoscope.workflow
print("ready", flush=True)
main(sys.argv[1:])
"""


def start(arguments: list[str]) -> subprocess.Popen:
    """A training process that has done its imports."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    return process


def digest(run: Path) -> str:
    """Of the kept weights."""
    return hashlib.sha256((run / "model" / "weights.safetensors").read_bytes()).hexdigest()


def main() -> None:
    """Run it."""
    import tiny
    from pulmoscope.cohort import Cohort

    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dice = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Cohort.from_sources({"bars": tiny.draw_pictures(folder / "data", n=180)}, near_copies=False).write(
            folder / "c"
        )
        recipe = tiny.write_recipe(folder)
        common = [
            *("train", str(recipe), "--cohort", str(folder / "c"), "--seed", "4"),
            *("--set", "train.finetune.epochs=40", "--set", "train.finetune.patience=40"),
        ]
        started = time.monotonic()
        whole = start([*common, "--out", str(folder / "whole")])
        whole.communicate()
        length = time.monotonic() - started
        kills, finished = [], False
        while len(kills) < given.kills or not finished:
            resume = ["--resume"] if (folder / "broken" / "recipe.yaml").exists() else []
            process = start([*common, "--out", str(folder / "broken"), *resume])
            if len(kills) >= given.kills:
                process.communicate()
                finished = process.returncode == 0
                break
            wait = dice.uniform(0.02, 0.08 * length)
            time.sleep(wait)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills.append(round(wait, 3))
            process.communicate()
            if (folder / "broken" / "metrics.json").exists():
                break
        equal = digest(folder / "whole") == digest(folder / "broken")
        metrics = [json.loads((folder / run / "metrics.json").read_text()) for run in ("whole", "broken")]
    result = {
        "command": f"python benchmarks/kill_resume.py --kills {given.kills} --seed {given.seed}",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU",
        "seconds_after_start_of_each_kill": kills,
        "kills": len(kills),
        "weights_equal": equal,
        "metrics_equal": metrics[0] == metrics[1],
    }
    (HERE / "results" / "kill_resume.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    sys.exit(0 if equal and metrics[0] == metrics[1] else 1)


if __name__ == "__main__":
    main()
