"""Two Ray nodes on this machine, one killed while items run: every item's result once, none lost."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

import pieces

pytest.importorskip("ray", reason="Ray is not installed: pip install 'pulmoscope[ray]'")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Node:
    """``ray start`` in a folder of its own."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        # Short: the sockets below it may have no more than 107 letters.
        self.folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
        command = (
            Path(sys.executable).parent / "ray", "start", *arguments, "--num-cpus=1", "--block",
            "--object-store-memory=100000000", "--disable-usage-stats",
        )  # fmt: skip
        self._log = open(f"{self.folder}/out", "w")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            command,
            env=environment | {"RAY_TMPDIR": self.folder},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def is_up(self) -> bool:
        assert self._process.poll() is None, self.said()
        return self.raylet() is not None and "Ray runtime started" in self.said()

    def raylet(self) -> psutil.Process | None:
        with_children = psutil.Process(self._process.pid).children(recursive=True)
        return next((child for child in with_children if child.name() == "raylet"), None)

    def said(self) -> str:
        return Path(f"{self.folder}/out").read_text()

    def stop(self) -> None:
        with ExitStack() as done:
            done.callback(shutil.rmtree, self.folder, ignore_errors=True)
            done.callback(self._log.close)
            try:
                family = psutil.Process(self._process.pid).children(recursive=True)
            except psutil.NoSuchProcess:
                family = []
            for process in [self._process, *family]:
                try:
                    process.kill()
                except (psutil.NoSuchProcess, ProcessLookupError):
                    continue
            self._process.wait()


@pytest.fixture
def environment() -> dict[str, str]:
    """For nodes and driver: where functions are found, and one secret for all, not the user's own."""
    return os.environ | {
        "PYTHONPATH": str(Path(pieces.__file__).parent),
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


@pytest.fixture
def nodes(environment: dict[str, str]) -> Iterator[tuple[str, Node, Node]]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    with ExitStack() as stack:
        head = Node(
            environment, "--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false",
        )  # fmt: skip
        stack.callback(head.stop)
        wait_for(head)
        other = Node(environment, f"--address={address}", "--node-ip-address=127.0.0.1")
        stack.callback(other.stop)
        wait_for(other)
        yield address, head, other


def wait_for(node: Node, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not node.is_up():
        assert time.monotonic() < end, node.said()
        time.sleep(0.1)


ITEMS = 40
DRIVER = """
import json, sys
from pathlib import Path
import pieces
from pulmoscope.search.engine import open_engine

address, folder, items = sys.argv[1:]
with open_engine("ray", address=address, workers=2) as engine:
    import ray

    print(json.dumps({"nodes": sum(node["Alive"] for node in ray.nodes())}), flush=True)
    for outcome in engine.run(pieces.leave_a_trace, [(Path(folder), number) for number in range(int(items))]):
        print(json.dumps({"value": outcome.value, "error": outcome.error}), flush=True)
"""


@pytest.mark.slow
def test_a_node_killed_while_items_run_loses_none_and_counts_none_twice(
    nodes: tuple[str, Node, Node], environment: dict[str, str], tmp_path: Path
) -> None:
    address, _, other = nodes
    # In a process of its own: Ray keeps its settings and token for as long as a process lives.
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, address, tmp_path, str(ITEMS)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        assert driver.stdout is not None
        try:
            assert json.loads(driver.stdout.readline()) == {"nodes": 2}
            interrupted = kill_in_the_middle_of_an_item(other, tmp_path)
            outcomes = [json.loads(line) for line in driver.stdout]
        finally:
            driver.kill()
    assert sorted(outcome["value"] for outcome in outcomes) == list(range(ITEMS))
    assert [outcome["error"] for outcome in outcomes] == [None] * ITEMS
    tries = {int(path.name): len(path.read_text().split()) for path in tmp_path.iterdir()}
    assert tries == {number: 1 + (number == interrupted) for number in range(ITEMS)}


def kill_in_the_middle_of_an_item(node: Node, folder: Path) -> int:
    """Kill all of a node, its raylet first, just after it began another item; the item's number."""
    raylet = node.raylet()
    assert raylet is not None
    known: set[Path] = set()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        begun = set(folder.iterdir()) - known
        theirs = {child.pid: child for child in raylet.children(recursive=True)}
        # The very first may have begun before this looked.
        for trace in begun if known else ():
            tried_by = trace.read_text().split()
            if tried_by and int(tried_by[-1]) in theirs:
                for process in (raylet, theirs[int(tried_by[-1])]):
                    process.kill()
                return int(trace.name)
        known |= {trace for trace in begun if trace.read_text()}
        time.sleep(0.02)
    raise AssertionError("the node had no item")
