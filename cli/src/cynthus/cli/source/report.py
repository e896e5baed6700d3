"""What a scan sends, what it leaves and why: for people."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from cynthus.cli import units
from cynthus.cli.source.tree import Scan

LARGE_BYTES = 50_000_000
_BRIEF, _FULL = 3, 10


def sent(scan: Scan) -> str:
    """Such as `3.1 MB, 41 files`."""
    return f"{units.size(scan.size)}, {scan.count}"


def rows(scan: Scan, *, full: bool = False) -> Iterator[tuple[str, str]]:
    """(label, text) of what is worth knowing before anything is sent."""
    limit = _FULL if full else _BRIEF
    large = sorted((file for file in scan.files if file.size >= LARGE_BYTES), key=lambda file: -file.size)
    if large:
        yield "large", "\n".join(f"{file.path} {units.size(file.size)}" for file in large[:limit])
    if scan.ignored.named:
        yield "ignored", _ignored(scan, limit, full=full)


def warnings(scan: Scan) -> Iterator[str]:
    """What nobody asked to leave out, and what may surprise."""
    yield from scan.warnings
    for item in scan.skipped.named[:_FULL]:
        yield f"{item.path} is not sent: {item.why}"
    rest = scan.skipped.reasons.total() - _FULL
    if rest > 0:
        yield f"{rest} more are not sent"


def as_json(scan: Scan) -> dict[str, Any]:
    """The same for machines."""
    return {
        "files": len(scan.files),
        "bytes": scan.size,
        "large": [{"path": f.path, "bytes": f.size} for f in scan.files if f.size >= LARGE_BYTES],
        "ignored": {"count": scan.ignored.reasons.total(), "reasons": dict(scan.ignored.reasons)},
        "not_sent": [{"path": item.path, "why": item.why} for item in scan.skipped.named],
        "warnings": list(scan.warnings),
    }


def _ignored(scan: Scan, limit: int, *, full: bool) -> str:
    if full:
        lines = [f"{item.path}  ({item.why})" for item in scan.ignored.named[:limit]]
        rest = scan.ignored.reasons.total() - limit
        return "\n".join([*lines, f"and {rest} more"] if rest > 0 else lines)
    origins = Counter[str]()
    for why, count in scan.ignored.reasons.items():
        origins[why.split(":", 1)[0]] += count
    return ", ".join(
        f"{count} built in" if origin == "built in" else f"{count} by {origin}"
        for origin, count in origins.most_common()
    )
