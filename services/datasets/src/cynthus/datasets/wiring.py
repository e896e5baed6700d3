"""Assembles the datasets service: the only place that knows its concrete classes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cynthus.datasets.adapters.blob_pins import BlobPins
from cynthus.datasets.handlers import SERVICE, DatasetHandler
from cynthus.datasets.main import create_app
from cynthus.datasets.settings import DatasetsSettings
from cynthus.events import RunRequested
from cynthus.runtime.exchange import exchange, history
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service


@asynccontextmanager
async def open_datasets(_: DatasetsSettings, platform: Platform) -> AsyncIterator[Service]:
    """The assembled service."""
    store = history(platform, SERVICE)
    handler = DatasetHandler(store, BlobPins(platform.database, platform.blobs))
    app = create_app()
    tasks = await exchange(platform, app, store, {RunRequested: handler.requested})
    yield Service(SERVICE, app, tasks=tasks)
