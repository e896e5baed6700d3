"""Calls of the public API as a client makes them, each try written down with what came of it."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.chaos.journal import Journal

_PASSING = {408, 429, 502, 503, 504}
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """What one call was answered; `status` None: nothing, and what happened is unknown."""

    status: int | None
    answer: Any = None

    @property
    def good(self) -> bool:
        """2xx."""
        return self.status is not None and 200 <= self.status < 300


class Caller:
    """One user's client."""

    def __init__(self, url: str, token: str, journal: Journal) -> None:
        self._journal = journal
        self._http = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx2.Timeout(15.0),
            limits=httpx2.Limits(max_connections=200, max_keepalive_connections=50),
        )

    async def once(
        self,
        op: str,
        method: str,
        path: str,
        *,
        run: str | None = None,
        key: str | None = None,
        body: Any = None,
        content: bytes | None = None,
    ) -> Said:
        """One try."""
        headers = {"Idempotency-Key": key} if key else {}
        t0, status, answer = time.time(), None, None
        try:
            response = await self._http.request(
                method, path, json=body, content=content, headers=headers, timeout=_patience(path)
            )
            status, answer = response.status_code, _parsed(response.content)
        except (httpx2.HTTPError, OSError):
            status, answer = None, None
        run = run or (answer.get("id") if isinstance(answer, dict) and op == "create" else None)
        self._journal.write(
            "client",
            t0=t0,
            t1=time.time(),
            op=op,
            run=run,
            key=key,
            status=status,
            answer=answer,
            sent=body if content is None else {"path": path, "bytes": len(content)},
            path=path,
        )
        return Said(status, answer)

    async def until(self, op: str, method: str, path: str, *, patience_s: float = 180.0, **more: Any) -> Said:
        """Tries with one key until there is an answer that is not passing."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + patience_s, 0.05
        while True:
            said = await self.once(op, method, path, **more)
            passing = said.status is None or said.status in _PASSING
            if not passing or loop.time() > deadline:
                return said
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()


def _patience(path: str) -> float:
    return 30.0 if "wait=" in path else 15.0


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
