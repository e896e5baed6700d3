"""People: they submit runs until they are answered, and change their minds."""

import asyncio
from dataclasses import dataclass

from cynthus.events import DataMount, RunSpec
from cynthus.gateway.domain.submission import SubmitRun
from cynthus.gateway.ports import Accepted
from cynthus.store.ports import StoreUnavailable
from tests.simulation.network import Unreachable
from tests.simulation.platform import Platform
from tests.simulation.storage import StorageAway

OWNER = "ann"


@dataclass(slots=True)
class Wish:
    """One run that somebody wants, and what came of it."""

    number: int
    at: float
    command: SubmitRun
    cancel_after: float | None = None
    run_id: str | None = None
    answers: int = 0
    cancelled: bool = False


def wishes(platform: Platform, count: int, within_s: float) -> list[Wish]:
    """Runs of all sorts: short and long, failing, broken, with data, cancelled."""
    return [_wish(platform, number, within_s) for number in range(count)]


def _wish(platform: Platform, number: int, within_s: float) -> Wish:
    chance = platform.world.chance
    codes = [0 if chance.random() < 0.75 else 1 for _ in range(3)]
    spec = RunSpec(
        snapshot=f"sha256:{chance.randrange(4)}",
        entry="broken.py" if chance.random() < 0.05 else "main.py",
        data=(_data(chance.random() < 0.1),) if chance.random() < 0.3 else (),
        env={"SECONDS": f"{0.5 + 25 * chance.random() ** 2:.2f}", "CODES": ",".join(map(str, codes))},
        retries=chance.choice([0, 0, 1, 2]),
        timeout_s=chance.choice([None, None, 10.0, 40.0]),
    )
    command = SubmitRun(
        owner=OWNER,
        project="demo",
        spec=spec,
        request_digest=f"digest-{number}",
        idempotency_key=f"key-{number}",
    )
    cancel = 30.0 * chance.random() if chance.random() < 0.2 else None
    return Wish(number, within_s * chance.random(), command, cancel)


def _data(missing: bool) -> DataMount:
    return DataMount(source="data", snapshot="missing" if missing else "sha256:d", mount="data")


async def pursue(platform: Platform, wish: Wish) -> None:
    """Submit until answered, sometimes twice at once; then perhaps cancel until answered."""
    world = platform.world
    await asyncio.sleep(wish.at)
    if world.chance.random() < 0.2:
        await asyncio.gather(_submit(platform, wish), _submit(platform, wish))
    else:
        await _submit(platform, wish)
    if wish.cancel_after is None:
        return
    await asyncio.sleep(wish.cancel_after)
    run_id = wish.run_id
    assert run_id is not None
    await _until_answered(platform, lambda served: served.runs.cancel(OWNER, run_id, actor="user:ann"))
    wish.cancelled = True
    world.trace("cancel acknowledged", run_id)


async def _submit(platform: Platform, wish: Wish) -> None:
    answer: tuple[Accepted, bool] = await _until_answered(
        platform, lambda served: served.submit(wish.command, actor="user:ann")
    )
    run_id = answer[0].requested.run_id
    if wish.run_id not in {None, run_id}:
        platform.world.wrong("one key, one run", f"{wish.run_id} and {run_id}")
    wish.run_id = run_id
    wish.answers += 1
    platform.world.trace("accepted", run_id)


async def _until_answered(platform: Platform, method):
    while True:
        try:
            return await platform.network.ask("client", platform.server("gateway"), method, timeout_s=10.0)
        except (Unreachable, StoreUnavailable, StorageAway):
            await asyncio.sleep(0.3 + platform.world.chance.random())
