"""What every event store does."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from cynthus.events import Cause, Envelope, Event, RunFailed, RunQueued, RunSucceeded
from cynthus.store.inbox import Inbox
from cynthus.store.ports import START, AlreadyHandled, ConcurrentAppend, EventStore, PositionUnknown, Why

WHY = Why(actor="service:test")


def queued(run_id: str = "run_1") -> RunQueued:
    return RunQueued(run_id=run_id)


def succeeded(run_id: str = "run_1", epoch: int = 1) -> RunSucceeded:
    return RunSucceeded(run_id=run_id, epoch=epoch)


def arriving(event: Event, event_id: str = "evt_elsewhere") -> Envelope:
    return Envelope(
        id=event_id,
        source="elsewhere",
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        event=event,
        stream="run-run_1",
        sequence=7,
        actor="worker:w1",
        correlation_id="run_1",
        causation_id="evt_before",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )


class EventStoreContract:
    """Inherited by one class per adapter, which gives a fresh `store` (source "here") and its `inbox`."""

    async def test_facts_come_back_in_version_order(self, store: EventStore) -> None:
        await store.append("run-run_1", [queued(), succeeded()], expected=0, why=WHY)
        facts = await store.read("run-run_1")
        assert [fact.envelope.event for fact in facts] == [queued(), succeeded()]
        assert [fact.envelope.sequence for fact in facts] == [1, 2]

    async def test_what_append_returns_is_what_read_returns(self, store: EventStore) -> None:
        appended = await store.append("run-run_1", [queued(), succeeded()], expected=0, why=WHY)
        assert await store.read("run-run_1") == appended
        assert await store.tail() == appended

    async def test_a_stream_nobody_wrote_is_empty(self, store: EventStore) -> None:
        assert await store.read("run-run_1") == []

    async def test_reading_may_begin_later_and_end_sooner(self, store: EventStore) -> None:
        await store.append("s", [succeeded(epoch=n) for n in range(1, 6)], expected=0, why=WHY)
        facts = await store.read("s", after=1, limit=2)
        assert [fact.envelope.sequence for fact in facts] == [2, 3]

    async def test_an_envelope_says_who_when_and_about_what(self, store: EventStore) -> None:
        cause = arriving(succeeded())
        [fact] = await store.append("s", [queued()], expected=0, why=Why(actor="user:ada", cause=cause))
        envelope = fact.envelope
        assert envelope.id.startswith("evt_")
        assert (envelope.source, envelope.actor, envelope.stream) == ("here", "user:ada", "s")
        assert (envelope.correlation_id, envelope.causation_id) == ("run_1", "evt_elsewhere")
        assert envelope.traceparent == cause.traceparent
        assert abs(datetime.now(UTC) - envelope.time) < timedelta(minutes=1)

    async def test_appending_nothing_without_an_inbox_is_nothing(self, store: EventStore) -> None:
        assert await store.append("s", [], expected=0, why=WHY) == []
        assert await store.tail() == []

    @pytest.mark.parametrize("expected", [0, 2, 5])
    async def test_a_wrong_version_writes_nothing(self, store: EventStore, expected: int) -> None:
        await store.append("s", [queued()], expected=0, why=WHY)
        with pytest.raises(ConcurrentAppend):
            await store.append("s", [succeeded()], expected=expected, why=WHY)
        assert len(await store.read("s")) == 1

    async def test_a_refused_append_leaves_its_message_unhandled(self, store: EventStore) -> None:
        why = Why(actor="a", cause=arriving(queued()), consumer="here")
        with pytest.raises(ConcurrentAppend):
            await store.append("s", [succeeded()], expected=3, why=why)
        assert len(await store.append("s", [succeeded()], expected=0, why=why)) == 1

    async def test_of_many_writers_at_one_version_one_wins(self, store: EventStore) -> None:
        results = await asyncio.gather(
            *(store.append("s", [succeeded(epoch=n)], expected=0, why=WHY) for n in range(20)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, list) for result in results) == 1
        assert sum(isinstance(result, ConcurrentAppend) for result in results) == 19
        assert len(await store.read("s")) == 1

    async def test_a_message_is_handled_once(self, store: EventStore) -> None:
        why = Why(actor="a", cause=arriving(queued()), consumer="here")
        await store.append("s", [succeeded()], expected=0, why=why)
        with pytest.raises(AlreadyHandled):
            await store.append("s", [succeeded(epoch=2)], expected=1, why=why)
        assert len(await store.read("s")) == 1

    async def test_being_done_counts_more_than_a_stream_that_moved_on(self, store: EventStore) -> None:
        why = Why(actor="a", cause=arriving(queued()), consumer="here")
        await store.append("s", [succeeded()], expected=0, why=why)
        with pytest.raises(AlreadyHandled):
            await store.append("s", [succeeded(epoch=2)], expected=0, why=why)

    async def test_of_many_arrivals_of_one_message_one_wins(self, store: EventStore) -> None:
        why = Why(actor="a", cause=arriving(queued()), consumer="here")
        results = await asyncio.gather(
            *(store.append(f"s{n}", [succeeded()], expected=0, why=why) for n in range(20)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, AlreadyHandled) for result in results) == 19
        assert len(await store.tail()) == 1

    async def test_a_message_that_changes_nothing_can_be_marked_as_handled(self, store: EventStore) -> None:
        why = Why(actor="a", cause=arriving(queued()), consumer="here")
        assert await store.append("s", [], expected=0, why=why) == []
        with pytest.raises(AlreadyHandled):
            await store.append("s", [], expected=0, why=why)

    async def test_nothing_decided_from_an_old_version_is_refused(self, store: EventStore) -> None:
        await store.append("s", [queued()], expected=0, why=WHY)
        why = Why(actor="a", cause=arriving(succeeded()), consumer="here")
        with pytest.raises(ConcurrentAppend):
            await store.append("s", [], expected=0, why=why)

    async def test_each_consumer_handles_for_itself(self, store: EventStore) -> None:
        cause = arriving(queued())
        await store.append("s", [succeeded()], expected=0, why=Why("a", cause, "one"))
        await store.append("s", [succeeded(epoch=2)], expected=1, why=Why("a", cause, "two"))
        assert len(await store.read("s")) == 2

    async def test_a_fact_taken_over_stays_itself(self, store: EventStore) -> None:
        cause = arriving(queued())
        taken, decided = await store.append(
            "s", [queued(), succeeded()], expected=0, why=Why("service:here", cause, "here")
        )
        assert (taken.decided, decided.decided) == (False, True)
        envelope = taken.envelope
        assert (envelope.id, envelope.source, envelope.actor) == (cause.id, cause.source, cause.actor)
        assert (envelope.time, envelope.causation_id) == (cause.time, cause.causation_id)
        assert (envelope.stream, envelope.sequence) == ("s", 1)
        assert decided.envelope.causation_id == cause.id
        assert await store.read("s") == [taken, decided]

    async def test_a_fact_is_taken_over_once(self, store: EventStore) -> None:
        why = Why("service:here", arriving(queued()))
        await store.append("s", [queued()], expected=0, why=why)
        for expected in (0, 1):
            with pytest.raises(AlreadyHandled):
                await store.append("s", [queued()], expected=expected, why=why)
        assert len(await store.read("s")) == 1

    async def test_the_tail_pages_through_all_streams(self, store: EventStore) -> None:
        for n in range(7):
            await store.append(f"s{n % 3}", [succeeded(epoch=n)], expected=n // 3, why=WHY)
        seen: list[int] = []
        position = START
        while facts := await store.tail(after=position, limit=2):
            seen += [fact.envelope.event.epoch for fact in facts]  # type: ignore[attr-defined]
            position = facts[-1].position
        assert seen == list(range(7))

    async def test_many_facts_in_one_append_keep_their_order(self, store: EventStore) -> None:
        events = [succeeded(epoch=n) for n in range(1000)]
        await store.append("s", events, expected=0, why=WHY)
        assert [fact.envelope.event for fact in await store.tail(limit=2000)] == events

    async def test_whoever_tails_is_woken(self, store: EventStore) -> None:
        async with store.appended() as appended:
            waiting = asyncio.create_task(appended.wait(30))
            await asyncio.sleep(0)
            await store.append("s", [queued()], expected=0, why=WHY)
            await asyncio.wait_for(waiting, 5)

    async def test_a_hint_between_two_waits_is_kept(self, store: EventStore) -> None:
        async with store.appended() as appended:
            await appended.wait(0)
            recorded = await store.append("s", [queued()], expected=0, why=WHY)
            await asyncio.wait_for(appended.wait(30), 5)
            assert appended.take() == recorded
            assert appended.take() == []

    async def test_one_can_go_back_to_what_is_younger_than_an_hour(self, store: EventStore) -> None:
        recorded = await store.append("s", [queued(), succeeded()], expected=0, why=WHY)
        position = await store.position_before(timedelta(hours=1))
        assert await store.tail(after=position) == recorded
        assert await store.tail(after=await store.position_before(timedelta(0))) == []

    async def test_a_nul_character_in_a_fact_is_replaced(self, store: EventStore) -> None:
        event = RunFailed(run_id="run_1", cause=Cause(code="x", message="a\x00b \\u0000"))
        await store.append("s", [event], expected=0, why=WHY)
        [fact] = await store.read("s")
        assert isinstance(fact.envelope.event, RunFailed)
        assert fact.envelope.event.cause.message == "a\ufffdb \\u0000"

    async def test_an_attempt_is_counted_until_the_message_is_handled(
        self, store: EventStore, inbox: Inbox
    ) -> None:
        cause = arriving(queued())
        assert (await inbox.count("here", cause.id)).attempts == 1
        assert await inbox.fail("here", cause.id, "no\x00", counted=True) == 1
        assert await inbox.fail("here", cause.id, "again", counted=False) == 2
        tries = await inbox.count("here", cause.id)
        assert (tries.attempts, tries.handled, tries.last_error) == (3, False, "again")
        await store.append("s", [queued()], expected=0, why=Why("a", cause, "here"))
        tries = await inbox.count("here", cause.id)
        assert (tries.attempts, tries.handled) == (3, True)

    async def test_what_was_decided_is_paged_by_type_without_what_was_taken_over(
        self, store: EventStore
    ) -> None:
        cause = arriving(queued())
        first = await store.append(
            "a", [queued(), succeeded(), succeeded(epoch=2)], expected=0, why=Why("x", cause, "here")
        )
        second = await store.append("b", [queued("run_2"), succeeded("run_2")], expected=0, why=WHY)
        wanted = [fact.envelope.id for fact in (*first[1:], second[1])]
        page = await store.decided(after=START, types=[RunSucceeded], limit=2)
        assert (list(page.ids), page.next, page.more) == (wanted[:2], first[2].position, True)
        page = await store.decided(after=page.next, types=[RunSucceeded], limit=2)
        assert (list(page.ids), page.next, page.more) == (wanted[2:], second[1].position, False)
        page = await store.decided(after=page.next, types=[RunSucceeded], limit=2)
        assert (list(page.ids), page.next, page.more) == ([], second[1].position, False)

    async def test_a_page_without_a_wanted_fact_goes_on_to_the_end(self, store: EventStore) -> None:
        [fact] = await store.append("a", [queued()], expected=0, why=WHY)
        page = await store.decided(after=START, types=[RunSucceeded], limit=2)
        assert (list(page.ids), page.next) == ([], fact.position)

    async def test_a_position_that_is_no_facts_is_refused(self, store: EventStore) -> None:
        assert (await store.decided(after=START, types=[RunQueued], limit=2)).next == START
        with pytest.raises(PositionUnknown):
            await store.decided(after=(5, 5), types=[RunQueued], limit=2)
        [fact] = await store.append("a", [queued()], expected=0, why=WHY)
        transaction_id, position = fact.position
        for unknown in ((transaction_id, position + 1), (transaction_id + 1, 1), (transaction_id - 1, 1)):
            with pytest.raises(PositionUnknown):
                await store.decided(after=unknown, types=[RunQueued], limit=2)

    async def test_facts_are_found_by_their_ids(self, store: EventStore) -> None:
        facts = await store.append("a", [queued(), succeeded(), succeeded(epoch=2)], expected=0, why=WHY)
        asked = [facts[2].envelope.id, "evt_nobody", facts[0].envelope.id]
        assert await store.look_up(asked) == [facts[0], facts[2]]
