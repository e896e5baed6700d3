"""What holding a machine and giving it back promise, in whichever order it is told."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from cynthus.bus.ports import Delivery
from cynthus.events import (
    AttemptLost,
    Cause,
    Envelope,
    Event,
    MachineReleased,
    MachineRequested,
    VMReady,
    new_id,
)
from cynthus.provisioner.adapters.memory_machines import MemoryMachines
from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.domain.machine import Stage
from cynthus.provisioner.domain.pool import Limits
from cynthus.provisioner.handlers import DemandHandler
from cynthus.provisioner.ports import Greeting, Intent, Ledger
from cynthus.store.ports import AlreadyHandled, EventStore

LIMITS = Limits(slots=4, warm=4, idle_ttl=timedelta(seconds=60), boot_timeout=timedelta(seconds=60))
RUN = "run_1"
LOST = AttemptLost(run_id=RUN, epoch=1, cause=Cause(code="lost_machine", message="silent"))
RELEASED = MachineReleased(run_id=RUN, epoch=1, machine="cyn-a", lost=True)
AGAIN = MachineRequested(run_id=RUN, epoch=2, owner="o")
OTHER = MachineRequested(run_id="run_2", epoch=1, owner="o")
ORDERS = [*permutations((LOST, RELEASED, AGAIN)), (RELEASED, AGAIN), (LOST, AGAIN), (RELEASED, OTHER, LOST)]


def in_order(events: tuple[Event, ...]) -> str:
    return ", ".join(f"{type(event).__name__} {getattr(event, 'epoch', '')}" for event in events)


@dataclass
class Holds:
    """A provisioner's ledger and the history that holds its machines."""

    ledger: Ledger
    store: EventStore

    def __post_init__(self) -> None:
        machines = MemoryMachines(Host(cpu=2, memory_bytes=8 * 10**9))
        self.handler = DemandHandler(self.store, self.ledger, machines, slots=4, changed=lambda: None)

    async def come_up(self, name: str) -> None:
        assert await self.ledger.intend(Intent(name, "here", name, "a test"), LIMITS, timedelta(seconds=60))
        assert await self.ledger.hello(name, "boot-1") is Greeting.WELCOME

    async def hear(self, event: Event) -> None:
        """It is delivered twice, as two messages, the first of them once more."""
        for delivery in (once := _delivery(event), once, _delivery(event)):
            handle = {
                MachineRequested: self.handler.requested,
                MachineReleased: self.handler.released,
                AttemptLost: self.handler.fenced,
            }[type(event)]
            try:
                await handle(delivery)
            except AlreadyHandled:
                continue

    async def stage(self, name: str) -> Stage:
        row = await self.ledger.find(name)
        assert row is not None
        return row.stage

    async def served(self, run: str) -> dict[int, str]:
        facts = [recorded.envelope.event for recorded in await self.store.read(f"run-{run}")]
        return {fact.epoch: fact.machine for fact in facts if isinstance(fact, VMReady)}


def _delivery(event: Event) -> Delivery:
    now = datetime.now(UTC)
    envelope = Envelope(new_id("evt"), "orchestrator", now, event, event.subject, 1, "service:orchestrator")
    return Delivery(envelope, 1)


class HoldsContract:
    """Give `holds`: an empty ledger, and a store that holds its machines."""

    @pytest.mark.parametrize("order", ORDERS, ids=in_order)
    async def test_a_machine_that_an_attempt_was_lost_on_is_nobody_elses(
        self, holds: Holds, order: tuple[Event, ...]
    ) -> None:
        await holds.come_up("cyn-a")
        await holds.hear(MachineRequested(run_id=RUN, epoch=1, owner="o"))
        for event in order:
            await holds.hear(event)
        assert await holds.served(RUN) == {1: "cyn-a"}
        assert await holds.served("run_2") == {}
        assert await holds.stage("cyn-a") is Stage.DELETING
        assert await holds.ledger.idle_machine() is None
        await holds.come_up("cyn-b")
        await holds.handler.serve_waiting()
        waiting = OTHER if OTHER in order else AGAIN
        assert (await holds.served(waiting.run_id))[waiting.epoch] == "cyn-b"

    async def test_a_machine_that_is_given_back_in_order_serves_again(self, holds: Holds) -> None:
        await holds.come_up("cyn-a")
        await holds.hear(MachineRequested(run_id=RUN, epoch=1, owner="o"))
        await holds.hear(MachineReleased(run_id=RUN, epoch=1, machine="cyn-a"))
        assert await holds.stage("cyn-a") is Stage.IDLE
        await holds.hear(OTHER)
        assert await holds.served("run_2") == {1: "cyn-a"}

    async def test_a_late_loss_takes_nothing_from_whoever_holds_the_machine_now(self, holds: Holds) -> None:
        await holds.come_up("cyn-a")
        await holds.hear(MachineRequested(run_id=RUN, epoch=1, owner="o"))
        await holds.hear(MachineReleased(run_id=RUN, epoch=1, machine="cyn-a"))
        await holds.hear(OTHER)
        for event in (RELEASED, LOST):
            await holds.hear(event)
        assert await holds.stage("cyn-a") is Stage.HELD
