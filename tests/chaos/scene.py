"""One run of the harness, from an empty folder to its evidence."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random

from tests.chaos import evidence
from tests.chaos.caller import Caller
from tests.chaos.journal import Journal
from tests.chaos.ledger import ProcessLedger
from tests.chaos.rebuilding import rebuild_all
from tests.chaos.settings import Settings
from tests.chaos.side import SideChannel
from tests.chaos.stack import Stack
from tests.chaos.stage import Stage
from tests.chaos.undertaker import bury, watch
from tests.chaos.workload import Workload

Trouble = Callable[[Stage, asyncio.Event], Awaitable[None]]
"""Makes faults until the event is set, and has healed all of them when it returns."""

_NO_LIMIT = 10**9


async def play(folder: Path, settings: Settings, trouble: Trouble) -> None:
    """Start everything, keep runs in flight under trouble, heal, wait, and write the evidence down."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder)
    stack = Stack(folder, settings, journal)
    undertaker = watch(folder, stack.mark)
    side = SideChannel(journal)
    try:
        async with AsyncExitStack() as opened:
            await side.open()
            opened.callback(side.close)
            await opened.enter_async_context(stack.running())
            caller = Caller(stack.url, stack.token, journal)
            opened.push_async_callback(caller.close)
            await _act(stack, caller, side, journal, trouble)
    finally:
        bury(folder, stack.mark)
        undertaker.terminate()
        undertaker.communicate()
        journal.close()


async def _act(stack: Stack, caller: Caller, side: SideChannel, journal: Journal, trouble: Trouble) -> None:
    settings = stack.settings
    workload = Workload(caller, Random(settings.seed + 1), side_port=side.port, mark=stack.mark)
    stage = Stage(stack, workload, side, journal)
    began, stopped, healed = time.time(), asyncio.Event(), asyncio.Event()
    stack.write_settings(began_at=began)
    own = settings.machines == "processes"
    ledger = asyncio.create_task(ProcessLedger(stack.folder, journal).run()) if own else None
    await workload.prepare()
    most = _NO_LIMIT if settings.runs is None else settings.runs
    running = asyncio.create_task(workload.keep(settings.in_flight, most, stopped))
    troubling = asyncio.create_task(trouble(stage, healed))
    await _until_enough(workload, running, settings)
    stopped.set()
    healed.set()
    await troubling
    healed_at = time.time()
    with suppress(TimeoutError):
        await asyncio.wait_for(running, settings.settle_s)
    over_at = time.time()
    await asyncio.sleep(settings.idle_ttl_s + settings.machine_grace_s)
    left = evidence.list_processes(stack.folder, stack.mark, journal)
    await _look_again(caller, workload)
    if ledger is not None:
        ledger.cancel()
    await stack.stop_services()
    if ledger is None:
        stack.provider.keep_ledger()
    await evidence.dump(stack.database_url(), stack.folder / "sql")
    await rebuild_all(stack.database_url(), settings, stack.folder / "rebuilt")
    evidence.list_blobs(stack.folder / "blobs", journal)
    stack.write_settings(
        began_at=began, healed_at=healed_at, over_at=over_at, ended_at=time.time(), left=len(left)
    )


async def _until_enough(workload: Workload, running: "asyncio.Task[None]", settings: Settings) -> None:
    """The time is over, or nearly all runs are: faults hit the last ones as well."""
    deadline = float("inf") if settings.minutes is None else time.time() + settings.minutes * 60
    while not running.done() and time.time() < deadline:
        await asyncio.sleep(0.5)
        last = len(workload.flights) == settings.runs
        if last and len(workload.in_flight) < settings.in_flight / 2:
            return


async def _look_again(caller: Caller, workload: Workload) -> None:
    """What was over must still be what it was."""
    some = asyncio.Semaphore(8)

    async def look(run: str) -> None:
        async with some:
            await caller.until("get", "GET", f"/v1/runs/{run}", run=run)

    await asyncio.gather(*(look(flight.id) for flight in workload.flights if flight.id is not None))
