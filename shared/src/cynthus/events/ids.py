"""Identifiers: a prefix and a ULID, so they sort by time and can be searched for."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BITS_PER_CHARACTER = 5
_LENGTH = 26
_RANDOM_BITS = 80


def new_id(prefix: str) -> str:
    """A fresh identifier such as `run_01jd...`: 48 bits of milliseconds, 80 random bits."""
    number = (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    shifts = range((_LENGTH - 1) * _BITS_PER_CHARACTER, -1, -_BITS_PER_CHARACTER)
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in shifts)
