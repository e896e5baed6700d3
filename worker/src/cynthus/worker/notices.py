"""Listens to where a machine says that it is about to go."""

import http.client
import threading
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from cynthus.worker.link import delays

_WAIT_S = 60.0
_CONNECT_S = 5.0
_MOST_DELAY_S = 5.0
_OK = 200
_LONGEST_BODY = 1024


class NoticeListener:
    """A thread that asks a metadata server, as of Compute Engine, until the answer is TRUE."""

    def __init__(self, url: str, heard: Callable[[str], object]) -> None:
        self._url = url
        self._heard = heard
        self._tag = ""
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        wait = False
        pauses = delays(0.2, _MOST_DELAY_S)
        while True:
            try:
                if self._ask(wait=wait):
                    self._heard(f"{self._url} said TRUE")
                    return
                pauses = delays(0.2, _MOST_DELAY_S)
                if wait:
                    pause.wait(next(delays(0.1, 0.2)))
                wait = True
            except (OSError, http.client.HTTPException, ValueError):
                pause.wait(next(pauses))

    def _ask(self, *, wait: bool) -> bool:
        """At first how it is, then how it has changed. Raises OSError, HTTPException, ValueError."""
        parts = urlsplit(self._url)
        query = {"wait_for_change": "true", "timeout_sec": f"{_WAIT_S:.0f}"} if wait else {}
        if wait and self._tag:
            query["last_etag"] = self._tag
        told = "&".join(item for item in (parts.query, urlencode(query)) if item)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        timeout_s = _WAIT_S + _CONNECT_S if wait else _CONNECT_S
        connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
        try:
            path = f"{parts.path or '/'}{'?' if told else ''}{told}"
            connection.request("GET", path, headers={"Metadata-Flavor": "Google"})
            answer = connection.getresponse()
            body = answer.read(_LONGEST_BODY)
            if answer.status != _OK:
                raise ValueError(answer.status)
            self._tag = answer.headers.get("ETag", "")
            return body.strip().upper() == b"TRUE"
        finally:
            connection.close()
