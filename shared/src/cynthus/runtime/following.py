"""Behind the bus, a service follows the histories of those whose facts it needs."""

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from cynthus.events import Event
from cynthus.events.deciders import by_decider
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Task
from cynthus.store.catch_up import CatchUp
from cynthus.store.checkpoint import PostgresCheckpoint
from cynthus.store.consumer import Consumer
from cynthus.store.inbox import Inbox
from cynthus.web.facts import HttpFeed

_log = structlog.get_logger(__name__)


def following(
    platform: Platform, consumer: Consumer, inbox: Inbox, types: Iterable[type[Event]]
) -> list[Task]:
    """A task for each service that decides facts of these types."""
    return [
        _Following(platform, consumer, inbox, peer, wanted).follow
        for peer, wanted in by_decider(types).items()
    ]


class _Following:
    def __init__(
        self, platform: Platform, consumer: Consumer, inbox: Inbox, peer: str, types: Sequence[type[Event]]
    ) -> None:
        self._platform = platform
        self._consumer = consumer
        self._inbox = inbox
        self._peer = peer
        self._types = types

    async def follow(self) -> None:
        """Follow until cancelled; rest when it is not known where the peer is."""
        platform, service = self._platform, self._consumer.service
        async with platform.peers.calls(self._peer) as calls:
            if calls is None:
                _log.info(
                    "facts come by the bus alone: CYNTHUS_PEERS lacks it", service=service, peer=self._peer
                )
                await asyncio.get_running_loop().create_future()
                return
            checkpoint = PostgresCheckpoint(platform.database, schema=service, name=f"facts:{self._peer}")
            feed = HttpFeed(calls, self._types, platform.internal_token)
            catch_up = CatchUp(
                self._consumer, self._inbox, feed, checkpoint, peer=self._peer, rhythm=platform.catch_up
            )
            await catch_up.run()
