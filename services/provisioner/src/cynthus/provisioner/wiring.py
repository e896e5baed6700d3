"""Assembles the provisioner: the only place that knows its concrete classes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from cynthus.events import MachineReleased, MachineRequested
from cynthus.provisioner.adapters.postgres_holds import MachineHolds
from cynthus.provisioner.adapters.postgres_ledger import PostgresLedger
from cynthus.provisioner.adapters.postgres_requests import RequestTable
from cynthus.provisioner.adapters.processes import ProcessMachines
from cynthus.provisioner.api import internal, worker
from cynthus.provisioner.api.worker import Invitation
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
    await asyncio.to_thread(lambda: machines.host)  # the first look at GPUs takes time
    app = create_app(
        worker.router(ledger, platform.worker_tokens, invitation_of(settings), reconciler.hello),
        internal.router(machines, platform.internal_token),
    )
    tasks = await exchange(
        platform, app, store, {MachineRequested: handler.requested, MachineReleased: handler.released}
    )
    yield Service(SERVICE, app, tasks=(*tasks, reconciler.run))


def invitation_of(settings: ProvisionerSettings) -> Invitation:
    """What every machine is told."""
    password = settings.prepull_password
    return Invitation(
        settings.orders_url,
        settings.prepull,
        settings.prepull_username,
        None if password is None else password.get_secret_value(),
        settings.registry_url,
    )
