"""What every inbox does beside counting, which the contract of the event store shows."""

from datetime import UTC, datetime

import pytest

from cynthus.bus.ports import Delivery, Undecodable
from cynthus.events import Cause, Envelope, RunFailed
from cynthus.store.inbox import Inbox
from cynthus.store.parked import NotParked, park

ENVELOPE = Envelope(
    id="evt_1",
    source="there",
    time=datetime(2026, 1, 2, tzinfo=UTC),
    event=RunFailed(run_id="run_1", cause=Cause(code="x", message="so it is")),
    stream="run-run_1",
    sequence=3,
    actor="worker:w",
)
MESSAGE = Delivery(ENVELOPE, 5)


class InboxContract:
    """Inherited with a fixture `inbox`."""

    async def test_a_parked_message_can_be_looked_at(self, inbox: Inbox) -> None:
        await inbox.park(park("here", MESSAGE, reason="broken", attempts=5))
        found = await inbox.find("here", "evt_1")
        assert (found.reason, found.attempts, found.envelope()) == ("broken", 5, ENVELOPE)
        assert found.parked_at is not None
        assert list(await inbox.parked("here")) == [found]
        assert list(await inbox.parked("elsewhere")) == []

    async def test_parking_again_keeps_one_with_the_last_reason(self, inbox: Inbox) -> None:
        for n in (1, 2):
            await inbox.park(park("here", MESSAGE, reason=f"reason {n}", attempts=n))
        [parked] = await inbox.parked("here")
        assert (parked.reason, parked.attempts) == ("reason 2", 2)

    async def test_what_is_no_longer_parked_starts_anew(self, inbox: Inbox) -> None:
        await inbox.fail("here", "evt_1", "broken", counted=False)
        await inbox.park(park("here", MESSAGE, reason="broken", attempts=1))
        await inbox.unpark("here", "evt_1")
        with pytest.raises(NotParked):
            await inbox.find("here", "evt_1")
        assert (await inbox.count("here", "evt_1")).attempts == 1

    async def test_bytes_that_are_no_fact_can_be_parked(self, inbox: Inbox) -> None:
        message = Undecodable("m\x001", {"ce-type": "a\x00b"}, b"\xff\x00", "not JSON \x00", 1)
        await inbox.park(park("here", message, reason=message.reason, attempts=1))
        [parked] = await inbox.parked("here")
        assert parked.reason == "not JSON \ufffd"
        assert parked.document == {"attributes": {"ce-type": "a\ufffdb"}, "data_base64": "/wA="}
        await inbox.unpark("here", parked.message_id)
        assert list(await inbox.parked("here")) == []

    async def test_what_needs_nothing_more_is_told_apart(self, inbox: Inbox) -> None:
        await inbox.park(park("here", MESSAGE, reason="broken", attempts=1))
        await inbox.fail("here", "evt_2", "broken", counted=False)
        assert await inbox.done("here", ["evt_1", "evt_2", "evt_3"]) == {"evt_1"}
        assert await inbox.done("elsewhere", ["evt_1"]) == frozenset()
        assert await inbox.done("here", []) == frozenset()
