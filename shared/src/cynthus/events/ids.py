"""Identifiers: a prefix and a ULID, so they sort by time and can be searched for."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_RANDOM_BYTES = 10
_HIGH_SHIFTS = range(40, -1, -10)
_LOW_SHIFTS = range(70, -1, -10)
_COUNTED = 2
_COUNTS = 1024**_COUNTED


def new_id(prefix: str) -> str:
    """A fresh identifier such as `run_01jd...`: 48 bits of milliseconds, 80 random bits."""
    return f"{prefix}_{''.join(_pairs())}"


def new_ids(prefix: str, count: int) -> list[str]:
    """Fresh identifiers that belong together: the last four characters count up from a random start."""
    pairs = _pairs()
    shared = f"{prefix}_{''.join(pairs[:-_COUNTED])}"
    first = secrets.randbelow(_COUNTS - count)
    return [f"{shared}{_PAIRS[n >> 10]}{_PAIRS[n & 1023]}" for n in range(first, first + count)]


def _pairs() -> list[str]:
    high = time.time_ns() // 1_000_000
    low = int.from_bytes(secrets.token_bytes(_RANDOM_BYTES))
    pairs = [_PAIRS[high >> shift & 1023] for shift in _HIGH_SHIFTS]
    pairs += [_PAIRS[low >> shift & 1023] for shift in _LOW_SHIFTS]
    return pairs
