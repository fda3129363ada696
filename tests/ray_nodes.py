"""Two Ray nodes on this machine, as ``ray start`` starts them, for tests that kill one."""

from __future__ import annotations

import contextlib
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

    def wait(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not self.is_up():
            assert time.monotonic() < end, self.said()
            time.sleep(0.1)

    def raylet(self) -> psutil.Process | None:
        with_children = psutil.Process(self._process.pid).children(recursive=True)
        return next((child for child in with_children if child.name() == "raylet"), None)

    def kill_raylet_and(self, *workers: psutil.Process) -> None:
        """Kill the node at once, first what would start new workers."""
        raylet = self.raylet()
        assert raylet is not None
        for process in (raylet, *workers):
            process.kill()

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


def node_environment() -> dict[str, str]:
    """For nodes and drivers: where functions are found, and one secret for all, not the user's own."""
    return os.environ | {
        "PYTHONPATH": str(Path(__file__).parent),
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


@contextlib.contextmanager
def two_nodes(environment: dict[str, str]) -> Iterator[tuple[str, Node, Node]]:
    """The cluster's address, its head and its other node, both of one core."""
    port = _free_port()
    address = f"127.0.0.1:{port}"
    with ExitStack() as stack:
        head = _started(environment, "--head", f"--port={port}", "--include-dashboard=false")
        stack.callback(head.stop)
        other = _started(environment, f"--address={address}")
        stack.callback(other.stop)
        yield address, head, other


def _started(environment: dict[str, str], *arguments: str) -> Node:
    """A node that is up; Ray gives one 30 seconds to start, which are too few where the machine is busy."""
    for _ in range(2):
        with contextlib.suppress(AssertionError):
            return _up(Node(environment, *arguments, "--node-ip-address=127.0.0.1"))
    return _up(Node(environment, *arguments, "--node-ip-address=127.0.0.1"))


def _up(node: Node) -> Node:
    try:
        node.wait()
    except AssertionError:
        node.stop()
        raise
    return node


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
