"""How a service keeps, hears and tells facts: its store, subscription, inbox, relay and parked messages."""

from collections.abc import Mapping, Sequence

from fastapi import FastAPI

from cynthus.events import Event
from cynthus.runtime.following import following
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Task
from cynthus.store.checkpoint import PostgresCheckpoint
from cynthus.store.consumer import Consumer, Handle, OnParked
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.postgres_inbox import PostgresInbox
from cynthus.store.projections import Projection
from cynthus.store.relay import Relay
from cynthus.web import facts, parked


def history(platform: Platform, service: str, projections: Sequence[Projection] = ()) -> PostgresEventStore:
    """A service's event store, in the schema of its name."""
    return PostgresEventStore(
        platform.database,
        schema=service,
        source=service,
        projections=projections,
        relaxed_consumers=platform.bus_shares_database,
    )


def wired(
    platform: Platform,
    app: FastAPI,
    store: PostgresEventStore,
    handlers: Mapping[type[Event], Handle],
    *,
    on_parked: OnParked | None = None,
) -> Sequence[Task]:
    """Tasks that publish what a service decided and hand it what it hears, by bus or from its peers.

    `on_parked` is told of each message that was given up on.
    """
    service = store.schema
    inbox = PostgresInbox(platform.database, schema=service)
    consumer = Consumer(service, inbox, platform.bus, handlers, on_parked=on_parked)
    relay = Relay(store, platform.bus, PostgresCheckpoint(platform.database, schema=service))
    parked.install(app, consumer, inbox, platform.internal_token)
    facts.install(app, store, platform.internal_token)
    platform.peers.host(service, app)
    return relay.run, consumer.run, *following(platform, consumer, inbox, handlers)


async def exchange(
    platform: Platform,
    app: FastAPI,
    store: PostgresEventStore,
    handlers: Mapping[type[Event], Handle],
    *,
    on_parked: OnParked | None = None,
) -> Sequence[Task]:
    """The same; subscribes at once, so that nothing published from now on is missed."""
    tasks = wired(platform, app, store, handlers, on_parked=on_parked)
    await platform.bus.ensure(store.schema, tuple(handlers))
    return tasks
