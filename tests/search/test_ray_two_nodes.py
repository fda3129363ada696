"""Two Ray nodes on this machine, one killed while items run: every item's result once, none lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_nodes import Node, node_environment, two_nodes

pytest.importorskip("ray", reason="Ray is not installed: pip install 'pulmoscope[ray]'")


@pytest.fixture
def environment() -> dict[str, str]:
    return node_environment()


@pytest.fixture
def nodes(environment: dict[str, str]) -> Iterator[tuple[str, Node, Node]]:
    with two_nodes(environment) as started:
        yield started


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
                node.kill_raylet_and(theirs[int(tried_by[-1])])
                return int(trace.name)
        known |= {trace for trace in begun if trace.read_text()}
        time.sleep(0.02)
    raise AssertionError("the node had no item")
