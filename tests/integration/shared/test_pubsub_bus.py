import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from google.pubsub_v1.types import PubsubMessage

from cynthus.bus.backoff import Backoff
from cynthus.bus.pace import Pace
from cynthus.bus.ports import BusUnavailable, EventBus
from cynthus.bus.pubsub import PubSubBus, open_pubsub
from cynthus.bus.pubsub.clients import Clients, open_clients
from cynthus.events import Envelope, Event, RunCancelled, RunQueued
from tests.contracts.event_bus import PATIENCE_S, DurableEventBusContract, Inbox, fact
from tests.fixtures.pubsub import Emulator

pytestmark = pytest.mark.needs("pubsub-emulator")

PACE = Pace(poll_s=1.5, grace_s=0.5, pause_s=0.1, backoff=Backoff(first_s=0.005))
_numbers = itertools.count(1)

HOLDER = """
import asyncio
from cynthus.bus.pubsub import open_pubsub
from cynthus.events import RunQueued

async def hold(arrival):
    print("taken", flush=True)
    await asyncio.Event().wait()

async def main():
    async with open_pubsub({project!r}, emulator={emulator!r}) as bus:
        async with bus.subscribe({subscriber!r}, [RunQueued], hold):
            await asyncio.Event().wait()

asyncio.run(main())
"""


class PubSubBroker:
    lease_s = PACE.lease_s

    def __init__(self, clients: Clients, emulator: str) -> None:
        self._clients = clients
        self._emulator = emulator
        self.project = f"contract-{next(_numbers)}"

    def bus(self) -> EventBus:
        return PubSubBus(self._clients, self.project, pace=PACE)

    async def put(self, event: type[Event], data: bytes) -> None:
        await self._clients.publisher.publish(
            topic=f"projects/{self.project}/topics/{event.topic()}",
            messages=[PubsubMessage(data=data, attributes={"content-type": "application/cloudevents+json"})],
        )

    def holder(self, subscriber: str) -> str:
        return HOLDER.format(project=self.project, emulator=self._emulator, subscriber=subscriber)


@pytest.fixture
async def broker(pubsub_emulator: str) -> AsyncIterator[PubSubBroker]:
    async with open_clients(pubsub_emulator) as clients:
        yield PubSubBroker(clients, pubsub_emulator)


class TestPubSubBus(DurableEventBusContract):
    pass


async def test_prefixes_keep_platforms_in_one_project_apart(pubsub_emulator: str) -> None:
    ours, theirs, sent = Inbox(), Inbox(), [fact(), fact()]
    async with (
        open_pubsub("shared", prefix="ours-", emulator=pubsub_emulator, pace=PACE) as one,
        open_pubsub("shared", prefix="theirs-", emulator=pubsub_emulator, pace=PACE) as other,
        one.subscribe("gateway", [RunQueued], ours),
        other.subscribe("gateway", [RunQueued], theirs),
    ):
        await one.publish(sent[:1])
        await other.publish(sent[1:])
        await ours.all_of(sent[:1])
        await theirs.all_of(sent[1:])
    assert ours.ids + theirs.ids == [envelope.id for envelope in sent]


async def test_after_the_broker_lost_everything_the_bus_works_again(mortal_pubsub_emulator: Emulator) -> None:
    inbox, lost = Inbox(), asyncio.Event()
    async with open_pubsub("restart", emulator=mortal_pubsub_emulator.address, pace=PACE) as bus:
        bus.on_loss(lost.set)
        async with bus.subscribe("gateway", [RunQueued, RunCancelled], inbox):
            before = fact()
            await bus.publish([before])
            await inbox.all_of([before])
            mortal_pubsub_emulator.kill()
            with pytest.raises(BusUnavailable):
                await bus.publish([fact()])
            mortal_pubsub_emulator.start()
            await asyncio.wait_for(lost.wait(), PATIENCE_S)
            after = [fact(), fact(RunCancelled(run_id="run_1"))]
            await bus.publish(after)
            await inbox.all_of(after)


async def test_a_publisher_that_finds_its_topic_gone_makes_it_again(mortal_pubsub_emulator: Emulator) -> None:
    lost: list[str] = []
    async with open_pubsub("restart", emulator=mortal_pubsub_emulator.address, pace=PACE) as bus:
        bus.on_loss(lambda: lost.append("once"))
        await bus.ensure("gateway", [RunQueued])
        await bus.publish([fact()])
        mortal_pubsub_emulator.kill()
        mortal_pubsub_emulator.start()
        sent, inbox = [fact(), fact(RunCancelled(run_id="run_1"))], Inbox()
        await _published(bus, sent)
        assert lost == ["once"]
        async with bus.subscribe("gateway", [RunQueued], inbox):
            await inbox.all_of(sent[:1])


async def _published(bus: EventBus, sent: list[Envelope]) -> None:
    """As a relay does: again until the broker has it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await bus.publish(sent)
            except BusUnavailable:
                await asyncio.sleep(0)
