"""One attempt as a worker drives it: prepare, run, report; obey what the platform says, or its silence."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from cynthus.events import AttemptExited, Cause
from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.handlers.orders import WorkOrder
from cynthus.orchestrator.handlers.refusals import (
    LogGap,
    LogsIncomplete,
    ManifestMissing,
)
from cynthus.orchestrator.ports import LogChunk, LogTotals
from cynthus.snapshots import manifest
from cynthus.web.tokens import AttemptClaims
from tests.simulation.loop import Process
from tests.simulation.network import Server, Unreachable
from tests.simulation.platform import Platform
from tests.simulation.program import Control, Dropped, Program
from tests.simulation.storage import StorageAway
from tests.simulation.world import World

_T = TypeVar("_T")
CALL_S = 5.0
_CHUNK_PACE_S = 2.0


class Caller(Protocol):
    """The worker of an attempt."""

    platform: Platform
    world: World
    name: str
    process: Process
    asked: float
    """When it last asked anything."""

    async def call(self, server: Server, method: Callable[[Any], Awaitable[_T]], timeout_s: float) -> _T:
        """One call. Raises Unreachable for everything that is no answer."""
        ...

    async def insist(
        self, server: str, method: Callable[[Any], Awaitable[_T]], timeout_s: float, control: Control | None
    ) -> _T:
        """Call until there is an answer, while the attempt is ours."""
        ...


class Attempt:
    """One work order, to its end."""

    def __init__(
        self, worker: Caller, order: WorkOrder, control: Control, taken: set[tuple[str, int]]
    ) -> None:
        self._worker = worker
        self._world = worker.world
        self._order = order
        self._control = control
        self._taken = taken
        self._claims = claims_of(order.token)
        self._renewed = worker.asked
        self._told(worker.asked, order.lease_s)
        self._armed = False
        self._next_s = order.next_beat_s
        self._harmless = False
        self._chunks = 0
        self._over = False

    async def run(self) -> None:
        """Prepare, run, report."""
        order, control = self._order, self._control
        tasks = [asyncio.create_task(self._beat())]
        try:
            await asyncio.sleep(0.2 + 2.0 * self._world.chance.random())
            control.check()
            await self._arm()
            self._taken.add((order.run_id, order.epoch))
            program = self._started()
            announcing = asyncio.create_task(self._announce())
            shipping = asyncio.create_task(self._ship(program, announcing))
            tasks += [announcing, shipping]
            try:
                await self._execute(program)
            finally:
                program.ended = self._world.now
            self._harmless = True
            self._world.trace("program ends", order.run_id, order.epoch, program.exit_code)
            control.check()
            await announcing
            await self._conclude(program, shipping)
        finally:
            self._ended(tasks)

    async def _arm(self) -> None:
        """An order may have been on its way for long, or its worker frozen: ask before anything runs."""
        while self._left_s() <= self._order.lease_s / 3:
            try:
                await self._renew(lambda served: served.attempts.heartbeat(self._claims, 1.0, 1), insist=True)
            except Fenced as fenced:
                raise Dropped("fenced") from fenced
            self._control.check()
        self._armed = True

    def _ended(self, tasks: list[asyncio.Task[None]]) -> None:
        self._over = True
        self._control.changed.set()
        for task in tasks:
            task.cancel()
            task.add_done_callback(_known)

    def _started(self) -> Program:
        order = self._order
        program = Program(order.run_id, order.epoch, self._worker.name, self._worker.process, self._world.now)
        self._world.trace("program starts", order.run_id, order.epoch, self._worker.name)
        self._worker.platform.programs.append(program)
        return program

    async def _execute(self, program: Program) -> None:
        """The user's program: writes now and then, exits by itself, or is stopped."""
        env, control = self._order.env, self._control
        ends = self._world.now + float(env["SECONDS"])
        limit = self._order.timeout_s
        if limit is not None and self._world.now + limit < ends:
            ends, timed_out = self._world.now + limit, True
        else:
            timed_out = False
        while self._world.now < ends and not control.stopped and not control.dropped:
            program.written += 1 + int(40 * self._world.chance.random())
            control.changed.clear()
            left = ends - self._world.now
            try:
                await asyncio.wait_for(
                    control.changed.wait(), min(left, 0.5 + 3.0 * self._world.chance.random())
                )
            except TimeoutError:
                continue
        if control.dropped:
            return
        if control.stopped:
            await asyncio.sleep(min(self._order.grace_s, 4.0 * self._world.chance.random()))
            program.exit_code = 143
        elif timed_out:
            program.exit_code = 137
            control.stop("timeout")
        else:
            codes = [int(code) for code in env["CODES"].split(",")]
            program.exit_code = codes[min(self._order.epoch, len(codes)) - 1]

    async def _announce(self) -> None:
        try:
            await self._renew(lambda served: served.attempts.started(self._claims, 7, {}), insist=True)
        except (Dropped, Fenced):
            self._control.drop("fenced")
        except Unreachable:
            self._control.drop("platform away")

    async def _ship(self, program: Program, announcing: asyncio.Task[None]) -> None:
        await announcing
        sent = 0
        while True:
            last = program.ended is not None
            size = program.written - sent
            if size:
                chunk = LogChunk(program.run_id, program.epoch, self._chunks, "stdout", sent, size)
                data = f"{program.run_id}/{program.epoch}/{sent}".encode().ljust(size)[:size]
                await self._ask(
                    lambda served, chunk=chunk, data=data: served.logs.accept(self._claims.owner, chunk, data)
                )
                sent += size
                self._chunks += 1
            elif last:
                return
            if not last:
                await asyncio.sleep(_CHUNK_PACE_S)

    async def _conclude(self, program: Program, shipping: asyncio.Task[None]) -> None:
        if self._world.chance.random() < 0.5:
            exited = self._fact(program)
            with suppress(Unreachable, Fenced):
                await self._worker.call(
                    self._server, lambda served: served.attempts.exited(self._claims, exited), CALL_S
                )
        lines = self._staged(program)
        if self._world.faults.hit("hasty report") and await self._hastily(program):
            return
        if program.outputs is not None:
            await self._upload(program.outputs, lines)
        await shipping
        self._control.check()
        fact, sent = self._fact(program), self._sent(program)
        await self._ask(lambda served: served.attempts.finished(self._claims, fact, sent, program.outputs))
        self._world.trace("finished", program.run_id, program.epoch)

    async def _hastily(self, program: Program) -> bool:
        """Report the end before log and outputs are there; True when that is believed."""
        fact, sent = self._fact(program), self._sent(program)
        try:
            await self._worker.call(
                self._server,
                lambda served: served.attempts.finished(self._claims, fact, sent, program.outputs),
                CALL_S,
            )
        except (Unreachable, Fenced, LogsIncomplete, ManifestMissing):
            return False
        return True

    def _sent(self, program: Program) -> LogTotals:
        return LogTotals(self._chunks, {"stdout": program.written} if program.written else {})

    def _staged(self, program: Program) -> list[bytes]:
        """What only this attempt can have written, if it wrote anything."""
        if self._world.chance.random() < 0.3:
            return []
        name = f"by-{program.epoch}-{self._worker.name}"
        lines = list(manifest.encode([manifest.Entry(path=name, folder=True)]))
        program.outputs = manifest.digest(lines)
        return lines

    async def _upload(self, digest: str, lines: list[bytes]) -> None:
        key = f"owners/{self._claims.owner}/manifests/{digest.removeprefix('sha256:')}"
        delay = 0.2
        while True:
            self._control.check()
            try:
                await self._worker.platform.blobs.put_many({key: b"".join(lines)})
            except StorageAway:
                await asyncio.sleep(delay)
                delay = min(2 * delay, 5.0)
            else:
                return

    def _fact(self, program: Program) -> AttemptExited:
        cause = None
        if self._control.stopped in {"preempted", "timeout"}:
            cause = Cause(code=self._control.stopped, message="it was stopped")
        return AttemptExited(
            run_id=program.run_id, epoch=program.epoch, exit_code=program.exit_code, cause=cause
        )

    @property
    def _server(self) -> Server:
        return self._worker.platform.server("orchestrator")

    async def _ask(self, method: Callable[[Any], Awaitable[_T]]) -> _T:
        try:
            return await self._worker.insist("orchestrator", method, CALL_S, self._control)
        except Fenced as fenced:
            self._control.drop("fenced")
            raise Dropped("fenced") from fenced
        except (LogGap, LogsIncomplete, ManifestMissing) as refusal:
            if not self._control.dropped:
                self._world.wrong("reports are understood", repr(refusal))
            raise Dropped("refused") from refusal

    async def _renew(self, method: Callable[[Any], Awaitable[Any]], *, insist: bool) -> None:
        async def once(served: Any) -> Any:
            return await method(served)

        while True:
            begun = self._world.now
            left = max(0.05, self._left_s()) if self._dangerous else CALL_S
            try:
                beat = await self._worker.call(self._server, once, min(CALL_S, left))
            except Unreachable:
                if not insist:
                    raise
                self._control.check()
                await asyncio.sleep(0.5)
                continue
            self._renewed, self._next_s = begun, beat.next_beat_s
            self._told(begun, beat.lease_s)
            if beat.stop:
                self._control.stop(beat.stop)
            return

    def _told(self, asked_at: float, lease_s: float) -> None:
        self._worker.platform.promises.told((self._order.run_id, self._order.epoch), asked_at, lease_s)

    async def _beat(self) -> None:
        while not self._over:
            if await self._paused(self._next_s):
                return
            delay = 0.1
            while not self._over:
                try:
                    await self._renew(
                        lambda served: served.attempts.heartbeat(self._claims, 1.0, 1), insist=False
                    )
                    break
                except Fenced:
                    self._control.drop("fenced")
                    return
                except Unreachable:
                    if await self._paused(delay):
                        return
                    delay = min(2 * delay, 1.0)

    async def _paused(self, seconds: float) -> bool:
        """Wait, but not past the lease; True when all is over."""
        if self._dangerous and self._left_s() < seconds:
            await asyncio.sleep(max(0.0, self._left_s()))
            if self._left_s() <= 0 and self._dangerous:
                self._control.drop("lease_lost")
                return True
            return self._over
        await asyncio.sleep(seconds)
        return self._over or self._control.dropped is not None

    @property
    def _dangerous(self) -> bool:
        return self._armed and not self._harmless

    def _left_s(self) -> float:
        return self._renewed + self._order.lease_s * 2 / 3 - self._world.now


def _known(task: asyncio.Task[None]) -> None:
    """Whatever it was, the attempt is over."""
    if not task.cancelled():
        task.exception()


def claims_of(token: str) -> AttemptClaims:
    run_id, epoch, owner, machine = token.split("/")
    return AttemptClaims(run_id, int(epoch), owner, machine)
