"""All services in one process, over the same code as each alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import ASGIApp

from cynthus.builder.wiring import open_builder
from cynthus.datasets.wiring import open_datasets
from cynthus.embedded.prefixes import ByPrefix
from cynthus.embedded.settings import ORCHESTRATOR, PROVISIONER, REGISTRY, EmbeddedSettings
from cynthus.gateway.wiring import open_gateway
from cynthus.orchestrator.wiring import open_orchestrator
from cynthus.provisioner.wiring import open_provisioner
from cynthus.runtime.opening import open_platform
from cynthus.runtime.service import Service
from cynthus.store.migrations import migrate

SERVICES = ("gateway", "builder", "provisioner", "orchestrator", "datasets")


async def migrate_all(database_url: str) -> None:
    """Bring every service's schema to its head."""
    await asyncio.gather(*(migrate(database_url, name) for name in SERVICES))


@asynccontextmanager
async def open_embedded(settings: EmbeddedSettings) -> AsyncIterator[Service]:
    """The platform as one service: the gateway's routes, and those that workers call below /services."""
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(open_platform(settings.platform))
        orchestrator = await stack.enter_async_context(open_orchestrator(settings.orchestrator, platform))
        provisioner = await stack.enter_async_context(open_provisioner(settings.provisioner, platform))
        builder = await stack.enter_async_context(open_builder(settings.builder, platform))
        datasets = await stack.enter_async_context(open_datasets(settings.datasets, platform))
        inside = (orchestrator, provisioner, builder, datasets)
        apps = {service.name: service.app for service in inside}
        gateway = await stack.enter_async_context(open_gateway(settings.gateway, platform, inside=apps))
        services = (gateway, *inside)
        called_by_workers: dict[str, ASGIApp] = {
            ORCHESTRATOR: orchestrator.entry,
            PROVISIONER: provisioner.app,
        }
        registry = {REGISTRY: builder.app}
        gateway.app.add_middleware(ByPrefix, applications=called_by_workers, whole=registry)
        yield Service(
            "embedded",
            gateway.app,
            tasks=[task for service in services for task in service.tasks],
            checks={name: check for service in services for name, check in (service.checks or {}).items()},
        )
