"""Assembles the builder: the only place that knows its concrete classes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cynthus.builder.adapters.blob_sources import BlobSources
from cynthus.builder.adapters.postgres_builds import PostgresBuilds
from cynthus.builder.adapters.uv_resolver import UvResolver
from cynthus.builder.handlers import SERVICE, BuildHandler
from cynthus.builder.main import create_app
from cynthus.builder.recipe import Recipe
from cynthus.builder.settings import BuilderSettings
from cynthus.builder.workshop import Workshop
from cynthus.events import RunRequested
from cynthus.runtime.exchange import exchange, history
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service


@asynccontextmanager
async def open_builder(settings: BuilderSettings, platform: Platform) -> AsyncIterator[Service]:
    """The assembled service."""
    builds = PostgresBuilds(platform.database)
    store = history(platform, SERVICE, [builds])
    resolver = UvResolver(settings.uv or _find_uv())
    recipe = Recipe(builds, BlobSources(platform.blobs), resolver, default_python=settings.default_python)
    nudged = asyncio.Event()
    handler = BuildHandler(store, builds, default_python=settings.default_python, started=nudged.set)
    workshop = Workshop(builds, recipe.make, handler.finished, nudged, concurrency=settings.concurrency)
    app = create_app()
    tasks = await exchange(platform, app, store, {RunRequested: handler.requested})
    yield Service(SERVICE, app, tasks=(*tasks, workshop.run))


def _find_uv() -> str:
    from uv import find_uv_bin

    return str(find_uv_bin())
