"""What a layer may hold."""

from dataclasses import dataclass


class LayerRefused(Exception):
    """A layer's bytes are not what an honest builder writes; the message says where."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one layer may be: entries with their headers, bytes unpacked, bytes of a path."""

    entries: int = 500_000
    bytes: int = 32 * 1024**3
    path_bytes: int = 1024


DEFAULT_LIMITS = Limits()
