"""The gateway's place among the services: what it tells, and what it hears."""

import asyncio
from datetime import UTC, datetime

from cynthus.bus.ports import Delivery, Undecodable
from cynthus.events import Envelope, ProjectUploaded, RunCancelRequested, RunQueued, RunRequested
from cynthus.runtime.supervision import supervised
from tests.integration.gateway.conftest import Gateway, Ready

WITHIN_S = 10.0
TOLD = (ProjectUploaded, RunRequested, RunCancelRequested, RunQueued)


def queued(run_id: str) -> Envelope:
    return Envelope(
        id=f"evt_{run_id}",
        source="orchestrator",
        time=datetime.now(UTC),
        event=RunQueued(run_id=run_id),
        stream=f"run-{run_id}",
        sequence=2,
        actor="service:orchestrator",
    )


async def test_what_was_decided_is_told_and_an_answer_is_heard(ready: Ready, gateway: Gateway) -> None:
    bus = gateway.platform.bus
    heard: asyncio.Queue[Envelope] = asyncio.Queue()

    async def listen(message: Delivery | Undecodable) -> None:
        assert isinstance(message, Delivery)
        heard.put_nowait(message.envelope)

    await bus.ensure("listener", TOLD)
    async with (
        bus.subscribe("listener", TOLD, listen),
        supervised(gateway.service.tasks, service="gateway"),
        asyncio.timeout(WITHIN_S),
    ):
        await ready.client.post("/v1/projects/demo/snapshots", json={"snapshot": ready.snapshot})
        run = await ready.run()
        await ready.client.post(f"/v1/runs/{run['id']}:cancel")
        told = [await heard.get() for _ in range(3)]
        assert {envelope.event.kind for envelope in told} == {
            "project.uploaded",
            "run.requested",
            "run.cancel-requested",
        }
        assert {envelope.actor for envelope in told} == {"user:ann"}
        with gateway.service.app.state.parts.reader._acknowledgements.expecting(run["id"]) as arrived:
            await bus.publish([queued(run["id"]), queued(run["id"])])
            await arrived.wait()
        pending = await gateway.service.app.state.parts.reader._submissions.pending("ann", run["id"])
        assert pending is None
        assert [(await heard.get()).event.kind for _ in range(2)] == ["run.queued"] * 2
    assert heard.empty()
