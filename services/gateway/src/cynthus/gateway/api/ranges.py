"""The Range header: one span of bytes."""

import re

from cynthus.web.problems import Refused

_SPAN = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """[start, end) of the header; None for none or one not understood. Raises Refused (416)."""
    match = _SPAN.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if last and first and int(last) < int(first):
        return None
    if start >= size or start >= end:
        raise Refused(
            416,
            "range_not_satisfiable",
            f"the blob has {size} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end
