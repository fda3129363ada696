"""Where many independent pieces of work run: in this process, in processes beside it, or on Ray's nodes.

An item is counted once, whatever happens: a worker that dies loses its item only for a moment, a piece that raises is
reported with its reason, and the rest go on. Items and values are small (paths and settings): pictures and features
are shared through the store and the feature cache on the disk.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Literal, Protocol, TypeVar

from pulmoscope.cores import cores
from pulmoscope.errors import PulmoscopeError, RunError

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 2
EngineKind = Literal["local", "ray"]
# What the libraries below PyTorch read when they are loaded.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[T, R]):
    """What became of an item.

    Attributes:
        item: As it was given.
        value: What the function returned; None where it failed.
        error: Why it failed, in one line; None where it did not. ``E_WORKER`` says that every worker that had the item
            died; anything else is the function's own exception, and was not tried again.
    """

    item: T
    value: R | None
    error: str | None


class Engine(Protocol):
    """Runs a function on many items."""

    def run(self, function: Callable[[T], R], items: Sequence[T]) -> Generator[Outcome[T, R], None, None]:
        """Yield each item's outcome once, in the order in which they end. Closing it early ends what still runs.

        Args:
            function: Of a module, so that another process finds it by name.
            items: Can be pickled, as the values can; paths in them are absolute, because another node has another
                working folder.
        """
        ...


class LocalEngine:
    """Processes on this machine.

    Args:
        workers: 1 works in this process. More are fresh processes (spawned), among which the cores are shared out: each
            computes with ``cores // workers`` threads. The last bits of a sum may depend on that number, so equal bits
            need equally many workers.

    Raises:
        RunError: ``workers`` is under 1.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = check_workers(workers)

    def run(self, function: Callable[[T], R], items: Sequence[T]) -> Generator[Outcome[T, R], None, None]:
        """See :class:`Engine`."""
        if self.workers > 1:
            yield from _spread(function, items, self.workers)
            return
        for item in items:
            value, error = attempt(function, item)
            yield Outcome(item=item, value=value, error=error)


def beyond(engine: Engine) -> Engine | None:
    """The engine, where it works outside this process; None for what this process's own threads do as well."""
    return None if isinstance(engine, LocalEngine) and engine.workers == 1 else engine


@contextlib.contextmanager
def open_engine(
    kind: EngineKind, *, workers: int | None = None, address: str | None = None
) -> Iterator[Engine]:
    """The engine of this kind; what it started is ended on leaving.

    Args:
        kind: ``local`` or ``ray``.
        workers: Pieces at once. By default 1 locally, and as many as there are cores with Ray.
        address: Of a Ray cluster that is running, as in ``10.0.0.1:6379`` or ``auto``; None starts Ray here.

    Raises:
        RunError: The combination makes no sense, Ray is not installed, or the cluster cannot be reached.
    """
    if kind == "local":
        if address is not None:
            raise RunError("--address needs --engine ray", code="E_USAGE", got=f"--address {address}")
        yield LocalEngine(1 if workers is None else workers)
        return
    from pulmoscope.search.ray_engine import RayEngine

    with RayEngine(address, workers) as engine:
        yield engine


def attempt(function: Callable[[T], R], item: T) -> tuple[R | None, str | None]:
    """The function's value, or why there is none, in one line."""
    try:
        return function(item), None
    except Exception as error:  # noqa: BLE001 - one item's failure is an outcome; the others go on
        return None, one_line(error)


def one_line(error: BaseException) -> str:
    """An exception as one line; Pulmoscope's own already are."""
    if isinstance(error, PulmoscopeError):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def death(tries: int, how: str) -> str:
    """The error of an item whose workers all died."""
    return f"E_WORKER: the worker died, {tries} times on this item; got {how}; remedy: fewer workers, if memory ran out"


def check_workers(workers: int) -> int:
    """``workers`` itself.

    Raises:
        RunError: It is under 1.
    """
    if workers < 1:
        raise RunError("there are no workers", code="E_USAGE", expected="1 or more", got=str(workers))
    return workers


def limit_threads(threads: int) -> None:
    """Let this process compute with so many threads, whether or not PyTorch is loaded yet."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


class _Worker:
    """A process and our end of its pipe."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        # A daemon: also ended where this process leaves without closing the iterator.
        self._process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        self._process.start()
        # With our copy closed, the process's death is the end of the pipe.
        theirs.close()

    def give(self, function: Callable[[T], R], item: T) -> None:
        """Start on an item."""
        # A process that died while it was idle is found by whoever waits for its answer.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send((function, item))

    def end(self) -> str:
        """End the process, which may be gone already; how it ended."""
        self._process.kill()
        self._process.join()
        self.pipe.close()
        code = self._process.exitcode or 0
        return f"signal {-code}" if code < 0 else f"exit status {code}"


def _spread(
    function: Callable[[T], R], items: Sequence[T], workers: int
) -> Generator[Outcome[T, R], None, None]:
    waiting = deque(range(len(items)))
    tries = dict.fromkeys(waiting, 0)
    threads = max(1, cores() // workers)
    idle: list[_Worker] = []
    busy: dict[Any, tuple[_Worker, int]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = idle.pop() if idle else _Worker(threads)
                position = waiting.popleft()
                busy[worker.pipe] = worker, position
                tries[position] += 1
                worker.give(function, items[position])
            for pipe in wait(list(busy)):
                worker, position = busy[pipe]
                try:
                    value, error = worker.pipe.recv()
                except (EOFError, ConnectionResetError):
                    del busy[pipe]
                    how = worker.end()
                    if tries[position] <= RETRIES:
                        waiting.append(position)
                        continue
                    value, error = None, death(tries[position], how)
                else:
                    del busy[pipe]
                    idle.append(worker)
                yield Outcome(item=items[position], value=value, error=error)
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.end()


def _serve(pipe: Connection, threads: int) -> None:
    """What a worker's process does: answer items until the pipe ends."""
    # Ctrl-C reaches the whole group; the process that started us decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave_with_parent()
    limit_threads(threads)
    if not sys.warnoptions:
        # As on the command line: libraries warn developers, not users.
        warnings.simplefilter("ignore")
    while True:
        try:
            function, item = pipe.recv()
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 - what cannot be unpickled is that item's failure
            pipe.send((None, one_line(error)))
            continue
        answer = attempt(_limited, (function, item, threads))
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return
        except Exception as error:  # noqa: BLE001 - nor is a value that cannot be pickled a worker's death
            pipe.send((None, one_line(error)))


def _limited(work: tuple[Callable[[Any], R], Any, int]) -> R:
    # Again for every item: unpickling the function may just have loaded PyTorch, and another item may have changed it.
    function, item, threads = work
    limit_threads(threads)
    return function(item)


def _leave_with_parent() -> None:
    """End this process when the one that started it dies, killed or not: nobody else would ever read its results."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
