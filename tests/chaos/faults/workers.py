"""Workers, their machines and users' programs that are killed or frozen."""

import asyncio
import signal
from random import Random

from tests.chaos.faults.registry import Hit, fault
from tests.chaos.processes import Running, below, descendants, send
from tests.chaos.stage import Stage


@fault(5, "kill worker agent", weight=2)
async def kill_an_agent(stage: Stage, random: Random) -> Hit | None:
    """The user's program lives on for a moment, and must not for long."""
    agent = stage.an_agent(random)
    if agent is None or not send(agent.pid, signal.SIGKILL):
        return None
    return Hit(
        f"{agent.machine}", {"machine": agent.machine, "runs": stage.runs_on(agent.machine), "pid": agent.pid}
    )


@fault(5, "kill machine", weight=2)
async def kill_a_machine(stage: Stage, random: Random) -> Hit | None:
    """Everything on it at once, as when a host loses power."""
    agent = stage.an_agent(random)
    if agent is None:
        return None
    runs = stage.runs_on(agent.machine)
    for pid in _tree(stage, agent):
        send(pid, signal.SIGKILL)
    return Hit(f"{agent.machine}", {"machine": agent.machine, "runs": runs})


@fault(6, "kill user program", weight=1)
async def kill_a_program(stage: Stage, random: Random) -> Hit | None:
    """Its exit is recorded as what it is."""
    programs = [one for one in below(stage.stack.folder, stage.stack.mark) if _is_program(one)]
    if not programs:
        return None
    program = random.choice(sorted(programs, key=lambda one: one.pid))
    send(program.pid, signal.SIGKILL)
    return Hit(f"{program.run}", {"run": program.run, "pid": program.pid})


@fault(7, "freeze machine", weight=2)
async def freeze_a_machine(stage: Stage, random: Random) -> Hit | None:
    """All of its processes for longer than a lease; then they go on, and another attempt has begun."""
    agent = stage.an_agent(random)
    if agent is None:
        return None
    return await _freeze(stage, agent, _tree(stage, agent), stage.settings.lease_s * random.uniform(1.2, 2))


@fault(7, "freeze worker agent", weight=1)
async def freeze_an_agent(stage: Stage, random: Random) -> Hit | None:
    """Only the agent: the program must be stopped in time by what looks after it."""
    agent = stage.an_agent(random)
    if agent is None:
        return None
    return await _freeze(stage, agent, [agent.pid], stage.settings.lease_s * random.uniform(1.2, 2))


@fault(7, "freeze machine for less than a lease", weight=1)
async def freeze_briefly(stage: Stage, random: Random) -> Hit | None:
    """Nothing is lost."""
    agent = stage.an_agent(random)
    if agent is None:
        return None
    return await _freeze(stage, agent, _tree(stage, agent), stage.settings.lease_s * random.uniform(0.1, 0.4))


async def _freeze(stage: Stage, agent: Running, pids: list[int], seconds: float) -> Hit:
    detail = {"machine": agent.machine, "runs": stage.runs_on(agent.machine), "seconds": seconds}
    for pid in pids:
        send(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for pid in pids:
            send(pid, signal.SIGCONT)
    return Hit(f"{agent.machine}", detail)


def _tree(stage: Stage, agent: Running) -> list[int]:
    """The agent, what it started, and the first process of its machine where it has one."""
    machine = [one.pid for one in below(stage.stack.folder) if one.machine == agent.machine]
    every = [agent.pid, *machine]
    for pid in list(every):
        every += descendants(pid)
    return list(dict.fromkeys(every))


def _is_program(one: Running) -> bool:
    return one.run is not None and one.machine is None and any("main.py" in part for part in one.command)
