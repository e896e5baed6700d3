"""What a process remembers of the runs it works on."""

from datetime import UTC, datetime

from cynthus.bus.ports import Delivery
from cynthus.events import Envelope, Event, new_id
from cynthus.orchestrator.adapters.bell import ProcessBell
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.runs import RunHandler
from cynthus.store.memory import MemoryEventStore
from cynthus.store.ports import Recorded, Why
from tests.unit.orchestrator.given import (
    BUILT,
    CANCEL,
    LIMITS,
    PINNED,
    RUN,
    UNBUILT,
    ready,
    requested,
    started,
)

OWNER = requested().owner


class Asked(MemoryEventStore):
    """Notes which appends had to wait for the disk."""

    def __init__(self) -> None:
        super().__init__(source="orchestrator")
        self.durable: list[bool] = []

    async def append(self, stream: str, events: list[Event], *, expected: int, why: Why) -> list[Recorded]:
        self.durable.append(why.durable)
        return await super().append(stream, events, expected=expected, why=why)


def delivery(fact) -> Delivery:
    now = datetime.now(UTC)
    return Delivery(Envelope(new_id("evt"), "tests", now, fact, f"run-{RUN}", 1, "service:tests"), 1)


def handler(store: MemoryEventStore, *, alone: bool = False) -> RunHandler:
    return RunHandler(store, RecentRuns(alone=alone), ProcessBell(), LIMITS)


async def test_only_an_order_and_an_end_must_be_on_disk_at_once():
    for order in ([BUILT, PINNED, ready()], [ready(), PINNED, BUILT], [BUILT, ready(), PINNED]):
        store = Asked()
        runs = handler(store)
        for fact in (requested(), *order):
            await runs.take(delivery(fact))
        assert store.durable == [False, False, False, True]
    store = Asked()
    runs = handler(store)
    await runs.take(delivery(requested()))
    await runs.take(delivery(UNBUILT))
    assert store.durable == [False, True]


async def test_facts_are_told_from_memory_only_without_a_gap_and_to_their_owner():
    store = MemoryEventStore(source="orchestrator")
    runs = handler(store)
    await runs.take(delivery(requested()))
    await runs.take(delivery(BUILT))
    history = await store.read(f"run-{RUN}")
    assert runs.recent.facts(OWNER, RUN, 0) == history
    assert runs.recent.facts(OWNER, RUN, 1) == history[1:]
    assert runs.recent.facts("somebody else", RUN, 0) == []
    assert runs.recent.facts(OWNER, RUN, len(history)) == []
    again = handler(store)
    await again.take(delivery(PINNED))
    assert again.recent.facts(OWNER, RUN, 0) == []
    assert again.recent.facts(OWNER, RUN, len(history)) == (await store.read(f"run-{RUN}"))[len(history) :]
    await runs.take(delivery(CANCEL))
    assert runs.recent.facts(OWNER, RUN, len(history)) == []


async def test_only_a_process_that_is_alone_knows_that_nothing_happened():
    for alone in (False, True):
        runs = handler(MemoryEventStore(source="orchestrator"), alone=alone)
        for fact in (requested(), BUILT, PINNED, ready()):
            await runs.take(delivery(fact))
        run = await runs.tell(RUN, started(), Why(actor="worker:m1"))
        assert runs.recent.is_newest(OWNER, RUN, run.version) is alone
        assert not runs.recent.is_newest(OWNER, RUN, run.version - 1)
        assert not runs.recent.is_newest("somebody else", RUN, run.version)


async def test_a_request_that_is_not_the_first_word_is_still_taken():
    store = MemoryEventStore(source="orchestrator")
    await handler(store).take(delivery(BUILT))
    run = handler(store)
    await run.take(delivery(requested()))
    assert (await run.load(RUN)).image is not None
