"""Order-keeping work in threads: the decoders release Python's lock, and threads cost no start-up."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from pulmoscope.cores import cores

A = TypeVar("A")
B = TypeVar("B")

_AHEAD = 8


def default_workers() -> int:
    """Threads that fit the processor cores this process may use."""
    return min(16, cores())


def parallel_map(
    work: Callable[[A], B], items: Iterable[A], *, workers: int | None = None, progress: str | None = None
) -> Generator[B, None, None]:
    """Yield ``work(item)`` for every item, in order, a few items ahead of the consumer and no more.

    Args:
        work: Called in threads.
        items: Any number of them; only a window is held.
        workers: Threads; by default one a core.
        progress: Title of a progress bar on standard error; None shows none.
    """
    workers = workers or default_workers()
    with ExitStack() as stack:
        advance = stack.enter_context(
            _Bar(progress, len(items) if isinstance(items, Sized) else None)
        ).advance
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        source = iter(items)
        waiting: deque[Future[B]] = deque(
            pool.submit(work, item) for item in itertools.islice(source, workers * _AHEAD)
        )
        try:
            while waiting:
                answer = waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in itertools.islice(source, 1))
                advance()
                yield answer
        finally:
            for future in waiting:
                future.cancel()


class _Bar:
    """A progress bar on standard error, where somebody looks; else nothing."""

    def __init__(self, title: str | None, total: int | None) -> None:
        self._title, self._total = title, total
        self._stack = ExitStack()
        self.advance: Callable[[], None] = lambda: None

    def __enter__(self) -> _Bar:
        if self._title is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._stack.enter_context(bar)
            task = bar.add_task(self._title, total=self._total)
            self.advance = lambda: bar.advance(task)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
