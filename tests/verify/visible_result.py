"""I3: the results of exactly one attempt are visible: complete, and as that attempt wrote them."""

import base64

from tests.verify import manifests
from tests.verify.evidence import Evidence
from tests.verify.facts import Fact, Stream
from tests.verify.findings import Checked
from tests.verify.lines import Line, accepted
from tests.verify.transition_table import clean

_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    objects = _Objects(evidence)
    hidden = {row["run_id"] for row in evidence.rows("orchestrator.hidden_runs")}
    for stream in evidence.runs.values():
        if stream.state is None:
            continue
        committed = _committed(stream, checked)
        if stream.state == "SUCCEEDED" and stream.run not in hidden:
            checked.looked_at += 1
            if committed is not None:
                _compare(evidence, stream, committed, objects, checked)
        _shown(evidence.client.get(stream.run, []), stream, committed, checked)
    return checked


def _committed(stream: Stream, checked: Checked) -> Fact | None:
    """The outputs of the attempt that the run ended with."""
    end = stream.terminal
    assert end is not None
    found = stream.all("outputs.committed", epoch=end.epoch) if end.epoch is not None else []
    if stream.state == "SUCCEEDED" and len(found) != 1:
        checked.found(f"{stream.run} succeeded with {len(found)} manifests of its attempt", end.where)
    exited = stream.first("attempt.exited", epoch=end.epoch) if end.epoch is not None else None
    if stream.state == "SUCCEEDED" and (exited is None or not clean(exited)):
        checked.found(f"{stream.run} succeeded and its program did not exit with 0", end.where)
    return found[0] if found else None


class _Objects:
    """The object store's listing, by what objects are."""

    def __init__(self, evidence: Evidence) -> None:
        self.blobs: dict[str, list[Line]] = {}
        self.manifests: dict[str, list[Line]] = {}
        for key, line in evidence.blobs.items():
            name = key.rpartition("/")[2]
            if "/blobs/" in key:
                self.blobs.setdefault(name, []).append(line)
            elif "/manifests/" in key:
                self.manifests.setdefault(name, []).append(line)

    def whole(self, name: str, found: dict[str, list[Line]]) -> Line | None:
        """An object whose bytes are what its name says."""
        return next((line for line in found.get(name, []) if line["sha256"] == name), None)


def _compare(
    evidence: Evidence, stream: Stream, committed: Fact, objects: _Objects, checked: Checked
) -> None:
    digest = str(committed.data["manifest"])
    where, run = committed.where, stream.run
    line = objects.whole(digest.removeprefix("sha256:"), objects.manifests)
    if line is None:
        checked.found(f"{run} succeeded and its manifest {digest} is not there, or damaged", where)
        return
    wrote = _wrote(evidence, run, committed.epoch)
    if line.get("content") is not None:
        _content(run, base64.b64decode(line["content"]), wrote, objects, checked, (where, line.where))
    elif wrote is not None:
        _rebuilt(run, digest, wrote, objects, checked, (where, line.where))


def _wrote(evidence: Evidence, run: str, epoch: int | None) -> dict[str, str] | None:
    """What that attempt says it wrote: path and sha256."""
    ends = [line for line in evidence.side.get(run, []) if line["what"] == "end" and line["epoch"] == epoch]
    files = ends[-1].get("files") if ends else None
    return None if files is None else {str(path): str(sha256) for path, sha256 in files.items()}


def _content(
    run: str,
    content: bytes,
    wrote: dict[str, str] | None,
    objects: _Objects,
    checked: Checked,
    where: tuple[str, ...],
) -> None:
    stored = manifests.chunks_of(content)
    for path, chunks in stored.items():
        for chunk in chunks:
            checked.saw("objects")
            if objects.whole(chunk, objects.blobs) is None:
                checked.found(f"{run}: object {chunk} of {path} is not there, or damaged", *where)
    if wrote is None:
        return
    checked.saw("compared with what the program wrote")
    if set(stored) != set(wrote):
        checked.found(f"{run}: {sorted(stored)} is visible, {sorted(wrote)} was written", *where)
    for path in set(stored) & set(wrote):
        if len(stored[path]) <= 1 and (stored[path] or [_EMPTY])[0] != wrote[path]:
            checked.found(f"{run}: {path} is not what attempt wrote", *where)


def _rebuilt(
    run: str,
    digest: str,
    wrote: dict[str, str],
    objects: _Objects,
    checked: Checked,
    where: tuple[str, ...],
) -> None:
    """Without its content the manifest must be the one that what was written gives."""
    files: dict[str, tuple[str, int]] = {}
    for path, sha256 in wrote.items():
        line = objects.whole(sha256, objects.blobs)
        if line is None and sha256 != _EMPTY:
            checked.found(f"{run}: what was written as {path} is not there, or damaged", *where)
            return
        files[path] = (sha256, 0 if line is None else int(line["size"]))
    checked.saw("objects", len(files))
    checked.saw("compared with what the program wrote")
    if manifests.digest_of(files) != digest:
        checked.found(f"{run}: its manifest is not of the files that the program wrote", *where)


def _shown(lines: list[Line], stream: Stream, committed: Fact | None, checked: Checked) -> None:
    """Clients saw the results of that one attempt or none."""
    for line in lines:
        answer = line.get("answer")
        if not accepted(line) or not isinstance(answer, dict):
            continue
        result = answer.get("outputs") if line["op"] == "get" else answer if line["op"] == "outputs" else None
        manifest = result.get("manifest") if isinstance(result, dict) else None
        if manifest is None:
            if line["op"] == "outputs" and stream.state == "SUCCEEDED":
                _hidden(line, stream, checked)
            continue
        checked.saw("results shown to clients")
        if committed is None or manifest != committed.data["manifest"]:
            checked.found(f"{stream.run}: a client saw {manifest}, of no attempt that counts", line.where)
        elif line["op"] == "get" and answer.get("state") not in _FINAL:
            checked.found(f"{stream.run}: results are visible while it is {answer.get('state')}", line.where)


def _hidden(line: Line, stream: Stream, checked: Checked) -> None:
    end = stream.terminal
    if end is not None and float(line["t0"]) > end.at + 1.0:
        checked.found(f"{stream.run} succeeded and a client saw no results", line.where)
