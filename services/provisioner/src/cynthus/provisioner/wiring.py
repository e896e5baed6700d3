"""Assembles the provisioner: the only place that knows its concrete classes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from cynthus.bus.ports import Delivery
from cynthus.events import AttemptLost, AttemptSuspected, Event, MachineReleased, MachineRequested
from cynthus.provisioner.adapters.paced_machines import PacedMachines
from cynthus.provisioner.adapters.postgres_holds import MachineHolds
from cynthus.provisioner.adapters.postgres_ledger import PostgresLedger
from cynthus.provisioner.adapters.postgres_requests import RequestTable
from cynthus.provisioner.adapters.processes import ProcessMachines
from cynthus.provisioner.api import internal, inventory, worker
from cynthus.provisioner.api.worker import Invitation
from cynthus.provisioner.domain.pool import Limits
from cynthus.provisioner.handlers import SERVICE, DemandHandler
from cynthus.provisioner.main import create_app
from cynthus.provisioner.ports import Machines, MachineSpec
from cynthus.provisioner.reconciler import Reconciler
from cynthus.provisioner.reconciler.audit import Audit
from cynthus.provisioner.settings import ProvisionerSettings
from cynthus.runtime.exchange import exchange, history
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service
from cynthus.store.consumer import Handle


@asynccontextmanager
async def open_provisioner(settings: ProvisionerSettings, platform: Platform) -> AsyncIterator[Service]:
    """The assembled service."""
    ledger = PostgresLedger(platform.database, memory=timedelta(seconds=settings.refusal_memory_s))
    store = history(platform, SERVICE, [RequestTable(), MachineHolds()])
    async with open_machines(settings) as provider:
        machines = PacedMachines(
            provider, calls_per_s=settings.provider_calls_per_s, timeout_s=settings.provider_timeout_s
        )
        reconciler = Reconciler(
            ledger,
            machines,
            lambda: handler,
            specification(settings, platform),
            limits=limits_of(settings),
            patience=timedelta(seconds=settings.capacity_wait_s),
        )
        handler = DemandHandler(store, ledger, machines, slots=settings.slots, changed=reconciler.nudge)
        await asyncio.to_thread(lambda: machines.host)  # the first look at GPUs takes time
        audit = Audit(ledger, machines, reconciler, timedelta(seconds=settings.machine_grace_s))
        app = create_app(
            worker.router(reconciler.hello, platform.worker_tokens, invitation_of(settings)),
            internal.router(machines, platform.internal_token),
            inventory.router(audit, platform.internal_token),
        )

        async def suspected(_: Delivery) -> None:
            """Nothing is written: were this lost, the next tick looks too."""
            reconciler.suspect()

        heard: dict[type[Event], Handle] = {
            MachineRequested: handler.requested,
            MachineReleased: handler.released,
            AttemptLost: handler.fenced,
            AttemptSuspected: suspected,
        }
        tasks = await exchange(platform, app, store, heard)
        yield Service(SERVICE, app, tasks=(*tasks, reconciler.run))


@asynccontextmanager
async def open_machines(settings: ProvisionerSettings) -> AsyncIterator[Machines]:
    """The provider that the settings name."""
    if settings.machines == "hostile" and settings.hostile_url is not None:
        from cynthus.provisioner.adapters.hostile_machines import open_hostile_machines

        async with open_hostile_machines(settings.hostile_url) as machines:
            yield machines
    else:
        yield ProcessMachines(settings.machines_home)


def limits_of(settings: ProvisionerSettings) -> Limits:
    """The pool's."""
    return Limits(
        slots=settings.slots,
        warm=settings.warm,
        idle_ttl=timedelta(seconds=settings.idle_ttl_s),
        boot_timeout=timedelta(seconds=settings.boot_timeout_s),
    )


def specification(settings: ProvisionerSettings, platform: Platform) -> Callable[[str], MachineSpec]:
    """What a machine of that name is told."""

    def spec(name: str) -> MachineSpec:
        token = platform.worker_tokens.machine(name, ttl_s=settings.token_ttl_s)
        return MachineSpec(name, settings.url, token)

    return spec


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
