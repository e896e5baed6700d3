"""Google's asynchronous clients, for the service and for its emulator; their errors as ours."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import grpc
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from cynthus.bus.ports import BusUnavailable

EMULATOR = "PUBSUB_EMULATOR_HOST"

# An emulator that comes back is found within a second; pulls of many large messages are let in.
_CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)


class TopologyMissing(Exception):
    """The broker does not know a topic or subscription."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The two halves of the API."""

    publisher: PublisherAsyncClient
    subscriber: SubscriberAsyncClient


@asynccontextmanager
async def open_clients(emulator: str | None = None) -> AsyncIterator[Clients]:
    """Clients of the emulator at `host:port` (or named by PUBSUB_EMULATOR_HOST), else of the service."""
    address = emulator or os.environ.get(EMULATOR)
    if address:
        async with grpc.aio.insecure_channel(address, options=_CHANNEL) as channel:
            yield Clients(
                PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel)),
                SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel)),
            )
        return
    async with PublisherAsyncClient() as publisher, SubscriberAsyncClient() as subscriber:
        yield Clients(publisher, subscriber)


@contextmanager
def translated() -> Iterator[None]:
    """Google's errors as TopologyMissing or BusUnavailable."""
    try:
        yield
    except NotFound as error:
        raise TopologyMissing(str(error)) from error
    except (GoogleAPIError, GoogleAuthError, grpc.aio.AioRpcError) as error:
        raise BusUnavailable(f"Pub/Sub: {error}") from error
