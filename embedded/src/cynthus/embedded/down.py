"""Stops everything that the platform of a state folder started, by id, and sees that it is gone."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from cynthus.embedded.alone import held
from cynthus.embedded.home import Home
from cynthus.embedded.postgres import EmbeddedPostgres
from cynthus.provisioner.adapters.processes import ProcessMachines

_PATIENCE_S = 15.0
_LOOK_S = 0.05


class NotStopped(Exception):
    """Something is still there."""


async def down(home: Home) -> list[str]:
    """What was stopped, in words; empty when nothing ran."""
    stopped: list[str] = []
    if held(home.lock):
        await _stop_platform(home)
        stopped.append("platform")
    machines = ProcessMachines(home.machines, kill_after_s=_PATIENCE_S / 2)
    if names := [machine.name for machine in await machines.list()]:
        await _delete(machines, names)
        stopped.append("1 worker" if len(names) == 1 else f"{len(names)} workers")
    server = EmbeddedPostgres(home.postgres)
    if home.postgres.exists() and server.pid is not None:
        await server.stop()
        stopped.append("PostgreSQL")
    return stopped


async def _stop_platform(home: Home) -> None:
    pid = home.described().get("pid")
    if not isinstance(pid, int) or not _is_platform(pid):
        raise NotStopped(
            f"a platform runs on {home.root}, but {home.description} does not tell which process"
        )
    os.kill(pid, signal.SIGTERM)
    if await _until(lambda: not held(home.lock), _PATIENCE_S):
        return
    os.kill(pid, signal.SIGKILL)
    if not await _until(lambda: not held(home.lock), _PATIENCE_S):
        raise NotStopped(f"the platform, process {pid}, does not stop")


def _is_platform(pid: int) -> bool:
    """Guard against a process number that was given to another program since."""
    command = Path(f"/proc/{pid}/cmdline")
    if not command.parent.parent.exists() or not Path("/proc/self").exists():
        return True
    try:
        return b"cynthus.embedded" in command.read_bytes()
    except OSError:
        return False


async def _delete(machines: ProcessMachines, names: Iterable[str]) -> None:
    deadline = time.monotonic() + 2 * _PATIENCE_S
    left = frozenset(names)
    while left:
        if time.monotonic() > deadline:
            raise NotStopped(f"these workers do not stop: {', '.join(sorted(left))}")
        for name in left:
            await machines.delete(name)
        await asyncio.sleep(_LOOK_S)
        left = frozenset(machine.name for machine in await machines.list())


async def _until(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        await asyncio.sleep(_LOOK_S)
    return done()
