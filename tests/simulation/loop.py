"""An event loop without a clock or a kernel: time jumps to the next timer, order is drawn from a seed."""

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any, NoReturn

_STEPS_AT_ONE_MOMENT = 200_000
_TASKS_BEFORE_TIDYING = 512


class Deadlock(Exception):
    """Nothing is ready and nothing ever will be."""


class Livelock(Exception):
    """Callbacks go on for ever and time stands still."""


class RealWorld(Exception):
    """Simulated code reached for a thread, a socket or a child process."""


class Process:
    """What can be killed or paused as one: every callback that was scheduled from within."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.died_at: float | None = None
        self.paused = False
        self.held: list[asyncio.Handle] = []

    def kill(self, now: float) -> None:
        """SIGKILL: not one more callback runs."""
        if not self.dead:
            self.dead, self.died_at = True, now


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


def _number(handle: asyncio.Handle) -> int:
    """Tasks in the order of their creation: sets of objects give them in that of addresses."""
    task = getattr(handle._callback, "__self__", None)
    return int(task.get_name()) if isinstance(task, asyncio.Task) else 0


class VirtualLoop(asyncio.BaseEventLoop):
    """Deterministic: the same seed makes the same run. Seconds cost nothing."""

    def __init__(self, seed: object) -> None:
        super().__init__()
        self._now = 0.0
        self._order = random.Random(f"order {seed}")
        self._idle_steps = 0
        self._tasks = 0
        self._set = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.steps = 0
        self.kept: list[asyncio.Task[Any]] = []
        self._tidy_at = _TASKS_BEFORE_TIDYING
        self.troubles: list[str] = []
        self._dropped: list[asyncio.Handle] = []
        self.set_exception_handler(self._trouble)

    def time(self) -> float:
        return self._now

    def create_task(self, coro: Coroutine[Any, Any, Any], **named: Any) -> asyncio.Task[Any]:
        """Tasks are kept: nobody's cleaning-up code runs because the garbage was collected."""
        self._tasks += 1
        task = super().create_task(coro, **named | {"name": str(self._tasks)})
        self.kept.append(task)
        if len(self.kept) > self._tidy_at:
            self.kept = [kept for kept in self.kept if not kept.done()]
            self._tidy_at = max(_TASKS_BEFORE_TIDYING, 2 * len(self.kept))
        return task

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Timers of one moment are ready in the order they were set."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._set += 1
        heapq.heappush(self._timers, (when, self._set, timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def resume(self, process: Process) -> None:
        """SIGCONT: everything that was held back is ready now."""
        process.paused = False
        self._ready.extend(process.held)
        process.held.clear()

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready:
            self._advance()
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        batch = list(ready)
        ready.clear()
        if len(batch) > 1:
            batch.sort(key=_number)
        for last in range(len(batch) - 1, 0, -1):
            other = int(self._order.random() * (last + 1))
            batch[last], batch[other] = batch[other], batch[last]
        for handle in batch:
            self._step(handle)

    def _step(self, handle: asyncio.Handle) -> None:
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)
        if process is not None:
            if process.dead:
                self._dropped.append(handle)
                return
            if process.paused:
                process.held.append(handle)
                return
        self.steps += 1
        self._idle_steps += 1
        if self._idle_steps > _STEPS_AT_ONE_MOMENT:
            raise Livelock(f"at {self._now:.3f} s")
        handle._run()

    def _advance(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            if self._stopping:
                return
            raise Deadlock(f"at {self._now:.3f} s")
        if timers[0][0] > self._now:
            self._now = timers[0][0]
            self._idle_steps = 0

    def dispose(self) -> None:
        """End what is left, in no simulated time; what the ends do has no effect on anything any more."""
        for task in self.kept:
            if not task.done():
                task._log_destroy_pending = False
                with suppress(BaseException):
                    task.get_coro().close()
        self.kept.clear()
        self._dropped.clear()
        self._ready.clear()
        self._timers.clear()
        self.close()

    def _trouble(self, _: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.troubles.append(f"{context.get('message')}: {error!r}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays in the heap until its time comes."""

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def _forbidden(self, *_: object, **__: object) -> NoReturn:
        raise RealWorld("there is no kernel in a simulation")

    run_in_executor = _forbidden
    create_connection = _forbidden
    create_server = _forbidden
    create_datagram_endpoint = _forbidden
    subprocess_exec = _forbidden
    subprocess_shell = _forbidden
    add_signal_handler = _forbidden
    getaddrinfo = _forbidden
    sock_connect = _forbidden
