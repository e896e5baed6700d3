"""Small blobs that were read lately: from one build of a project to the next few files change."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from cynthus.blobs.ports import Blobs

SMALL_BYTES = 256 * 1024
MOST_BYTES = 64 * 1024 * 1024


class RecentBlobs:
    """Reads many small blobs at once; keeps at most `most_bytes` of them, those used last."""

    def __init__(self, blobs: Blobs, most_bytes: int = MOST_BYTES) -> None:
        self._blobs = blobs
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The bytes of those of the keys that exist. Their names must fix their content."""
        found = self._take(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing:
            fetched = await self._blobs.get_many(missing)
            self._keep(fetched)
            found |= fetched
        return found

    def _take(self, keys: Sequence[str]) -> dict[str, bytes]:
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            for key in found:
                self._kept.move_to_end(key)
        return found

    def _keep(self, fetched: dict[str, bytes]) -> None:
        with self._lock:
            for key, content in fetched.items():
                if len(content) <= SMALL_BYTES and key not in self._kept:
                    self._kept[key] = content
                    self._bytes += len(content)
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])
