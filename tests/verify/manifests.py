"""A snapshot's manifest as docs/protocols.md tells of it: canonical JSON lines, sorted by path."""

import hashlib
import json
from collections.abc import Mapping

HEADER = '{"format":"cynthus.snapshot.v1"}\n'


def digest_of(files: Mapping[str, tuple[str, int]]) -> str:
    """The digest of a tree of plain files, given as path: (sha256, size); each at most 64 MiB."""
    lines = [HEADER]
    for path in sorted(files, key=lambda path: path.encode()):
        sha256, size = files[path]
        entry = {"path": path, "size": size, "chunks": [sha256] if size else []}
        lines.append(json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n")
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def chunks_of(content: bytes) -> dict[str, list[str]]:
    """The chunks of each file that a manifest names. Raises ValueError for bytes that are none."""
    first, *lines = content.decode().splitlines()
    if first + "\n" != HEADER:
        raise ValueError("no manifest")
    entries = [json.loads(line) for line in lines]
    return {entry["path"]: entry.get("chunks", []) for entry in entries if "size" in entry}
