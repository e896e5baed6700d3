"""Checks a manifest as it streams by, in bounded memory."""

from cynthus.gateway.ports import SnapshotSize
from cynthus.snapshots import manifest

MAX_LINE_BYTES = 16 * 1024 * 1024
_BATCH_BYTES = 1024 * 1024
_HEADER = b"".join(manifest.encode([]))


class ManifestCheck:
    """Feed it bytes as they come; it gives back the blobs they name. Raises ManifestInvalid."""

    def __init__(self) -> None:
        self.size: SnapshotSize | None = None
        self._pending = bytearray()
        self._last_path = ""
        self._lines = 0
        self._files = 0
        self._bytes = 0
        self._digests: list[str] = []

    def feed(self, chunk: bytes) -> list[str]:
        """Add bytes; digests that are now known to be named."""
        self._pending += chunk
        if len(self._pending) < _BATCH_BYTES:
            return []
        end = self._pending.rfind(b"\n") + 1
        if end == 0 and len(self._pending) > MAX_LINE_BYTES:
            raise manifest.ManifestInvalid(f"line {self._lines + 1} is longer than {MAX_LINE_BYTES} bytes")
        if end:
            self._read(bytes(self._pending[:end]))
            del self._pending[:end]
        return self.take()

    def finish(self) -> SnapshotSize:
        """The end of the manifest: how much it holds."""
        if self._pending or not self._lines:
            self._read(bytes(self._pending))
            self._pending.clear()
        return SnapshotSize(self._files, self._bytes)

    def take(self) -> list[str]:
        """Digests named since the last call."""
        digests, self._digests = self._digests, []
        return digests

    def _read(self, block: bytes) -> None:
        lines = block.splitlines(keepends=True)
        started = self._lines > 0
        for entry in manifest.decode([_HEADER, *lines] if started else lines):
            if entry.path.encode() <= self._last_path.encode():
                raise manifest.ManifestInvalid(f"{entry.path!r} is out of order or repeated")
            self._last_path = entry.path
            self._digests.extend(entry.chunks)
            if entry.link is None and not entry.folder:
                self._files += 1
                self._bytes += entry.size
        self._lines += len(lines)
