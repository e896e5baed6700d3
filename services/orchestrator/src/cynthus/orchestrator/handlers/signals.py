"""Publishes that attempts are alive: at most one signal per run and interval."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from cynthus.bus.ports import BusUnavailable, EventBus
from cynthus.events import Envelope, Heartbeat, new_id
from cynthus.orchestrator.handlers.heartbeats import Heard
from cynthus.store.ports import StoreUnavailable

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HeartbeatSignals:
    """`beats` holds the newest beat of each run since the last round; a lost signal is no loss."""

    beats: dict[str, Heard]
    bus: EventBus
    source: str
    every_s: float

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await asyncio.sleep(self.every_s)
            try:
                await self.publish()
            except (BusUnavailable, StoreUnavailable) as outage:
                _log.warning("heartbeats were not published", error=str(outage))

    async def publish(self) -> None:
        """One round."""
        beats = list(self.beats.values())
        self.beats.clear()
        if beats:
            await self.bus.publish([self._envelope(beat) for beat in beats])

    def _envelope(self, heard: Heard) -> Envelope:
        claims, cpu_seconds, memory_bytes = heard
        beat = Heartbeat(
            run_id=claims.run_id,
            epoch=claims.epoch,
            machine=claims.machine,
            cpu_seconds=cpu_seconds,
            memory_bytes=memory_bytes,
        )
        return Envelope(
            id=new_id("evt"),
            source=self.source,
            time=datetime.now(UTC),
            event=beat,
            stream=f"run-{beat.run_id}",
            sequence=0,
            actor=f"worker:{beat.machine}",
            correlation_id=beat.run_id,
        )
