"""Threads that carry pieces; the caller's thread stays free to draw and to be interrupted."""

from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import TypeVar

_Task = TypeVar("_Task")
_AHEAD = 2
_TICK_S = 0.1


def carry(
    tasks: Iterable[_Task], work: Callable[[_Task], None], *, threads: int, tick: Callable[[], None]
) -> None:
    """Do every task, few at a time so that memory stays bounded; the first error ends it all."""
    queue = iter(tasks)
    first = next(queue, None)
    if first is None:
        return
    from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

    queue = chain([first], queue)
    pool = ThreadPoolExecutor(threads, "transfer")
    try:
        running: set[Future[None]] = {pool.submit(work, task) for task in islice(queue, threads * _AHEAD)}
        while running:
            done, running = wait(running, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            running |= {pool.submit(work, task) for task in islice(queue, len(done))}
            tick()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
