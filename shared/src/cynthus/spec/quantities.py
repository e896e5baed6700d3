"""Durations, sizes, ranges and names as a spec writes them."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from cynthus.spec.problem import Wrong

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
DURATION = re.compile(r"(\d{1,9})([smhdw])")
SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([KMGT])(i?)B?", re.IGNORECASE)
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
GPU_NAME = re.compile(r"([A-Za-z][A-Za-z0-9-]*)(?::([1-9]\d?))?")
COUNT = re.compile(r"\d{1,6}(?:\.\d{1,3})?")
LONGEST = 366 * 86400  # seconds


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; no `high` means at least `low`."""

    low: float
    high: float | None

    def __contains__(self, value: float) -> bool:
        return self.low <= value and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class GPU:
    """A model by name with a count, or any model whose memory (bytes) fits."""

    name: str | None = None
    count: int = 1
    memory: Range | None = None


def duration(text: str) -> int:
    """Seconds of "90s", "6h" or "1h30m"."""
    parts = DURATION.findall(text)
    total = sum(int(number) * SECONDS[unit] for number, unit in parts)
    if "".join(f"{number}{unit}" for number, unit in parts) != text or not 0 < total <= LONGEST:
        raise Wrong(f'"{text}" is not a duration', 'write for example "90s", "6h" or "1h30m"')
    return total


def size(text: str) -> int:
    """Bytes of "16GB" or "512MiB"; GB is 10^9, GiB is 2^30."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise Wrong(f'"{text}" is not a size', 'write a number and a unit, for example "16GB"')
    number, unit, binary = found.groups()
    power = "KMGT".index(unit.upper()) + 1
    return int(float(number) * (1024**power if binary else 1000**power))


def count_range(text: str) -> Range:
    """Text 4 means exactly, 4+ at least, 4..8 from to."""
    return _range(text, _count, 'write "4", "4+" or "4..8"')


def size_range(text: str) -> Range:
    """The same with sizes: "16GB", "16GB+", "16GB..64GB"."""
    return _range(text, size, 'write "16GB", "16GB+" or "16GB..64GB"')


def gpu(text: str) -> GPU:
    """A name with a count as in L4:2, or 24GB+ for any model with that much memory."""
    if text[:1].isdigit():
        return GPU(memory=size_range(text))
    found = GPU_NAME.fullmatch(text)
    if found is None:
        raise Wrong(f'"{text}" is not a GPU', 'write "L4", "L4:2", or "24GB+" for any with that much memory')
    return GPU(name=found.group(1), count=int(found.group(2) or 1))


def name(text: str) -> str:
    """A project's or task's name: a small letter, then small letters, digits and dashes, at most 63."""
    if NAME.fullmatch(text) is None:
        fixed = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-0123456789")[:63] or "my-project"
        raise Wrong(
            f'"{text}" is not a name (small letters, digits and dashes, at most 63)', f'write "{fixed}"'
        )
    return text


def variable(text: str) -> str:
    """An environment variable's name; CYNTHUS_ is the platform's own prefix."""
    if VARIABLE.fullmatch(text) is None:
        raise Wrong(
            f'"{text}" is not a variable name', "use letters, digits and _, and do not begin with a digit"
        )
    if text.startswith("CYNTHUS_"):
        raise Wrong(f"{text} belongs to the platform", "choose a name that does not begin with CYNTHUS_")
    return text


def _count(text: str) -> float:
    if COUNT.fullmatch(text) is None:
        raise Wrong(f'"{text}" is not a number', 'write "4", "4+" or "4..8"')
    return float(text)


def _range(text: str, read: Callable[[str], float], fix: str) -> Range:
    low, dots, high = text.partition("..")
    try:
        if dots:
            found = Range(read(low.strip()), read(high.strip()))
        elif text.endswith("+"):
            return Range(read(text[:-1].strip()), None)
        else:
            found = Range(read(text), read(text))
    except Wrong as error:
        raise Wrong(error.what, fix) from error
    if found.high is not None and found.low > found.high:
        raise Wrong(f'"{text}" ends below its beginning', f'write "{high.strip()}..{low.strip()}"')
    return found
