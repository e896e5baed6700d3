from datetime import timedelta

import orjson
import pytest
from fastapi import FastAPI

from cynthus.bus.ports import Delivery, Undecodable
from cynthus.events import EVENTS, RunQueued, RunSucceeded
from cynthus.events.codec import from_json
from cynthus.events.deciders import DECIDED_BY, SIGNALS, by_decider
from cynthus.store.feed import FeedUnavailable
from cynthus.store.memory import MemoryEventStore
from cynthus.store.ports import START, PositionUnknown, Why
from cynthus.web import facts, problems
from cynthus.web.asgi_calls import AsgiCalls
from cynthus.web.facts import HttpFeed

TOKEN = "internal-token"
WHY = Why(actor="service:there")
PATH = "/internal/v1/facts"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class There:
    """The service whose facts are asked for."""

    def __init__(self) -> None:
        self.store = MemoryEventStore(source="there")
        self.app = FastAPI()
        problems.install(self.app, {})
        facts.install(self.app, self.store, TOKEN)
        self.calls = AsgiCalls(self.app)
        self.feed = HttpFeed(self.calls, [RunQueued, RunSucceeded], TOKEN, limit=2)


@pytest.fixture
async def there() -> There:
    there = There()
    events = [RunQueued(run_id="run_1"), *(RunSucceeded(run_id="run_1", epoch=n) for n in range(4))]
    await there.store.append("a", events, expected=0, why=WHY)
    return there


async def test_pages_follow_each_other_to_the_end(there: There) -> None:
    position, found = START, []
    while True:
        page = await there.feed.page(position)
        found += page.ids
        position = page.next
        if not page.more:
            break
    assert found == [fact.envelope.id for fact in there.store.facts]
    assert position == there.store.facts[-1].position


async def test_the_facts_that_are_wanted_come_whole(there: There) -> None:
    second = there.store.facts[1].envelope
    assert await there.feed.facts(START, [second.id, "evt_nobody"]) == [Delivery(second, 2)]


async def test_without_a_position_one_begins_a_day_back(there: There) -> None:
    assert await there.feed.beginning() == START
    store, now = there.store, there.store.facts[0].envelope.time
    store._clock = lambda: now + timedelta(days=2)
    assert await there.feed.beginning() == store.facts[-1].position


async def test_a_fact_that_only_a_newer_version_understands_is_kept_as_it_came(there: There) -> None:
    class Newer:
        async def ask(self, *given, **named):
            reply = await there.calls.ask(*given, **named)
            return type(reply)(reply.status, reply.body.replace(b'"epoch":0', b'"epoch":"first"'))

    first, second = (fact.envelope for fact in there.store.facts[:2])
    feed = HttpFeed(Newer(), [RunQueued, RunSucceeded], TOKEN)
    known, unknown = await feed.facts(START, [first.id, second.id])
    assert known == Delivery(first, 2)
    assert isinstance(unknown, Undecodable)
    assert unknown.message_id == second.id


async def test_the_answer_is_cloud_events(there: There) -> None:
    query = {"types": RunQueued.ce_type(), "after": "0.0"}
    reply = await there.calls.ask("GET", PATH, query, HEADERS, timeout_s=5)
    told = orjson.loads(reply.body)
    first, last = there.store.facts[0], there.store.facts[-1]
    assert [from_json(orjson.dumps(document)) for document in told["facts"]] == [first.envelope]
    assert (told["next"], told["more"]) == (f"{last.position[0]}.{last.position[1]}", False)


async def test_a_position_of_another_history_is_told(there: There) -> None:
    with pytest.raises(PositionUnknown):
        await there.feed.page((99, 99))


@pytest.mark.parametrize(
    "after", ["", "1", "1.", ".1", "x.1", "1.1.1", "-1.1", "\u0661.\u0661", "9" * 30 + ".1"]
)
async def test_what_is_no_position_is_refused(there: There, after: str) -> None:
    reply = await there.calls.ask("GET", PATH, {"types": "", "after": after}, HEADERS, timeout_s=5)
    assert reply.status == 422


async def test_only_the_platforms_services_may_ask(there: There) -> None:
    feed = HttpFeed(there.calls, [RunQueued], "another")
    with pytest.raises(FeedUnavailable, match="401"):
        await feed.page(START)


def test_each_fact_is_decided_by_one_service() -> None:
    decided = [event for events in DECIDED_BY.values() for event in events]
    assert len(decided) == len(set(decided))
    assert {*decided, *SIGNALS} == set(EVENTS)


def test_who_decides_what_one_hears() -> None:
    found = by_decider([RunQueued, *SIGNALS, *DECIDED_BY["gateway"], RunSucceeded])
    assert found == {"orchestrator": (RunQueued, RunSucceeded), "gateway": DECIDED_BY["gateway"]}
