"""PostgreSQL that restarts, drops its sessions, or answers COMMIT with silence."""

import asyncio
from contextlib import suppress
from random import Random

import asyncpg

from tests.chaos.faults.registry import Hit, fault
from tests.chaos.links import under
from tests.chaos.rules import Rule
from tests.chaos.settings import SERVICES
from tests.chaos.stage import Stage

_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY md5(pid::text || $1) LIMIT 2
"""


@fault(23, "database restart", weight=1.5)
async def restarted(stage: Stage, random: Random) -> Hit | None:
    """As after a crash: what was committed is there, sessions are not."""
    await stage.stack.restart_database()
    return Hit("database")


@fault(24, "database sessions ended", weight=1)
async def sessions_ended(stage: Stage, random: Random) -> Hit | None:
    """Two of them, five times a second."""
    ended = 0
    for _ in range(25):
        with suppress(asyncpg.PostgresError, OSError):
            connection = await asyncpg.connect(stage.stack.database_url())
            try:
                ended += len(await connection.fetch(_OTHERS, str(random.random())))
            finally:
                await connection.close()
        await asyncio.sleep(0.2)
    return Hit("database", {"sessions": ended})


@fault(25, "replies to COMMIT lost", weight=2)
async def ambiguous_commits(stage: Stage, random: Random) -> Hit | None:
    """The transaction is committed; who committed it sees its connection break."""
    names = random.sample(SERVICES, random.randint(1, len(SERVICES)))
    links = [stage.stack.links[f"{name}-database"] for name in names]
    before = sum(link.lost for link in links)
    with under(links, Rule(lose_commit=0.3, lose_reply=0.05)):
        await asyncio.sleep(random.uniform(3, 8))
    return Hit(" ".join(names), {"lost": sum(link.lost for link in links) - before})


@fault(27, "a transaction held open", weight=1)
async def held_open(stage: Stage, random: Random) -> Hit | None:
    """Everybody who reads in the order of transactions waits for it, and skips nothing."""
    seconds = random.uniform(5, 10)
    with suppress(asyncpg.PostgresError, OSError):
        connection = await asyncpg.connect(stage.stack.database_url())
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_current_xact_id()")
                await asyncio.sleep(seconds)
        finally:
            await connection.close()
    return Hit("database", {"seconds": seconds})


@fault(28, "slow database", weight=0.7)
async def slow(stage: Stage, random: Random) -> Hit | None:
    """Every answer takes a while, pools run empty."""
    links = stage.stack.links_of(target="database")
    with under(links, Rule(delay_s=0.15)):
        await asyncio.sleep(random.uniform(3, 6))
    return Hit("database")
