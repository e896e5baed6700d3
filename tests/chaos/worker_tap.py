"""Writes down what workers call and what they are answered, as the platform said it."""

import base64
import json
import re
import time
from typing import Any

from tests.chaos.journal import Journal

_REQUEST = re.compile(rb"^(?:GET|POST|PUT|HEAD|DELETE) (\S+) HTTP/1\.1\r\n")
_STATUS = re.compile(rb"^HTTP/1\.1 (\d{3})")
_ATTEMPT = re.compile(r"/worker/v1/attempts/([^/]+)/(\d+)/(\w+)")
_OTHER = re.compile(r"/worker/v1/(hello|orders):?")
_MACHINE = re.compile(rb'"machine": ?"([^"]+)"')
_TOKEN = re.compile(rb"[Aa]uthorization: Bearer ([^\r\n]+)")


class WorkerTap:
    """One connection of a worker. `t` is when the request went to the platform."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._row: dict[str, Any] | None = None

    def up(self, data: bytes) -> None:
        """A request begins, or goes on."""
        request = _REQUEST.match(data)
        if request is None:
            self._name_machine(data)
            return
        self._answered(None)
        self._row = _call(request[1].decode())
        if self._row is not None:
            self._row |= {"t": time.time(), **_claims(data)}
            self._name_machine(data)

    def down(self, data: bytes) -> None:
        """An answer begins, or goes on."""
        status = _STATUS.match(data)
        if status is not None and self._row is not None:
            self._answered(int(status[1]))

    def closed(self) -> None:
        """What was not answered stays unknown."""
        self._answered(None)

    def _answered(self, status: int | None) -> None:
        if self._row is not None:
            self._journal.write("worker", **self._row, status=status, answered=time.time())
        self._row = None

    def _name_machine(self, data: bytes) -> None:
        if self._row is not None and "machine" not in self._row and (found := _MACHINE.search(data)):
            self._row["machine"] = found[1].decode()


def _call(path: str) -> dict[str, Any] | None:
    if attempt := _ATTEMPT.search(path):
        return {"call": attempt[3], "run": attempt[1], "epoch": int(attempt[2])}
    if other := _OTHER.search(path):
        return {"call": other[1]}
    return None


def _claims(data: bytes) -> dict[str, str]:
    """The machine that the token names."""
    token = _TOKEN.search(data)
    if token is None or token[1].count(b".") != 2:
        return {}
    payload = token[1].split(b".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    except ValueError:
        return {}
    machine = claims.get("machine")
    return {"machine": machine} if machine else {}
