"""I13: a stored log is an exact prefix of what was written, and whole when the program ended by itself."""

import base64
import hashlib
from dataclasses import dataclass

from tests.verify.evidence import Evidence
from tests.verify.facts import Stream
from tests.verify.findings import Checked
from tests.verify.lines import Line, accepted, asked

Attempt = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One row of the index, with its object (None: it is not there)."""

    row: Line
    blob: Line | None


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    hidden = {row["run_id"] for row in evidence.rows("orchestrator.hidden_runs")}
    chunks = _chunks(evidence)
    shown = _shown(evidence)
    for attempt, found in chunks.items():
        if attempt[0] not in hidden:
            _contiguous(attempt, found, checked)
    for run, lines in evidence.side.items():
        stream = evidence.runs.get(run)
        if stream is None or run in hidden:
            continue
        for epoch in sorted({int(line["epoch"]) for line in lines}):
            told = [line for line in lines if line["epoch"] == epoch]
            stored = [chunk for chunk in chunks.get((run, epoch), []) if chunk.row["source"] == "stdout"]
            _compare(stream, epoch, told, stored, shown.get((run, epoch)), checked)
    return checked


def _chunks(evidence: Evidence) -> dict[Attempt, list[Chunk]]:
    by_place: dict[tuple[str, str, str], Line] = {}
    for key, line in evidence.blobs.items():
        parts = key.split("/")
        if len(parts) >= 5 and parts[-2] == "logs":
            by_place[parts[-4], parts[-3], str(int(parts[-1]))] = line
    found: dict[Attempt, list[Chunk]] = {}
    for row in evidence.rows("orchestrator.log_chunks"):
        run, epoch, seq = str(row["run_id"]), int(row["epoch"]), int(row["seq"])
        blob = by_place.get((run, str(epoch), str(seq)))
        found.setdefault((run, epoch), []).append(Chunk(row, blob))
    for rows in found.values():
        rows.sort(key=lambda chunk: int(chunk.row["seq"]))
    return found


def _contiguous(attempt: Attempt, chunks: list[Chunk], checked: Checked) -> None:
    ends: dict[str, int] = {}
    for expected, chunk in enumerate(chunks):
        row = chunk.row
        checked.saw("chunks")
        if int(row["seq"]) != expected:
            checked.found(f"{attempt[0]}: chunk {row['seq']} where {expected} should be", row.where)
            return
        if int(row["start_offset"]) != ends.get(row["source"], 0):
            checked.found(f"{attempt[0]}: a gap in {row['source']} before chunk {row['seq']}", row.where)
        ends[row["source"]] = int(row["start_offset"]) + int(row["size"])
        if chunk.blob is None:
            checked.found(f"{attempt[0]}: chunk {row['seq']} has no object", row.where)
        elif int(chunk.blob["size"]) != int(row["size"]):
            checked.found(f"{attempt[0]}: chunk {row['seq']} has another size", row.where, chunk.blob.where)


def _shown(evidence: Evidence) -> dict[Attempt, bytes]:
    """What a client was shown of each attempt's stdout, where he read it from the first chunk to the last."""
    found: dict[Attempt, bytes] = {}
    for run, lines in evidence.client.items():
        reads = [line for line in lines if line["op"] == "logs" and accepted(line)]
        for first in reads:
            if asked(first, "after") or not isinstance(first.get("answer"), dict):
                continue
            seen, whole = _follow(first, reads)
            if whole:
                for epoch, data in seen.items():
                    found[run, epoch] = data
    return found


def _follow(first: Line, reads: list[Line]) -> tuple[dict[int, bytes], bool]:
    """The pages that follow each other by their cursors."""
    seen: dict[int, bytes] = {}
    page: Line | None = first
    while page is not None:
        answer = page["answer"]
        for chunk in answer.get("chunks", []):
            if chunk["source"] == "stdout":
                data = chunk["text"].encode() if "text" in chunk else base64.b64decode(chunk["base64"])
                seen[int(chunk["attempt"])] = seen.get(int(chunk["attempt"]), b"") + data
        if answer.get("over"):
            return seen, True
        cursor, after = answer.get("cursor"), page
        page = next(
            (
                line
                for line in reads
                if line["t0"] >= after["t1"]
                and isinstance(line.get("answer"), dict)
                and asked(line, "after") == cursor
            ),
            None,
        )
    return seen, False


def _compare(
    stream: Stream, epoch: int, told: list[Line], stored: list[Chunk], shown: bytes | None, checked: Checked
) -> None:
    size = sum(int(chunk.row["size"]) for chunk in stored)
    marks = [line for line in told if line.get("stdout_bytes") is not None]
    end = next(
        (line for line in told if line["what"] == "end" and line.get("stdout_bytes") is not None), None
    )
    sealed = stream.first("logs.sealed", epoch=epoch)
    where = tuple(chunk.row.where for chunk in stored[:1])
    lines = (*where, *(line.where for line in marks[-1:]))
    if end is not None:
        if size > int(end["stdout_bytes"]):
            what = f"{stream.run}: {size} bytes of attempt {epoch} stored, {end['stdout_bytes']} were written"
            checked.found(what, *lines)
        elif size < int(end["stdout_bytes"]) and sealed is not None:
            what = f"{stream.run}: {size} of {end['stdout_bytes']} bytes of attempt {epoch} are stored"
            checked.found(what, *lines, sealed.where)
        if sealed is not None:
            checked.saw("whole logs")
            if sealed.data.get("bytes_by_source", {}).get("stdout", 0) != size:
                checked.found(f"{stream.run}: its log was sealed with another length", sealed.where, *lines)
    data = _content(stored)
    if shown is not None:
        checked.saw("logs read by clients")
        if len(shown) > size or (data is not None and not data.startswith(shown)):
            checked.found(f"{stream.run}: a client read another log of attempt {epoch}", *lines)
    _bytes(stream, epoch, marks, data if shown is None else shown, stored, checked, lines)


def _content(stored: list[Chunk]) -> bytes | None:
    """The bytes of the chunks, where the listing of objects has them."""
    contents = [None if chunk.blob is None else chunk.blob.get("content") for chunk in stored]
    return None if None in contents else b"".join(base64.b64decode(part or "") for part in contents)


def _bytes(
    stream: Stream,
    epoch: int,
    marks: list[Line],
    data: bytes | None,
    stored: list[Chunk],
    checked: Checked,
    lines: tuple[str, ...],
) -> None:
    """Each length at which the program told its hash is compared, as far as the log is stored."""
    size = sum(int(chunk.row["size"]) for chunk in stored)
    for mark in marks:
        length, sha256 = int(mark["stdout_bytes"]), mark.get("stdout_sha256")
        if sha256 is None or length > size:
            continue
        if data is not None and length <= len(data):
            stored_sha256 = _sha256(data[:length])
        elif len(stored) == 1 and length == size and stored[0].blob is not None:
            stored_sha256 = str(stored[0].blob["sha256"])
        else:
            continue
        checked.looked_at += 1
        if stored_sha256 != sha256:
            what = f"{stream.run}: the first {length} bytes of attempt {epoch} are not what was written"
            checked.found(what, mark.where, *lines)
            return


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
