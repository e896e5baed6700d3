"""I7: what was accepted as uploaded is there with the same bytes."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.verify.evidence import Evidence
from tests.verify.findings import Checked
from tests.verify.lines import Line, accepted


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    stored: dict[str, list[Line]] = {}
    for key, line in evidence.blobs.items():
        stored.setdefault(key.rpartition("/")[2], []).append(line)
        _itself(line, checked)
    for line in evidence.lines("client"):
        if line["op"] == "upload" and accepted(line):
            for name in _named(line):
                checked.looked_at += 1
                _kept(line, name, stored.get(name, []), checked)
        elif line["op"] == "upload":
            checked.saw("uploads without a 2xx")
    return checked


def _kept(line: Line, name: str, objects: list[Line], checked: Checked) -> None:
    if not objects:
        checked.found(f"upload of {name} was accepted and is not there", line.where)
    elif all(found["sha256"] != name for found in objects):
        checked.found(f"upload of {name} has other bytes", line.where, objects[0].where)


def _itself(line: Line, checked: Checked) -> None:
    """Half an upload, or a damaged one, would be visible under a name that is not its own."""
    key = str(line["key"])
    if "/blobs/" in key or "/manifests/" in key:
        checked.saw("objects named by their bytes")
        if line["sha256"] != key.rpartition("/")[2]:
            checked.found(f"{key} is visible and has other bytes", line.where)


def _named(line: Line) -> Iterator[str]:
    """The sha256 of each object that the request brought."""
    sent = line.get("sent") or {}
    path = urlsplit(str(line.get("path") or sent.get("path") or "")).path
    if path.startswith(("/v1/blobs/", "/v1/snapshots/")):
        yield path.rpartition("/")[2].removeprefix("sha256:")
        return
    for name in (sent.get("sha256"), sent.get("digest"), sent.get("snapshot"), *(sent.get("digests") or ())):
        if name:
            yield str(name).removeprefix("sha256:")
