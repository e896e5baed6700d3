"""What happens to a call before and after it is performed, at worst."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from cynthus.provisioner.hostile.chance import Dice
from cynthus.provisioner.hostile.knobs import Call, Knobs
from cynthus.provisioner.hostile.refusals import Lost, Refusal
from cynthus.provisioner.hostile.wire import Answer

_BROKEN = (500, 502, 504)
_GARBAGE: tuple[Mapping[str, Any] | str, ...] = (
    "<html><body>Temporary problem</body></html>",
    '{"kind": "compute#oper',
    "",
    {},
    {"items": None, "status": 7},
)

Told = Callable[..., None]


class Door:
    """Every call of the platform goes through it."""

    def __init__(self, knobs: Callable[[], Knobs], dice: Dice, say: Told, now: Callable[[], float]) -> None:
        self._knobs = knobs
        self._dice = dice
        self._say = say
        self._now = now
        self._tokens = 1.0
        self._filled = now()

    async def through(
        self, call: Call, zone: str, name: str | None, perform: Callable[[], Mapping[str, Any]]
    ) -> Answer:
        """The call's answer. Raises Refusal, Lost."""
        facts = {"call": call, "zone": zone or None, "target": name}
        knobs = self._knobs()
        await asyncio.sleep(self._dice.between("slow", (0, knobs.slow_s)) / knobs.speed)
        try:
            self._enter(call, zone, knobs)
            document = perform()
        except Refusal as refusal:
            self._say("refused", reason=refusal.reason, status=refusal.status, **facts)
            raise
        except Lost:
            self._say("refused", reason="lost", **facts)
            raise
        try:
            return self._leave(call, document, knobs)
        except (Refusal, Lost):
            self._say("answer_lost", **facts)
            raise

    def _enter(self, call: Call, zone: str, knobs: Knobs) -> None:
        if zone in knobs.zones_away:
            raise Refusal(503, "backendError", f"Zone {zone} is unreachable")
        if self._happens("throttled", call, knobs.throttled) or self._too_often(knobs):
            headers = {"Retry-After": f"{knobs.retry_after_s / knobs.speed:g}"}
            raise Refusal(429, "rateLimitExceeded", "Rate limit exceeded", headers)
        if self._happens("unavailable", call, knobs.unavailable):
            raise Refusal(503, "backendError", "The service is currently unavailable")
        broken = self._dice.one_of("broken_status", _BROKEN)
        if self._happens("broken", call, knobs.broken):
            raise Refusal(broken, "backendError", "Internal error")
        if self._happens("lost_before", call, knobs.lost_before):
            raise Lost(0)

    def _leave(self, call: Call, document: Mapping[str, Any], knobs: Knobs) -> Answer:
        hang_s = knobs.hang_s / knobs.speed
        how = self._dice.one_of(
            "lost_how", (Lost(0), Lost(hang_s), Refusal(504, "backendError", "Timed out"))
        )
        if self._happens("lost_after", call, knobs.lost_after):
            raise how
        garbage = self._dice.one_of("garbage_content", _GARBAGE)
        return Answer(garbage if self._happens("garbage", call, knobs.garbage) else document)

    def _happens(self, kind: str, call: Call, odds: float | dict[Call, float]) -> bool:
        return self._dice.happens(f"{kind}/{call}", odds.get(call, 0) if isinstance(odds, dict) else odds)

    def _too_often(self, knobs: Knobs) -> bool:
        if knobs.calls_per_s is None:
            return False
        now, rate = self._now(), knobs.calls_per_s * knobs.speed
        self._tokens = min(max(1.0, rate), self._tokens + (now - self._filled) * rate)
        self._filled = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False
