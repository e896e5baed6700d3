"""Sends the spooled output, in order, until the platform has all of it."""

import threading
import time
from typing import NamedTuple

from cynthus.worker.content import insist
from cynthus.worker.control import Control, Dropped
from cynthus.worker.journal import Journal
from cynthus.worker.link import Link, PlatformAway, Refused, Request
from cynthus.worker.orders import WorkOrder
from cynthus.worker.settings import say
from cynthus.worker.spool import SOURCES, Spool

_CHUNK_BYTES = 1024 * 1024
_BUSY_BYTES = 256 * 1024
_PACE_S = 0.2
_IDLE_S = 5.0
_LONGEST = 4
_CONTINUATION = 0x80
_LEADS = ((0xC0, 2), (0xE0, 3), (0xF0, 4))


class Position(NamedTuple):
    """Chunks and bytes by source."""

    chunks: int
    shipped: dict[str, int]


class Shipper:
    """A thread that ships chunks: at most 1 MiB each, small ones at most five a second."""

    def __init__(
        self,
        link: Link,
        order: WorkOrder,
        spool: Spool,
        control: Control,
        *,
        give_up_s: float,
        journal: Journal,
    ) -> None:
        self._link = link
        self._url = order.attempt_url
        self._token = order.token
        self._spool = spool
        self._control = control
        self._give_up_s = give_up_s
        self._pace = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)
        self._journal = journal
        self._position = Position(journal.chunks, dict.fromkeys(SOURCES, 0) | journal.shipped)
        self._left = False
        self.refused: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def hurry(self) -> None:
        """The spool is closed: ship without pausing."""
        self._pace.set()

    def leave(self) -> None:
        """Send nothing after the chunk that is on its way."""
        self._left = True

    def position(self, *, arrived: bool = False) -> "Position":
        """What the platform has; with `arrived`, of a chunk that was sent but not answered too."""
        position, sent = self._position, self._journal.sent
        if not (arrived and sent):
            return position
        source, size = sent
        shipped = {**position.shipped, source: position.shipped[source] + size}
        return Position(position.chunks + 1, shipped)

    def join(self, timeout_s: float | None = None) -> bool:
        """True once it has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not (self._spool.drained or self._left):
                self._control.check_ours()
                chunk = self._unanswered() or self._spool.next(_CHUNK_BYTES, _IDLE_S)
                if chunk is not None:
                    self._ship(*chunk)
        except Dropped:
            self._spool.abandon()
        except (Refused, PlatformAway) as error:
            say(f"the log could not be shipped: {error}")
            self.refused = str(error)
            self._spool.abandon()

    def _unanswered(self) -> tuple[str, int, bytes] | None:
        """What a killed worker may have sent: a repeated number must bring the same bytes."""
        sent = self._journal.sent
        return self._spool.again(*sent) if sent else None

    def _ship(self, source: str, offset: int, data: bytes) -> None:
        begun = time.monotonic()
        if not self._journal.sent:
            data = self._whole_characters(data)
            self._journal.send(source, len(data))
        url = f"{self._url}/logs?seq={self._position.chunks}&source={source}&offset={offset}"
        request = Request("POST", url, self._token, body=data, content_type="application/octet-stream")
        try:
            insist(self._control, lambda: self._link.send(request), self._give_up_s, self._control.check_ours)
        except Refused as refusal:
            if refusal.final:
                self._control.drop("fenced")
            raise
        position = self._position
        shipped = {**position.shipped, source: offset + len(data)}
        self._position = Position(position.chunks + 1, shipped)
        self._journal.accept(source, offset + len(data))
        self._spool.accept(source, offset + len(data))
        if len(data) < _BUSY_BYTES:
            self._pace.wait(max(0.0, _PACE_S - (time.monotonic() - begun)))

    def _whole_characters(self, data: bytes) -> bytes:
        """Without a character that is cut at the end, whose rest is still to come."""
        cut = cut_character(data)
        return data[:-cut] if cut and cut < len(data) and not self._spool.closed else data


def cut_character(data: bytes) -> int:
    """How many bytes at the end begin a UTF-8 character without completing it."""
    for back in range(1, min(_LONGEST, len(data) + 1)):
        byte = data[-back]
        if not _CONTINUATION <= byte < _LEADS[0][0]:
            needed = max((length for lead, length in _LEADS if byte >= lead), default=1)
            return back if needed > back else 0
    return 0
