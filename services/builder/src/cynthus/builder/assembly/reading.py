"""A project's files in order, small ones fetched ahead of their turn."""

from collections.abc import Iterator, Sequence

from cynthus.builder.ports import Project
from cynthus.snapshots.manifest import Entry

_SMALL_BYTES = 256 * 1024
_BATCH_FILES = 128
_BATCH_BYTES = 8 * 1024 * 1024


class ReadAhead:
    """Reads entries in the order given; out of order works too, one fetch each."""

    def __init__(self, project: Project, entries: Sequence[Entry]) -> None:
        self._project = project
        self._waiting = iter([entry for entry in entries if _is_small(entry)])
        self._ready: dict[str, bytes] = {}

    def __call__(self, entry: Entry) -> Iterator[bytes]:
        """The content of one file, in pieces."""
        if not _is_small(entry):
            yield from self._project.stream(entry)
            return
        while entry.path not in self._ready and (batch := self._batch()):
            self._ready |= self._project.read_many(batch)
        content = self._ready.pop(entry.path, None)
        yield from self._project.stream(entry) if content is None else (content,)

    def _batch(self) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        for entry in self._waiting:
            batch.append(entry)
            size += entry.size
            if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
                break
        return batch


def _is_small(entry: Entry) -> bool:
    return not entry.folder and entry.link is None and 0 < entry.size <= _SMALL_BYTES
