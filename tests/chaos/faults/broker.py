"""A broker that breaks its promises, and one that is gone."""

import asyncio
import base64
import json
import urllib.request
from random import Random

from tests.chaos.bus_proxy import Mischief
from tests.chaos.faults.registry import Hit, fault
from tests.chaos.stage import Stage


def _has_broker(stage: Stage) -> bool:
    return stage.settings.bus == "pubsub"


async def _for(stage: Stage, seconds: float, mischief: Mischief) -> Hit:
    with stage.stack.bus.under(mischief):
        await asyncio.sleep(seconds)
    return Hit("broker", {"seconds": seconds})


@fault(16, "messages tripled", weight=1, applies=_has_broker)
async def tripled(stage: Stage, random: Random) -> Hit | None:
    """Each of them."""
    return await _for(stage, random.uniform(5, 15), Mischief(repeat=1.0))


@fault(17, "messages reordered", weight=1, applies=_has_broker)
async def reordered(stage: Stage, random: Random) -> Hit | None:
    """Half of them come up to 10 s late."""
    return await _for(stage, random.uniform(5, 15), Mischief(delay=0.5, delay_s=10.0))


@fault(18, "messages dropped for ever", weight=1.5, applies=_has_broker)
async def lost(stage: Stage, random: Random) -> Hit | None:
    """The broker said that it has them."""
    before = stage.stack.bus.dropped
    share = random.choice([0.05, 0.5])
    hit = await _for(stage, random.uniform(5, 15), Mischief(drop=share))
    return Hit(hit.target, {"share": share, "lost": stage.stack.bus.dropped - before})


@fault(19, "acknowledgements lost", weight=1, applies=_has_broker)
async def unacknowledged(stage: Stage, random: Random) -> Hit | None:
    """What was handled comes again."""
    return await _for(stage, random.uniform(5, 12), Mischief(lose_acks=0.7))


@fault(20, "broker restart, everything in it lost", weight=1, applies=_has_broker)
async def restarted(stage: Stage, random: Random) -> Hit | None:
    """Topics, subscriptions and messages are gone."""
    away_s = random.uniform(0, 3)
    await stage.stack.restart_emulator(away_s)
    return Hit("broker", {"away_s": away_s})


@fault(22, "publishing refused", weight=1, applies=_has_broker)
async def refused(stage: Stage, random: Random) -> Hit | None:
    """What waits in the outbox is published afterwards."""
    return await _for(stage, random.uniform(5, 20), Mischief(refuse_publish=True))


@fault(21, "poisoned messages", weight=0.7, applies=_has_broker)
async def poisoned(stage: Stage, random: Random) -> Hit | None:
    """No JSON, another schema, a run nobody knows, a kind of event from the future."""
    bodies = _poison(random)
    failed = 0
    for topic, data, attributes in bodies:
        failed += not await asyncio.to_thread(_publish, stage, topic, data, attributes)
    return None if failed else Hit("broker", {"messages": len(bodies)})


def _poison(random: Random) -> list[tuple[str, bytes, dict[str, str]]]:
    number = random.randrange(10**9)
    envelope = {
        "ce-specversion": "1.0",
        "ce-id": f"poison-{number}",
        "ce-source": "gateway",
        "ce-type": "dev.cynthus.run.requested.v1",
        "ce-time": "2026-01-01T00:00:00Z",
        "ce-stream": f"run-poison-{number}",
        "ce-sequence": "0000000001",
        "ce-actor": "user:nobody",
        "ce-subject": f"runs/poison-{number}",
        "content-type": "application/json",
    }
    future = {**envelope, "ce-id": f"poison-{number}-future", "ce-type": "dev.cynthus.run.teleported.v9"}
    unknown = {**envelope, "ce-id": f"poison-{number}-unknown", "ce-type": "dev.cynthus.vm.lost.v1"}
    lost = {"run_id": f"run_poison{number}", "epoch": 3, "machine": "nowhere"}
    lost |= {"cause": {"code": "lost_machine", "message": "never was"}}
    return [
        ("cynthus.run-requested", b"no json", {"ce-type": envelope["ce-type"]}),
        ("cynthus.run-requested", b'{"schema": "another"}', envelope),
        ("cynthus.run-requested", b"{}", future),
        ("cynthus.vm-lost", json.dumps(lost).encode(), unknown),
    ]


def _publish(stage: Stage, topic: str, data: bytes, attributes: dict[str, str]) -> bool:
    """Straight to the emulator: nobody of ours said this."""
    body = {"messages": [{"data": base64.b64encode(data).decode(), "attributes": attributes}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{stage.stack.emulator.port}/v1/projects/{stage.stack.project}/topics/{topic}:publish",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return bool(response.status == 200)
    except OSError:
        return False
