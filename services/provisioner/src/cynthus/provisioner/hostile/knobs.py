"""How hostile the provider is: every behaviour has a knob, and knobs can follow a schedule."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Call = Literal["insert", "delete", "list", "poll"]
Chance = Annotated[float, Field(ge=0, le=1)]
Odds = Chance | dict[Call, Chance]
"""A probability for every call, or one for each named call."""
Seconds = Annotated[float, Field(ge=0)]
Span = tuple[Seconds, Seconds]
"""Drawn evenly between the two."""

_STRICT = ConfigDict(frozen=True, extra="forbid")


class Window(BaseModel):
    """Knobs that are set between two moments, counted from the provider's first start, or again and again."""

    model_config = _STRICT

    from_s: Seconds = 0
    to_s: Seconds
    every_s: Annotated[float, Field(gt=0)] | None = None
    set: dict[str, Any]

    def covers(self, elapsed_s: float) -> bool:
        """Whether it applies now."""
        moment = elapsed_s % self.every_s if self.every_s else elapsed_s
        return self.from_s <= moment < self.to_s


class Knobs(BaseModel):
    """The defaults are harmless: every call answers at once, every machine boots and stays."""

    model_config = _STRICT

    throttled: Odds = 0.0
    """429 with `Retry-After`; nothing was done."""
    retry_after_s: Seconds = 1
    calls_per_s: Annotated[float, Field(gt=0)] | None = None
    """More calls than this are answered 429."""
    unavailable: Odds = 0.0
    """503; nothing was done."""
    broken: Odds = 0.0
    """500, 502 or 504; nothing was done."""
    lost_before: Odds = 0.0
    """The connection is cut; nothing was done."""
    lost_after: Odds = 0.0
    """It was done, and the answer never comes: cut at once, cut after `hang_s`, or 504."""
    hang_s: Seconds = 30
    garbage: Odds = 0.0
    """It was done, and the answer is not what it should be."""
    slow_s: Seconds = 0
    """Each call takes up to this long."""
    zones_away: tuple[str, ...] = ()
    """Zones of which every call is answered 503."""

    forbidden: Chance = 0.0
    bad_image: Chance = 0.0
    quota: Annotated[int, Field(ge=0)] = 1000
    """Machines there may be, in all zones together."""
    quota_late: Chance = 0.0
    """How often a reached quota is told by the operation, after the call was accepted."""
    stock_out: Chance | dict[str, Chance] = 0.0
    """How often a zone turns out to have no machine, after the call was accepted."""
    stock_out_details: Chance = 0.5
    """How often that is told as `ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS`."""
    delete_while_creating: bool = True
    """False: deleting a machine whose creation is not done is refused with 409."""

    list_new_s: Seconds = 0
    """For how long a listing does not show a new machine."""
    list_gone_s: Seconds = 0
    """For how long a listing shows a machine that is gone, as it was before."""
    list_fresh: Chance = 0.0
    """How often a listing is up to date all the same."""
    page_size: Annotated[int, Field(ge=1)] = 500

    pending_s: Span = (0, 0)
    """From the call to the machine's existence, or to the operation's error."""
    create_s: Span = (0, 0)
    """From there to RUNNING, when the operation is done."""
    delete_s: Span = (0, 0)
    """A deletion takes at least this long."""
    boots_never: Chance = 0.0
    boots_late: Chance = 0.0
    late_s: Span = (15, 900)
    boots_twice: Chance = 0.0
    vanishes: Chance = 0.0
    vanish_after_s: Span = (5, 120)
    preempted: Chance = 0.0
    preempt_after_s: Span = (5, 120)
    notices_s: tuple[Seconds, ...] = (0, 30, 120)
    """How long before its end a machine is told of it; one of these is drawn."""
    sigterm_before_s: Seconds = 30
    """The signal comes this long before the end; the notice may come earlier."""
    kill_after_s: Seconds = 5
    """SIGKILL follows SIGTERM after this when a machine is deleted."""
    terminated_s: Seconds = 2
    """How long a preempted machine stays listed as TERMINATED."""
    max_age_s: Annotated[float, Field(gt=0)] | None = None
    """Machines older than this delete themselves."""
    stays_without_worker: bool = True
    """A machine whose worker ended stays, and costs; False: it stops and disappears."""

    zones: Annotated[tuple[str, ...], Field(min_length=1)] = ("zone-a", "zone-b", "zone-c")
    speed: Annotated[float, Field(gt=0)] = 1
    """All durations above are divided by it."""
    home: Literal["own", "shared"] = "own"
    """Whether each worker has a folder of its own, or all share one with its caches."""
    command: tuple[str, ...] = ()
    """What a machine runs instead of the worker; `{name}` and `{home}` are replaced."""
    environment: dict[str, str] = {}
    """Added to the environment of workers."""
    schedule: tuple[Window, ...] = ()

    def changed(self, changes: dict[str, Any]) -> "Knobs":
        """With these set. Raises ValueError for one that does not exist or cannot have that value."""
        for window in changes.get("schedule", ()):
            Knobs.model_validate({**self.model_dump(), **Window.model_validate(window).set})
        return Knobs.model_validate({**self.model_dump(), **changes})

    def at(self, elapsed_s: float) -> "Knobs":
        """What applies so long after the first start."""
        knobs = self
        for window in self.schedule:
            if window.covers(elapsed_s):
                knobs = Knobs.model_validate({**knobs.model_dump(), **window.set})
        return knobs

    def healed(self) -> "Knobs":
        """Harmless; what the machines are stays."""
        kept = ("zones", "speed", "home", "command", "environment", "page_size", "stays_without_worker")
        return Knobs(**{name: getattr(self, name) for name in kept})

    @property
    def lag_s(self) -> float:
        """How far a listing may be behind the truth."""
        return max(self.list_new_s, self.list_gone_s) / self.speed


_HOSTILE: dict[str, Any] = {
    "throttled": 0.05,
    "unavailable": 0.05,
    "broken": 0.05,
    "lost_before": 0.03,
    "lost_after": {"insert": 0.1, "delete": 0.1},
    "hang_s": 20,
    "garbage": 0.01,
    "slow_s": 0.2,
    "quota_late": 0.5,
    "stock_out": 0.1,
    "delete_while_creating": False,
    "list_new_s": 3,
    "list_gone_s": 5,
    "list_fresh": 0.3,
    "page_size": 3,
    "pending_s": (0, 0.5),
    "create_s": (0.2, 2),
    "delete_s": (0.1, 1),
    "boots_never": 0.02,
    "boots_late": 0.05,
    "late_s": (15, 60),
    "boots_twice": 0.05,
    "vanishes": 0.03,
    "preempted": 0.05,
}
_STORM: dict[str, Any] = {
    **_HOSTILE,
    "throttled": 0.1,
    "unavailable": 0.1,
    "broken": 0.1,
    "lost_before": 0.05,
    "lost_after": {"insert": 0.3, "delete": 0.3},
    "garbage": 0.03,
    "quota": 12,
    "stock_out": 0.3,
    "list_new_s": 5,
    "list_gone_s": 60,
    "boots_never": 0.08,
    "boots_late": 0.1,
    "late_s": (60, 900),
    "boots_twice": 0.1,
    "vanishes": 0.15,
    "preempted": 0.15,
    "schedule": [{"from_s": 20, "to_s": 28, "every_s": 60, "set": {"unavailable": 0.9}}],
}
PRESETS: dict[str, Knobs] = {
    "calm": Knobs(),
    "hostile": Knobs.model_validate(_HOSTILE),
    "storm": Knobs.model_validate(_STORM),
}


def configured(document: dict[str, Any], before: Knobs) -> Knobs:
    """A configuration: a preset, if one is named, else what was before; with the other members set."""
    changes = {name: value for name, value in document.items() if name != "preset"}
    if "preset" not in document:
        return before.changed(changes)
    if document["preset"] not in PRESETS:
        raise ValueError(f"preset: one of {', '.join(PRESETS)}")
    return PRESETS[document["preset"]].changed(changes)
