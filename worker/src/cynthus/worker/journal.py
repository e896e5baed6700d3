"""What a worker that is killed must not forget: how far the log is shipped, when the lease was renewed."""

import json
import os
import threading
import time
from contextlib import suppress
from typing import Any

_RECORD_BYTES = 256
_SHIPPED, _RENEWED = 0, _RECORD_BYTES


class Journal:
    """Two records of fixed size in one file, each replaced by a single write. Times are monotonic."""

    def __init__(self, folder: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._lock = threading.Lock()
        self._report = f"{folder}/report.json"
        self._file = os.open(f"{folder}/journal", flags, 0o600)
        os.posix_fallocate(self._file, 0, 2 * _RECORD_BYTES)  # the disk may be full later
        shipping = self._read(_SHIPPED)
        self.chunks = int(shipping.get("chunks", 0))
        self.shipped: dict[str, int] = dict(shipping.get("shipped") or {})
        sent = shipping.get("sent")
        self.sent: tuple[str, int] | None = (str(sent[0]), int(sent[1])) if sent else None
        """Source and size of a chunk that was sent and perhaps not answered."""
        renewed = self._read(_RENEWED).get("renewed")
        self.renewed = None if renewed is None else min(float(renewed), time.monotonic())

    def send(self, source: str, size: int) -> None:
        """Before a chunk is sent."""
        self.sent = (source, size)
        self._write_shipping()

    def accept(self, source: str, until: int) -> None:
        """The chunk that was sent is safe elsewhere."""
        self.sent = None
        self.chunks += 1
        self.shipped[source] = until
        self._write_shipping()

    def renew(self, at: float) -> None:
        """The lease was renewed."""
        self.renewed = at
        self._write(_RENEWED, {"renewed": at})

    @property
    def report(self) -> dict[str, Any] | None:
        """The report that ends the attempt, if it was made already."""
        try:
            with open(self._report, "rb") as file:
                read: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            return None
        return read

    def keep_report(self, message: dict[str, Any]) -> None:
        """Before it is posted: whoever posts it again says the same."""
        fresh = f"{self._report}.fresh"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            json.dump(message, file)
        os.replace(fresh, self._report)

    def close(self) -> None:
        """Give the descriptor back; what comes later is not worth keeping."""
        with self._lock:
            os.close(self._file)
            self._file = -1

    def _write_shipping(self) -> None:
        self._write(_SHIPPED, {"chunks": self.chunks, "shipped": self.shipped, "sent": self.sent})

    def _write(self, offset: int, record: dict[str, Any]) -> None:
        data = json.dumps(record).encode().ljust(_RECORD_BYTES)
        with self._lock, suppress(OSError):
            os.pwrite(self._file, data, offset)

    def _read(self, offset: int) -> dict[str, Any]:
        try:
            read = json.loads(os.pread(self._file, _RECORD_BYTES, offset) or b"{}")
        except ValueError:
            return {}
        return read if isinstance(read, dict) else {}
