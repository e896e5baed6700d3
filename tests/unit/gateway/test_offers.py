"""An accepted run that history does not take over is offered to it, until it is taken."""

from datetime import timedelta

import pytest

from cynthus.events import RunQueued
from cynthus.gateway.adapters.memory_history import MemoryRunHistory
from cynthus.gateway.adapters.memory_submissions import MemorySubmissions
from cynthus.gateway.domain.problems import HistoryRefused
from cynthus.gateway.handlers.offers import Offers
from cynthus.store.memory import MemoryEventStore
from tests.contracts.submissions import ONE, TWO, WHY, accept, requested

ASKED = [requested(run_id, name=run_id) for run_id in (ONE, TWO)]


class History(MemoryRunHistory):
    """It can be asked for anything but what is in `poison`."""

    def __init__(self):
        super().__init__()
        self.poison = set()

    async def offer(self, asked):
        if asked.run_id in self.poison:
            self.away = True
        try:
            await super().offer(asked)
        finally:
            self.away = False


class Scene:
    def __init__(self):
        submissions = MemorySubmissions()
        self.store = MemoryEventStore(source="gateway", projections=[submissions])
        self.history = History()
        self.offers = Offers(submissions, self.history, after_s=600.0)
        self.begun = self.offers.now()

    async def after(self, seconds):
        """What is offered then."""
        self.history.offered.clear()
        self.offers.now = lambda: self.begun + timedelta(seconds=seconds)
        await self.offers.tick()
        return [asked.run_id for asked in self.history.offered]


@pytest.fixture
async def scene():
    scene = Scene()
    for asked in ASKED:
        await accept(scene.store, asked)
    return scene


async def test_what_is_not_taken_over_is_offered_when_it_is_overdue_and_again(scene):
    assert await scene.after(590) == []
    assert await scene.after(610) == [ONE, TWO]
    assert [run.request for run in scene.history.offered] == [run.model_dump(mode="json") for run in ASKED]
    assert await scene.after(670) == [ONE, TWO]


async def test_what_was_taken_over_is_not_offered(scene):
    await scene.store.append(f"run-{ONE}", [RunQueued(run_id=ONE)], expected=1, why=WHY)
    assert await scene.after(610) == [TWO]


async def test_an_offer_that_is_not_heard_keeps_no_other_waiting(scene):
    scene.history.poison.add(ONE)
    assert await scene.after(610) == []
    assert await scene.after(670) == [TWO]
    scene.history.poison.clear()
    assert await scene.after(730) == [ONE, TWO]


async def test_an_offer_that_is_refused_keeps_no_other_waiting(scene):
    offer = scene.history.offer

    async def refusing(asked):
        if asked.run_id == ONE:
            raise HistoryRefused(422, "invalid_request", "no")
        await offer(asked)

    scene.history.offer = refusing
    assert await scene.after(610) == [TWO]
