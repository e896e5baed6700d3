"""Runs of many kinds, kept in flight through the public API, as users and their command line would."""

import asyncio
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.caller import Caller
from tests.chaos.kinds import Kind, draw

PROJECT = "chaos"
OVER = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_PROGRAM = Path(__file__).with_name("program.py")
_RUNS_PER_SOURCE = 12
"""So many runs share a source and its image; the next one is built anew, so that builds are in flight too."""


@dataclass(slots=True)
class Flight:
    """A run as its user knows it."""

    number: int
    kind: Kind
    key: str
    id: str | None = None
    state: str = "ASKED"
    epoch: int = 0
    machine: str | None = None
    seen: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether it was seen to be over."""
        return self.state in OVER


class Workload:
    """Keeps runs in flight; `flights` are all that were asked for."""

    def __init__(self, caller: Caller, random: Random, *, side_port: int, mark: str) -> None:
        self._caller = caller
        self._random = random
        self._side_port = side_port
        self._mark = mark
        self._sources: dict[int, asyncio.Task[str]] = {}
        self.flights: list[Flight] = []
        self.refused: list[tuple[str, int | None, Any]] = []

    @property
    def in_flight(self) -> list[Flight]:
        """Those that are not over."""
        return [flight for flight in self.flights if not flight.over]

    async def prepare(self) -> None:
        """The project."""
        await self._caller.until("project", "POST", "/v1/projects", body={"name": PROJECT})

    async def keep(self, in_flight: int, most: int, stopped: asyncio.Event) -> None:
        """Submit until there were `most`, or it is stopped; then wait for all of them."""
        async with asyncio.TaskGroup() as group:
            room = asyncio.Semaphore(in_flight)
            for number in range(most):
                await room.acquire()
                if stopped.is_set():
                    break
                task = group.create_task(self._live(number))
                task.add_done_callback(lambda _: room.release())

    async def _live(self, number: int) -> None:
        flight = Flight(number, draw(self._random), f"chaos-{self._mark}-{number}")
        self.flights.append(flight)
        if not await self._submit(flight):
            flight.state = "FAILED" if flight.id is None else flight.state
            return
        cancelling = asyncio.create_task(self._cancel_later(flight))
        try:
            await self._follow(flight)
            await self._collect(flight)
        finally:
            cancelling.cancel()
            with suppress(asyncio.CancelledError):
                await cancelling

    async def _submit(self, flight: Flight) -> bool:
        source = await self._source(flight.number // _RUNS_PER_SOURCE)
        body = {
            "snapshot": source,
            "entry": "main.py",
            "env": {
                "CHAOS_DO": flight.kind.do,
                "CHAOS_AMOUNT": str(flight.kind.amount),
                "CHAOS_SIDE": str(self._side_port),
                "CHAOS_MARK": self._mark,
            },
            "labels": {"do": flight.kind.do},
            "retries": flight.kind.retries,
            **({"timeout_s": flight.kind.timeout_s} if flight.kind.timeout_s else {}),
        }
        path = f"/v1/projects/{PROJECT}/runs"
        twice = flight.kind.twice
        calls = [
            self._caller.until("create", "POST", path, key=flight.key, body=body) for _ in range(1 + twice)
        ]
        for said in await asyncio.gather(*calls):
            if said.good:
                flight.id = said.answer["id"]
            else:
                self.refused.append(("create", said.status, said.answer))
        return flight.id is not None

    async def _follow(self, flight: Flight) -> None:
        """Look at the run until it is over: by itself, in its events, in the list."""
        version = 0
        while not flight.over:
            way = self._random.random()
            if way < 0.5:
                said = await self._caller.once("get", "GET", f"/v1/runs/{flight.id}", run=flight.id)
                self._learn(flight, said.answer if said.good else None)
                await asyncio.sleep(0.3 + self._random.random())
            elif way < 0.97:
                path = f"/v1/runs/{flight.id}/events?after={version}&wait=2"
                said = await self._caller.once("events", "GET", path, run=flight.id)
                events = said.answer["events"] if said.good else []
                version = max([version, *(event["version"] for event in events)])
                await asyncio.sleep(0.0 if said.good else 0.5)
            else:
                await self._caller.once("list", "GET", f"/v1/runs?project={PROJECT}&page_size=20")
                await asyncio.sleep(0.5)

    def _learn(self, flight: Flight, run: dict[str, Any] | None) -> None:
        if run is None:
            return
        if run["state"] != flight.state:
            flight.seen.append(run["state"])
        flight.state, flight.epoch = run["state"], run["epoch"] or 0
        attempts = run.get("attempts") or []
        flight.machine = attempts[-1].get("machine") if attempts else None

    async def _cancel_later(self, flight: Flight) -> None:
        if flight.kind.cancel_after_s is not None:
            await asyncio.sleep(flight.kind.cancel_after_s)
            await self._caller.until(
                "cancel", "POST", f"/v1/runs/{flight.id}:cancel", run=flight.id, key=f"{flight.key}-cancel"
            )

    async def _collect(self, flight: Flight) -> None:
        """What the run left, as its user would fetch it."""
        await self._caller.until("outputs", "GET", f"/v1/runs/{flight.id}/outputs", run=flight.id)
        cursor, more = "", True
        while more:
            path = f"/v1/runs/{flight.id}/logs?limit=1000{f'&after={cursor}' if cursor else ''}"
            said = await self._caller.until("logs", "GET", path, run=flight.id)
            chunks = said.answer["chunks"] if said.good else []
            cursor = (said.answer.get("cursor") or cursor) if said.good else cursor
            more = bool(chunks)

    async def _source(self, number: int) -> str:
        task = self._sources.get(number)
        if task is None:
            task = self._sources[number] = asyncio.create_task(self._upload(number))
        return await asyncio.shield(task)

    async def _upload(self, number: int) -> str:
        """A project of one program, made different by a comment."""
        program = f"# {self._mark} {number}\n".encode() + _PROGRAM.read_bytes()
        blob = hashlib.sha256(program).hexdigest()
        entry = {"chunks": [blob], "path": "main.py", "size": len(program)}
        lines = [{"format": "cynthus.snapshot.v1"}, entry]
        manifest = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        await self._caller.until("upload", "PUT", f"/v1/blobs/{blob}", content=program)
        await self._caller.until("upload", "PUT", f"/v1/snapshots/{digest}", content=manifest)
        path = f"/v1/projects/{PROJECT}/snapshots"
        said = await self._caller.until("source", "POST", path, body={"snapshot": digest})
        assert said.good, f"the source was refused: {said}"
        return digest
