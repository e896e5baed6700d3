"""Opens the platform that the settings describe; adapters are imported only when chosen."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import assert_never

from cynthus.blobs.local import LocalBlobs
from cynthus.blobs.signing import UrlSigner
from cynthus.bus.ports import EventBus
from cynthus.runtime.peers import Peers
from cynthus.runtime.platform import Platform
from cynthus.runtime.settings import PlatformSettings
from cynthus.secrets.encrypted import EncryptedSecrets
from cynthus.store.catch_up import Rhythm
from cynthus.store.database import Database, open_database
from cynthus.web.tokens import WorkerTokens


@asynccontextmanager
async def open_platform(settings: PlatformSettings) -> AsyncIterator[Platform]:
    """Everything services share, open until the block ends. Raises StoreUnavailable."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(
                settings.database_url,
                max_size=settings.database_connections,
                shared=not settings.single_process,
            )
        )
        worker_key = settings.worker_key.get_secret_value()
        signer = UrlSigner(worker_key, settings.blobs_url) if settings.blobs_url else None
        yield Platform(
            database=database,
            bus=await _open_bus(settings, database, stack),
            blobs=LocalBlobs(settings.blobs_folder, signer),
            secrets=EncryptedSecrets(settings.secrets_folder, settings.secrets_key.get_secret_value()),
            worker_tokens=WorkerTokens(worker_key),
            internal_token=settings.internal_token.get_secret_value(),
            peers=Peers(settings.peers),
            catch_up=Rhythm(settings.catch_up_every_s, settings.catch_up_settle_s),
            bus_shares_database=settings.bus == "postgres",
        )


async def _open_bus(settings: PlatformSettings, database: Database, stack: AsyncExitStack) -> EventBus:
    match settings.bus:
        case "memory":
            from cynthus.bus.memory import MemoryBus

            return MemoryBus()
        case "postgres":
            from cynthus.bus.postgres import PostgresBus

            bus = PostgresBus(database)
            await bus.open()
            return bus
        case "pubsub":
            from cynthus.bus.pubsub import open_pubsub

            assert settings.pubsub_project is not None
            return await stack.enter_async_context(open_pubsub(settings.pubsub_project))
        case _:
            assert_never(settings.bus)
