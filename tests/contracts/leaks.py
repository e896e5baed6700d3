"""What the gateway expects of whoever knows of machines left behind."""

from datetime import UTC, datetime

import pytest

from cynthus.gateway.adapters.memory_leaks import MemoryLeaks
from cynthus.gateway.domain.problems import MachinesUnavailable
from cynthus.gateway.ports import Leaks

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class LeaksContract:
    @pytest.fixture
    def kept(self) -> MemoryLeaks:
        return MemoryLeaks(NOON)

    async def test_that_nothing_is_left_is_told_with_the_time_of_the_look(self, leaks: Leaks, kept) -> None:
        kept.machines = 3
        told = (await leaks.now()).read()
        assert told == {"leaks": [], "checked_at": "2026-11-23T12:00:00.000000Z", "machines": 3}

    async def test_a_machine_that_was_left_is_told_with_its_age_and_why(self, leaks: Leaks, kept) -> None:
        kept.leave("cyn-1", 90.0, zone="here-b")
        (leak,) = (await leaks.now()).read()["leaks"]
        assert leak == {
            "machine": "cyn-1",
            "zone": "here-b",
            "since": "2026-11-23T11:58:30.000000Z",
            "reason": "nobody needs it",
            "age_s": 90.0,
        }

    async def test_being_away_is_told(self, leaks: Leaks, kept) -> None:
        kept.away = True
        with pytest.raises(MachinesUnavailable):
            await leaks.now()
