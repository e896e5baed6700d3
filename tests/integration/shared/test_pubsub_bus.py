import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
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


class Mute(grpc.GenericRpcHandler):
    """A way to the broker on which the answer to the first call is lost without a word."""

    def __init__(self, far: grpc.aio.Channel) -> None:
        self._far = far
        self.calls = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method

        async def handle(request: bytes, context: Any) -> bytes:
            metadata = [pair for pair in context.invocation_metadata() if pair[0] == "x-goog-request-params"]
            answer: bytes = await self._far.unary_unary(method)(request, metadata=metadata)
            if method.endswith("/Publish"):
                self.calls += 1
                if self.calls == 1:
                    await asyncio.Event().wait()
            return answer

        return grpc.unary_unary_rpc_method_handler(handle)


async def test_an_answer_to_a_publish_that_never_comes_is_not_waited_for_long(
    pubsub_emulator: str,
) -> None:
    """All that a service has to tell waits behind it."""
    async with grpc.aio.insecure_channel(pubsub_emulator) as far:
        server, mute = grpc.aio.server(), Mute(far)
        server.add_generic_rpc_handlers((mute,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with open_pubsub("mute", emulator=f"127.0.0.1:{port}", pace=PACE) as bus:
                inbox, sent = Inbox(), fact()
                async with bus.subscribe("gateway", [RunQueued], inbox), asyncio.timeout(15):
                    with pytest.raises(BusUnavailable):
                        await bus.publish([sent])
                    await bus.publish([sent])
                    await inbox.all_of([sent])
        finally:
            await server.stop(None)


async def _published(bus: EventBus, sent: list[Envelope]) -> None:
    """As a relay does: again until the broker has it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await bus.publish(sent)
            except BusUnavailable:
                await asyncio.sleep(0)
