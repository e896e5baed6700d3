"""Which line of a TOML file a key stands on."""

import re
from collections.abc import Iterator

Path = tuple[str | int, ...]
HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*$')
TRIPLE = ('"""', "'''")


def line_of(text: str, path: Path) -> int:
    """The line of the key, else of the nearest table around it; 1 when nothing matches."""
    best, depth = 1, 0
    for number, found in _keys(text):
        shared = _shared(found, path)
        if shared == len(found) or shared == len(path):
            better = min(shared, len(path))
            if better > depth:
                best, depth = number, better
    return best


def _shared(one: Path, other: Path) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _keys(text: str) -> Iterator[tuple[int, Path]]:
    table: Path = ()
    counts: dict[Path, int] = {}
    depth = 0
    triple: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if triple is not None:
            triple = None if triple in line else triple
            continue
        if depth == 0 and (header := HEADER.match(line)) and "=" not in QUOTED.sub("", line):
            table = _table(header.group(2), counts, array=header.group(1) == "[[")
            yield number, table
            continue
        if depth == 0 and (key := KEY.match(line)):
            yield number, (*table, *_parts(key.group(1)))
        triple = _opened(line)
        bare = QUOTED.sub("", line)
        depth = max(0, depth + bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}"))


def _table(name: str, counts: dict[Path, int], *, array: bool) -> Path:
    parts: Path = _parts(name)
    if array:
        counts[parts] = counts.get(parts, -1) + 1
        return (*parts, counts[parts])
    for length in range(len(parts), 0, -1):
        if parts[:length] in counts:
            return (*parts[:length], counts[parts[:length]], *parts[length:])
    return parts


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in PART.findall(name))


def _opened(line: str) -> str | None:
    """The kind of triple quotation mark that this line leaves open."""
    for mark in TRIPLE:
        if line.count(mark) % 2:
            return mark
    return None
