"""Keys as paths below a folder: any key has one path, and no key leads out of the folder."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

_MAX_SEGMENT_BYTES = 255
_DOTS = {".": "%2E", "..": "%2E%2E"}
_SAFE = "@:=,+~"
_PLAIN = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}/)*[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")
"""Keys that are paths as they stand: nearly all."""


def path_of(root: Path, key: str) -> Path:
    """The file of a key. Raises ValueError for a key with an empty or over-long part."""
    if _PLAIN.fullmatch(key):
        return Path(f"{root}/{key}")
    segments = [_DOTS.get(segment, quote(segment, safe=_SAFE)) for segment in key.split("/")]
    if not all(0 < len(segment) <= _MAX_SEGMENT_BYTES for segment in segments):
        raise ValueError(f"not a key: {key[:100]!r}")
    return root.joinpath(*segments)


def key_of(root: Path, path: Path) -> str:
    """The key of a file."""
    return "/".join(unquote(part) for part in path.relative_to(root).parts)
