"""`cynthus logs`."""

import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from cynthus.cli import options, units
from cynthus.cli.client.api import Api
from cynthus.cli.client.connection import Patience
from cynthus.cli.client.resources import LogChunk
from cynthus.cli.options import Parsed
from cynthus.cli.running.following import bytes_of
from cynthus.cli.session import Session

_WAIT_S = 20
_PATIENCE_S = 300.0


@click.command()
@click.argument("run")
@click.option("-f", "--follow", is_flag=True, help="Stay until the run is over.")
@click.option("-n", "--tail", type=click.IntRange(0), metavar="N", help="The last N lines alone.")
@click.option(
    "--since",
    type=Parsed("time", lambda text: units.parse_since(text, datetime.now(UTC))),
    metavar="TIME",
    help="Not before 10m ago, or an RFC 3339 time.",
)
@click.option("--source", type=click.Choice(["stdout", "stderr"]), help="One of the two alone.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="This attempt alone.")
@click.option("--timestamps", is_flag=True, help="Each line with its time.")
@options.output
def logs(
    session: Session,
    *,
    run: str,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    source: str | None,
    attempt: int | None,
    timestamps: bool,
) -> None:
    """What RUN's program wrote: its stdout to stdout, its stderr to stderr, byte by byte."""
    filters: dict[str, str | int] = {}
    if source is not None:
        filters["source"] = source
    if attempt is not None:
        filters["attempt"] = attempt
    chunks = _chunks(session.api(), run, filters, since, follow=follow)
    writer = _Writer(session, timestamps=timestamps)
    if tail is not None:
        chunks = _tail(chunks, tail, writer, follow=follow)
    for chunk in chunks:
        if chunk:
            writer.write(chunk)
    writer.end()


def _chunks(
    api: Api, run: str, filters: dict[str, str | int], since: datetime | None, *, follow: bool
) -> Iterator[LogChunk | None]:
    """Chunks as they come; None once everything that was there has been given."""
    cursor, there = None, False
    while True:
        wait = _WAIT_S if follow and there else 0
        page = api.logs(run, after=cursor, wait_s=wait, patience=Patience(_PATIENCE_S), **filters)
        for chunk in page["chunks"]:
            if since is None or units.parse_time(chunk["time"]) >= since:
                yield chunk
        cursor = page["cursor"] or cursor
        if page["over"] or (not page["chunks"] and not follow):
            return
        if not page["chunks"] and not there:
            there = True
            yield None


def _tail(
    chunks: Iterator[LogChunk | None], lines: int, writer: "_Writer", *, follow: bool
) -> Iterator[LogChunk | None]:
    """The last lines of what is there, then, when following, the rest."""
    kept: deque[LogChunk] = deque()
    counts: deque[int] = deque()
    for chunk in chunks:
        if chunk is None:
            break
        kept.append(chunk)
        counts.append(bytes_of(chunk).count(b"\n"))
        while sum(counts) - counts[0] > lines:
            kept.popleft()
            counts.popleft()
    writer.skip_to_last(lines, list(kept))
    yield from kept
    if follow:
        yield from chunks


class _Writer:
    def __init__(self, session: Session, *, timestamps: bool) -> None:
        self._session = session
        self._timestamps = timestamps
        self._skip = 0
        self._open: dict[str, bool] = {}

    def skip_to_last(self, lines: int, chunks: list[LogChunk]) -> None:
        """Leave out all but the last lines of these chunks, which are written next."""
        whole = b"".join(bytes_of(chunk) for chunk in chunks)
        every = whole.splitlines(keepends=True)
        self._skip = sum(len(line) for line in every[: max(0, len(every) - lines)])

    def write(self, chunk: LogChunk) -> None:
        """One chunk, to where the program wrote it."""
        if self._session.json:
            self._session.print_json({"kind": "log", "seq": chunk["cursor"], **chunk})
            return
        content = bytes_of(chunk)
        skipped = min(self._skip, len(content))
        self._skip -= skipped
        content = content[skipped:]
        stream = sys.stderr if chunk["source"] == "stderr" else sys.stdout
        stream.flush()
        stream.buffer.write(self._dated(chunk, content) if self._timestamps else content)
        stream.buffer.flush()

    def end(self) -> None:
        """Dated lines end with a line end, whatever the program did."""
        for source, is_open in self._open.items():
            if is_open:
                (sys.stderr if source == "stderr" else sys.stdout).write("\n")

    def _dated(self, chunk: LogChunk, content: bytes) -> bytes:
        date = f"{chunk['time']} ".encode()
        parts = []
        for line in content.splitlines(keepends=True):
            parts += [line] if self._open.get(chunk["source"]) else [date, line]
            self._open[chunk["source"]] = not line.endswith(b"\n")
        return b"".join(parts)
