"""Who tails a store in this process, and what they are told early."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cynthus.store.listening import Hint
from cynthus.store.ports import Recorded

_HEAD_START = 1000
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.016


class Readers:
    """The tailers of one store. While facts wait for an older transaction, nobody sleeps long."""

    def __init__(self) -> None:
        self.unsettled = False
        self._readers: set[Reader] = set()

    @contextmanager
    def reading(self, hint: Hint) -> Iterator["Reader"]:
        """One more tailer, for as long as the context is open."""
        reader = Reader(self, hint)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def add(self, recorded: Sequence[Recorded]) -> None:
        """Give every tailer its head start."""
        for reader in self._readers:
            reader.fresh.extend(recorded)


class Reader:
    """Wake-ups for one tailer."""

    def __init__(self, readers: Readers, hint: Hint) -> None:
        self.fresh: deque[Recorded] = deque(maxlen=_HEAD_START)
        self._readers = readers
        self._hint = hint
        self._pause_s = _FIRST_PAUSE_S

    async def wait(self, timeout_s: float) -> None:
        """Return at the next hint or after the time-out; soon, while there are facts that must settle."""
        if self._readers.unsettled:
            timeout_s = min(timeout_s, self._pause_s)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        else:
            self._pause_s = _FIRST_PAUSE_S
        await self._hint.wait(timeout_s)

    def take(self) -> list[Recorded]:
        """What this process appended since the last call; the oldest are forgotten after 1000."""
        fresh = list(self.fresh)
        self.fresh.clear()
        return fresh

    def wake(self) -> None:
        """Make `wait` return now."""
        self._hint.set()
