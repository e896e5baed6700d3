"""Names compared as the package index compares them, and the nearest real one for a slip."""

import re
from collections.abc import Iterable

MANY = 3000  # more names than this are not compared


def normalised(name: str) -> str:
    """PEP 503: Lower_case.Name -> lower-case-name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def nearest(word: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Known words a slip away from this one, best first."""
    from difflib import get_close_matches

    return tuple(get_close_matches(word, sorted(known)[:MANY], n=limit, cutoff=0.6))
