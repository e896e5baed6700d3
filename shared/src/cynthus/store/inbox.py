"""What a consumer remembers of each message: how often it was tried, and whether it is done."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cynthus.store.clock import Clock, utc_now
from cynthus.store.parked import NotParked, Parked


@dataclass(slots=True)
class Tries:
    """How a message has fared so far."""

    attempts: int = 0
    handled: bool = False
    last_error: str | None = None


class Inbox(Protocol):
    """Attempts and parked messages. Handling itself is marked by `EventStore.append`."""

    async def count(self, consumer: str, message_id: str) -> Tries:
        """One more attempt is about to begin, unless the message is handled already."""
        ...

    async def fail(self, consumer: str, message_id: str, error: str, *, counted: bool) -> int:
        """Remember the error and, unless it was counted before, the attempt. Gives the attempts so far."""
        ...

    async def done(self, consumer: str, message_ids: Collection[str]) -> frozenset[str]:
        """Those of the messages that are handled or parked."""
        ...

    async def park(self, parked: Parked) -> None:
        """Put a message aside; again is the same."""
        ...

    async def parked(self, consumer: str) -> Sequence[Parked]:
        """Everything put aside, oldest first."""
        ...

    async def find(self, consumer: str, message_id: str) -> Parked:
        """One of them. Raises NotParked."""
        ...

    async def unpark(self, consumer: str, message_id: str) -> None:
        """Forget that it was parked, and its attempts."""
        ...


class MemoryInbox:
    """Lives as long as the object."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._tries: dict[tuple[str, str], Tries] = {}
        self._parked: dict[tuple[str, str], Parked] = {}

    def is_handled(self, consumer: str, message_id: str) -> bool:
        """Whether an append has marked it."""
        tries = self._tries.get((consumer, message_id))
        return tries is not None and tries.handled

    def mark(self, consumer: str, message_id: str) -> None:
        """Mark it, as part of an append."""
        self._of(consumer, message_id).handled = True

    async def count(self, consumer: str, message_id: str) -> Tries:
        """Count an attempt before it begins."""
        tries = self._of(consumer, message_id)
        if not tries.handled:
            tries.attempts += 1
        return replace(tries)

    async def fail(self, consumer: str, message_id: str, error: str, *, counted: bool) -> int:
        """Remember a failure."""
        tries = self._of(consumer, message_id)
        tries.attempts += 0 if counted else 1
        tries.last_error = error
        return tries.attempts

    async def done(self, consumer: str, message_ids: Collection[str]) -> frozenset[str]:
        """Those that need nothing more."""
        keys = ((consumer, message_id) for message_id in message_ids)
        return frozenset(key[1] for key in keys if key in self._parked or self.is_handled(*key))

    async def park(self, parked: Parked) -> None:
        """Put a message aside."""
        key = (parked.consumer, parked.message_id)
        self._parked[key] = replace(parked, parked_at=self._clock())

    async def parked(self, consumer: str) -> Sequence[Parked]:
        """Everything put aside."""
        return [parked for parked in self._parked.values() if parked.consumer == consumer]

    async def find(self, consumer: str, message_id: str) -> Parked:
        """One of them."""
        try:
            return self._parked[consumer, message_id]
        except KeyError:
            raise NotParked(message_id) from None

    async def unpark(self, consumer: str, message_id: str) -> None:
        """Forget it."""
        self._parked.pop((consumer, message_id), None)
        self._of(consumer, message_id).attempts = 0

    def _of(self, consumer: str, message_id: str) -> Tries:
        return self._tries.setdefault((consumer, message_id), Tries())
