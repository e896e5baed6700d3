"""Assembles the datasets service: the only place that knows its concrete classes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cynthus.datasets.adapters.blob_pins import BlobPins
from cynthus.datasets.handlers import SERVICE, DatasetHandler
from cynthus.datasets.main import create_app
from cynthus.datasets.settings import DatasetsSettings
from cynthus.events import RunRequested
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service
from cynthus.store.checkpoint import PostgresCheckpoint
from cynthus.store.consumer import Consumer
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.postgres_inbox import PostgresInbox
from cynthus.store.relay import Relay
from cynthus.web import parked


@asynccontextmanager
async def open_datasets(_: DatasetsSettings, platform: Platform) -> AsyncIterator[Service]:
    """The assembled service."""
    store = PostgresEventStore(
        platform.database,
        schema=SERVICE,
        source=SERVICE,
        projections=[],
        relaxed_consumers=platform.bus_shares_database,
    )
    handler = DatasetHandler(store, BlobPins(platform.database, platform.blobs))
    inbox = PostgresInbox(platform.database, schema=SERVICE)
    consumer = Consumer(
        SERVICE,
        inbox,
        platform.bus,
        {RunRequested: handler.requested},
    )
    await platform.bus.ensure(SERVICE, [RunRequested])
    relay = Relay(store, platform.bus, PostgresCheckpoint(platform.database, schema=SERVICE))
    app = create_app()
    parked.install(app, consumer, inbox, platform.internal_token)
    yield Service(SERVICE, app, tasks=(relay.run, consumer.run))
