"""An open subscription on Pub/Sub: unary pulls, leases renewed by hand.

Never StreamingPull: at the emulator, messages vanish after a stream has ended.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from google.api_core.exceptions import DeadlineExceeded, InvalidArgument
from google.pubsub_v1 import SubscriberAsyncClient
from google.pubsub_v1.types import AcknowledgeRequest, ModifyAckDeadlineRequest, PullRequest, PullResponse

from cynthus.bus import arrivals
from cynthus.bus.custody import Custody
from cynthus.bus.pace import Pace
from cynthus.bus.ports import Delivery, Handler, Undecodable
from cynthus.bus.pubsub.clients import TopologyMissing, translated
from cynthus.bus.pubsub.topology import Topology

_CALL_S = 10.0
_LINGER_S = 1.0
_IDS_PER_CALL = 1_000
_request = PullRequest.pb()


@dataclass(frozen=True, slots=True)
class Receipt:
    """The right to acknowledge one delivery, void when the broker lost its subscription."""

    ack_id: str
    subscription: str = field(compare=False)
    generation: int
    attempt: int = field(compare=False)


class Pulling:
    """One replica's share of a subscriber's messages, one pull at a time on each subscription."""

    def __init__(
        self,
        client: SubscriberAsyncClient,
        topology: Topology,
        handler: Handler,
        *,
        concurrency: int,
        pace: Pace,
        name: str,
    ) -> None:
        self._client = client
        self._topology = topology
        self._most = concurrency
        self._pace = pace
        self._custody: Custody[Receipt] = Custody(
            self, handler, concurrency=concurrency, pace=pace, name=name
        )
        self._delayed: dict[asyncio.Task[None], Receipt] = {}
        self._closing = False

    @asynccontextmanager
    async def running(self, subscriptions: Sequence[str]) -> AsyncIterator[None]:
        """Deliver while the context is open."""
        pulls = [asyncio.create_task(self._pull_from(path)) for path in subscriptions]
        settling = asyncio.create_task(self._custody.settle())
        keeping = asyncio.create_task(self._custody.keep())
        try:
            yield
        finally:
            await self._close(pulls, settling)
            keeping.cancel()
            await asyncio.wait([keeping])

    async def acknowledge(self, leases: Sequence[Receipt]) -> None:
        """Tell the broker that messages are handled."""
        await self._tell(leases, None)

    async def extend(self, leases: Sequence[Receipt]) -> None:
        """Ask the broker to wait another lease."""
        await self._tell(leases, round(self._pace.lease_s))

    async def put_back(self, leases: Sequence[tuple[Receipt, float]]) -> None:
        """Nack. The back-off is ours: whole seconds are a lease that runs out, less than one is a timer."""
        by_seconds: dict[int, list[Receipt]] = defaultdict(list)
        for receipt, delay_s in leases:
            if 0 < delay_s < 1 and not self._closing:
                nack = asyncio.create_task(self._nack_after(receipt, delay_s))
                self._delayed[nack] = receipt
                nack.add_done_callback(self._delayed.pop)
            else:
                by_seconds[int(delay_s)].append(receipt)
        await asyncio.gather(*(self._tell(receipts, seconds) for seconds, receipts in by_seconds.items()))

    async def _pull_from(self, subscription: str) -> None:
        while await self._custody.room():
            await self._custody.tried(partial(self._pull, subscription))

    async def _pull(self, subscription: str) -> bool:
        generation = self._topology.generation
        request = PullRequest.wrap(_request(subscription=subscription, max_messages=self._most))
        try:
            with translated(), suppress(DeadlineExceeded):
                response = await self._client.pull(request, retry=None, timeout=self._pace.poll_s)
                await self._start(subscription, generation, response)
        except TopologyMissing:
            await self._topology.restore(generation)
        return True

    async def _start(self, subscription: str, generation: int, response: PullResponse) -> None:
        came: list[tuple[Receipt, Delivery | Undecodable]] = []
        for received in PullResponse.pb(response).received_messages:
            message, attempt = received.message, received.delivery_attempt or 1
            receipt = Receipt(received.ack_id, subscription, generation, attempt)
            self._custody.hold(receipt)
            came.append(
                (receipt, arrivals.read(message.message_id, dict(message.attributes), message.data, attempt))
            )
        for receipt, arrival in came:
            if await self._custody.room():
                self._custody.start(receipt, arrival)
            else:
                self._custody.release(receipt)

    async def _tell(self, receipts: Sequence[Receipt], seconds: int | None) -> None:
        """Acknowledge, or set the seconds until the next delivery."""
        by_subscription: dict[str, list[str]] = defaultdict(list)
        for receipt in receipts:
            if receipt.generation == self._topology.generation:
                by_subscription[receipt.subscription].append(receipt.ack_id)
        await asyncio.gather(
            *(
                self._call(subscription, ids[start : start + _IDS_PER_CALL], seconds)
                for subscription, ids in by_subscription.items()
                for start in range(0, len(ids), _IDS_PER_CALL)
            )
        )

    async def _call(self, subscription: str, ids: list[str], seconds: int | None) -> None:
        # What the broker no longer knows, it delivers again by itself or has lost for ever.
        with suppress(TopologyMissing), translated(), suppress(InvalidArgument):
            if seconds is None:
                acknowledge = AcknowledgeRequest(subscription=subscription, ack_ids=ids)
                await self._client.acknowledge(acknowledge, retry=None, timeout=_CALL_S)
            else:
                modify = ModifyAckDeadlineRequest(
                    subscription=subscription, ack_ids=ids, ack_deadline_seconds=seconds
                )
                await self._client.modify_ack_deadline(modify, retry=None, timeout=_CALL_S)

    async def _nack_after(self, receipt: Receipt, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._tell([receipt], 0)

    async def _close(self, pulls: Sequence[asyncio.Task[None]], settling: asyncio.Task[None]) -> None:
        """Let pulls come home: what a cancelled one was about to bring waits until its lease ends."""
        self._closing = True
        self._custody.close()
        _, late = await asyncio.wait(pulls, timeout=_LINGER_S)
        for pull in late:
            pull.cancel()
        if late:
            await asyncio.wait(late)
        for nack, receipt in list(self._delayed.items()):
            nack.cancel()
            self._custody.release(receipt)
        await self._custody.drain(settling)
