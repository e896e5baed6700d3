"""Identifiers: a prefix and a ULID, so they sort by time and can be searched for."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_RANDOM_BYTES = 10
_HIGH_SHIFTS = range(40, -1, -10)
_LOW_SHIFTS = range(70, -1, -10)
_COUNTED = 2
_COUNTS = 1024**_COUNTED


class _Sources:
    time_ns: Callable[[], int] = staticmethod(time.time_ns)
    token_bytes: Callable[[int], bytes] = staticmethod(secrets.token_bytes)


_sources = _Sources()


@contextmanager
def drawn_from(time_ns: Callable[[], int], token_bytes: Callable[[int], bytes]) -> Iterator[None]:
    """Identifiers of another clock and other chance, so that a simulation can be repeated."""
    before = _sources.time_ns, _sources.token_bytes
    _sources.time_ns, _sources.token_bytes = time_ns, token_bytes
    try:
        yield
    finally:
        _sources.time_ns, _sources.token_bytes = before


def new_id(prefix: str) -> str:
    """A fresh identifier such as `run_01jd...`: 48 bits of milliseconds, 80 random bits."""
    return f"{prefix}_{''.join(_pairs())}"


def new_ids(prefix: str, count: int) -> list[str]:
    """Fresh identifiers that belong together: the last four characters count up from a random start."""
    pairs = _pairs()
    shared = f"{prefix}_{''.join(pairs[:-_COUNTED])}"
    first = int.from_bytes(_sources.token_bytes(4)) % (_COUNTS - count)
    return [f"{shared}{_PAIRS[n >> 10]}{_PAIRS[n & 1023]}" for n in range(first, first + count)]


def _pairs() -> list[str]:
    high = _sources.time_ns() // 1_000_000
    low = int.from_bytes(_sources.token_bytes(_RANDOM_BYTES))
    pairs = [_PAIRS[high >> shift & 1023] for shift in _HIGH_SHIFTS]
    pairs += [_PAIRS[low >> shift & 1023] for shift in _LOW_SHIFTS]
    return pairs
