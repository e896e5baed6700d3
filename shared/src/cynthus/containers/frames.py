"""The frames in which an engine mixes standard output and error of a container."""

from collections.abc import Iterable, Iterator

_HEAD_BYTES = 8
_SOURCES = {0: "stdin", 1: "stdout", 2: "stderr"}


class FramesBroken(Exception):
    """The stream is not what the engine's API describes, or ends within a frame."""


def unmix(pieces: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """(source, bytes) as they come; a frame may be handed over in parts. Raises FramesBroken."""
    pending, source, missing = b"", "", 0
    for piece in pieces:
        pending += piece
        while pending:
            if not missing:
                if len(pending) < _HEAD_BYTES:
                    break
                source, missing = _head(pending[:_HEAD_BYTES])
                pending = pending[_HEAD_BYTES:]
                continue
            yield source, pending[:missing]
            taken = min(missing, len(pending))
            pending, missing = pending[taken:], missing - taken
    if pending or missing:
        raise FramesBroken("the stream ends within a frame")


def _head(head: bytes) -> tuple[str, int]:
    if head[0] not in _SOURCES or head[1:4] != b"\0\0\0":
        raise FramesBroken(f"{head.hex()} is no head of a frame")
    return _SOURCES[head[0]], int.from_bytes(head[4:], "big")
