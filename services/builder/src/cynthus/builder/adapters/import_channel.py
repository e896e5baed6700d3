"""What an interpreter that imports modules tells of each (see import_driver)."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LINE_BYTES = 256 * 1024
_MESSAGE_BYTES = 256
_EVIDENCE_CHARACTERS = 500


class SandboxGone(Exception):
    """It ended before the interpreter was started: no module is to blame."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one module: an exception's class `kinds` (own first), the interpreter's end by `code`, or `hung`."""

    module: str
    kinds: tuple[str, ...] = ()
    missing: str | None = None
    lines: tuple[str, ...] = ()
    code: int | None = None
    hung: bool = False


async def follow(
    descriptor: int,
    process: asyncio.subprocess.Process,
    first: socket.socket,
    modules: Sequence[str],
    module_s: float,
) -> list[Outcome]:
    """Outcomes in the order of `modules`, up to the first that did not come back. Closes the descriptor.

    On `first` the sandbox's first process says how the interpreter ended. Raises SandboxGone.
    """
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    outcomes: list[Outcome] = []
    try:
        for module in modules:
            try:
                told = await asyncio.wait_for(_done(reader, module), module_s)
            except TimeoutError:
                return [*outcomes, Outcome(module, hung=True)]
            if told is None:
                await process.wait()
                return [*outcomes, Outcome(module, code=_status(first))]
            outcomes.append(_outcome(module, told))
    finally:
        transport.close()
    return outcomes


async def _done(reader: asyncio.StreamReader, module: str) -> dict[str, Any] | None:
    """What was told of this module; None when nothing more comes, or nothing that is understood."""
    try:
        while line := await reader.readline():
            told = json.loads(line)
            if isinstance(told, dict) and told.get("done") == module:
                return told
    except ValueError:
        return None
    return None


def _outcome(module: str, told: dict[str, Any]) -> Outcome:
    missing = told.get("missing")
    return Outcome(
        module,
        tuple(map(str, told.get("error") or ())),
        missing if isinstance(missing, str) else None,
        tuple(str(line)[:_EVIDENCE_CHARACTERS] for line in told.get("lines") or ()),
    )


def _status(first: socket.socket) -> int:
    """The exit code, or a signal's number below zero. Raises SandboxGone."""
    first.settimeout(0)
    started = False
    try:
        while message := first.recv(_MESSAGE_BYTES).split():
            started |= message[0] == b"started"
            if message[0] == b"ended":
                return os.waitstatus_to_exitcode(int(message[1]))
    except OSError:
        pass
    if not started:
        raise SandboxGone
    return -signal.SIGKILL
