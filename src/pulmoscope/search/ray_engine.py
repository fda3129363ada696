"""The engine that spreads its pieces over Ray's nodes, or over processes that Ray starts on this machine.

Ray itself retries nothing (``max_retries=0``): it would count a task that ran twice as one, and could not say which.
Here each item has one task at a time, a task whose worker or node died is submitted again elsewhere, and the first
answer is the only one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import Any

from pulmoscope.cores import cores
from pulmoscope.errors import RunError
from pulmoscope.search.engine import (
    RETRIES,
    Outcome,
    R,
    T,
    attempt,
    check_workers,
    death,
    limit_threads,
    one_line,
)

# Items and values are small; Ray's own default takes a third of the machine's memory.
_OBJECT_STORE_BYTES = 100 << 20
# Read by Ray when it is loaded or started. Its workers then see the node's GPUs and have a plain process's priority, as
# local ones do: by default they stand back behind everything else on the machine.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}
# How long a wait lasts before Python looks for signals again.
_GLANCE_SECONDS = 0.5


class RayEngine:
    """Tasks of a Ray cluster. A context manager: entering joins or starts Ray, leaving lets go of it.

    Args:
        address: Of a cluster that is running, as in ``10.0.0.1:6379`` or ``auto``; None starts Ray on this machine,
            without its dashboard, and stops it on leaving.
        workers: Pieces at once; cores are shared out among them as :class:`LocalEngine` does. By default one a core, on
            a cluster of all its nodes, also those that join later.

    Raises:
        RunError: Ray is not installed, ``workers`` is under 1, the cluster cannot be reached, or this process uses Ray
            already.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        self.address = address
        self.workers = None if workers is None else check_workers(workers)
        self._ray = _load_ray()

    def __enter__(self) -> RayEngine:
        if self._ray.is_initialized():
            # A process has one session at most: leaving ours would end it.
            raise RunError(
                "Ray is in use in this process already",
                code="E_RAY",
                expected="a process without a Ray session: this engine starts and ends its own",
                remedy="call ray.shutdown() first, or use the command line, which is a process of its own",
            )
        here: dict[str, Any] = {
            "num_cpus": self.workers or cores(),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
        with _own_signals():
            try:
                self._ray.init(
                    address=self.address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **({} if self.address else here),
                )
            except Exception as error:
                # Of no promised class: a bare Exception, for one, where a busy machine takes over 30 s to start it.
                # Half of it may have started.
                self._ray.shutdown()
                raise RunError(
                    f"Ray cannot be {'reached at ' + self.address if self.address else 'started'}",
                    code="E_RAY",
                    got=one_line(error),
                    remedy="check the address with: ray status --address ADDR; Ray's version, RAY_AUTH_MODE and the "
                    "token must be the same on every node (docs/scaling.md)"
                    if self.address
                    else "try again when the machine is less busy, or use --engine local",
                ) from error
        self._print_nodes_messages(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()
        self._print_nodes_messages(True)

    def run(self, function: Callable[[T], R], items: Sequence[T]) -> Generator[Outcome[T, R], None, None]:
        """See :class:`~pulmoscope.search.engine.Engine`."""
        ray = self._ray
        cpus, threads = self._shares()
        # Ray would fill one node first, which helps tasks that share large objects; these share none.
        task = ray.remote(_task).options(max_retries=0, num_cpus=cpus, scheduling_strategy="SPREAD")
        waiting = deque(range(len(items)))
        tries = dict.fromkeys(waiting, 0)
        running: dict[Any, int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._at_once():
                    position = waiting.popleft()
                    tries[position] += 1
                    running[task.remote(function, items[position], threads)] = position
                done, _ = ray.wait(list(running), timeout=_GLANCE_SECONDS)
                for reference in done:
                    position = running.pop(reference)
                    try:
                        value, error = ray.get(reference)
                    except ray.exceptions.RayTaskError as failure:
                        # The function could not even be loaded there: another node would say the same.
                        value, error = None, one_line(failure.cause or failure)
                    except ray.exceptions.RayError as failure:
                        if tries[position] <= RETRIES:
                            waiting.append(position)
                            continue
                        value, error = None, death(tries[position], type(failure).__name__)
                    yield Outcome(item=items[position], value=value, error=error)
        finally:
            # Ray, asked to cancel when it has been left already, would start anew.
            for reference in running if ray.is_initialized() else ():
                ray.cancel(reference, force=True)

    def machines(self) -> list[str]:
        """Addresses of this machine and of those whose nodes are alive and have a processor core to work with."""
        own = self._ray.get_runtime_context().get_node_id()
        return sorted(
            {
                str(node["NodeManagerAddress"])
                for node in self._ray.nodes()
                if node["Alive"] and (node["Resources"].get("CPU", 0) >= 1 or node["NodeID"] == own)
            }
        )

    def _print_nodes_messages(self, wanted: bool) -> None:
        # A dying node's log would stand among our answers on standard output; Ray has no other switch for it.
        self._ray._private.worker._worker_logs_enabled = wanted

    def _shares(self) -> tuple[int, int]:
        """Processor cores that a task claims from Ray, and threads that it computes with."""
        if self.address is None:
            return 1, max(1, cores() // (self.workers or cores()))
        if self.workers is None:
            return 1, 1
        nodes = [
            int(node["Resources"]["CPU"])
            for node in self._ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        ]
        # No more than the smallest node has, so that every node can take every item.
        share = max(1, min(sum(nodes) // self.workers, min(nodes, default=1)))
        return share, share

    def _at_once(self) -> int:
        if self.workers is not None:
            return self.workers
        # Twice what fits now: what waits is what makes a cluster that grows by itself grow.
        return 2 * max(1, int(self._ray.cluster_resources().get("CPU", 1)))


def _task(function: Callable[[T], R], item: T, threads: int) -> tuple[R | None, str | None]:
    limit_threads(threads)
    return attempt(function, item)


def _load_ray() -> Any:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise RunError(
            "the engine ray needs Ray, which is not installed",
            code="E_EXTRA",
            remedy="pip install 'pulmoscope[ray]', or use --engine local",
        ) from error
    return ray


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Put back our handler of SIGTERM, which Ray replaces by its own when it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, ours)
