"""Assembles the provisioner: the only place that knows its concrete classes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from cynthus.events import MachineReleased, MachineRequested
from cynthus.provisioner.adapters.postgres_holds import MachineHolds
from cynthus.provisioner.adapters.postgres_ledger import PostgresLedger
from cynthus.provisioner.adapters.postgres_requests import RequestTable
from cynthus.provisioner.adapters.processes import ProcessMachines
from cynthus.provisioner.domain.pool import Limits
from cynthus.provisioner.handlers import SERVICE, DemandHandler
from cynthus.provisioner.main import create_app
from cynthus.provisioner.ports import MachineSpec
from cynthus.provisioner.reconciler import Reconciler
from cynthus.provisioner.settings import ProvisionerSettings
from cynthus.runtime.exchange import exchange, history
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service


@asynccontextmanager
async def open_provisioner(settings: ProvisionerSettings, platform: Platform) -> AsyncIterator[Service]:
    """The assembled service."""
    ledger = PostgresLedger(platform.database)
    store = history(platform, SERVICE, [RequestTable(), MachineHolds()])
    machines = ProcessMachines(settings.machines_home)

    def spec(name: str) -> MachineSpec:
        token = platform.worker_tokens.machine(name, ttl_s=settings.token_ttl_s)
        return MachineSpec(name, settings.url, token)

    limits = Limits(
        slots=settings.slots,
        warm=settings.warm,
        idle_ttl=timedelta(seconds=settings.idle_ttl_s),
        boot_timeout=timedelta(seconds=settings.boot_timeout_s),
    )
    reconciler = Reconciler(
        ledger, machines, lambda: handler, spec, limits=limits, now=lambda: datetime.now(UTC)
    )
    handler = DemandHandler(store, ledger, machines, slots=settings.slots, changed=reconciler.nudge)
    app = create_app(ledger, platform.worker_tokens, settings.orders_url, reconciler.hello)
    tasks = await exchange(
        platform, app, store, {MachineRequested: handler.requested, MachineReleased: handler.released}
    )
    yield Service(SERVICE, app, tasks=(*tasks, reconciler.run))
