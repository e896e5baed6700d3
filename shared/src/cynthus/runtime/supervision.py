"""Background tasks that do not stay dead."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from cynthus.runtime.service import Task

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_HEALTHY_S = 60.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def supervised(tasks: Sequence[Task], *, service: str) -> AsyncIterator[None]:
    """Keep tasks running while the block is open; at its end they are cancelled and awaited."""
    running = [asyncio.create_task(_keep(task, service)) for task in tasks]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _keep(task: Task, service: str) -> None:
    loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE_S
    while True:
        began = loop.time()
        try:
            await task()
        except Exception:  # noqa: BLE001 - a task may die of anything and is started again
            _log.exception("background task died", task=_name(task), service=service, again_in_s=pause)
        else:
            _log.warning("background task ended", task=_name(task), service=service, again_in_s=pause)
        if loop.time() - began >= _HEALTHY_S:
            pause = _FIRST_PAUSE_S
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def _name(task: Task) -> str:
    return getattr(task, "__qualname__", repr(task))
