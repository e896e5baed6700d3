"""Pages of runs, while history has taken over some that the gateway has not heard of."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cynthus.events import Envelope, RunRequested, RunSpec
from cynthus.gateway.adapters.memory_history import MemoryRunHistory
from cynthus.gateway.adapters.memory_submissions import MemorySubmissions
from cynthus.gateway.handlers.acknowledgements import Acknowledgements
from cynthus.gateway.handlers.reading import RunReader
from cynthus.gateway.ports import RunFilter
from cynthus.store.ports import START, Recorded
from tests.contracts.run_history import a_run

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def accepted(run: dict[str, Any]) -> Recorded:
    """The gateway's own record of a run, which it takes for pending."""
    requested = RunRequested(
        run_id=run["id"], owner="ann", project="demo", name=run["name"], spec=RunSpec(snapshot="sha256:0")
    )
    envelope = Envelope(run["id"], "gateway", NOW, requested, f"run-{run['id']}", 1, "user:ann")
    return Recorded(START, envelope, decided=True)


@pytest.fixture
async def reader() -> RunReader:
    """Runs 1 to 4: history knows the first three as RUNNING, and the gateway has not heard so."""
    history, submissions = MemoryRunHistory(), MemorySubmissions()
    submissions.apply([accepted(a_run(number)) for number in (1, 2, 3, 4)])
    for number in (1, 2, 3):
        await history.tell("ann", a_run(number))
    return RunReader(history, submissions, Acknowledgements())


async def states(reader: RunReader, page_size: int, *wanted: str) -> dict[str, str]:
    page = await reader.page("ann", RunFilter(states=wanted), page_size=page_size, page_token=None)
    return {run["name"]: run["state"] for run in page.read()["runs"]}


async def test_a_page_has_a_run_that_history_does_not_know_yet(reader: RunReader) -> None:
    everything = {"n-4": "QUEUED", "n-3": "RUNNING", "n-2": "RUNNING", "n-1": "RUNNING"}
    assert await states(reader, 10) == everything


async def test_a_run_on_a_later_page_is_not_shown_as_it_was_when_it_was_accepted(reader: RunReader) -> None:
    assert await states(reader, 2) == {"n-4": "QUEUED", "n-3": "RUNNING"}
    assert await states(reader, 3) == {"n-4": "QUEUED", "n-3": "RUNNING", "n-2": "RUNNING"}


async def test_a_run_that_has_left_a_state_is_not_listed_in_it(reader: RunReader) -> None:
    assert await states(reader, 10, "QUEUED") == {"n-4": "QUEUED"}
