"""The times a subscription lives by."""

from dataclasses import dataclass, field

from cynthus.bus.backoff import Backoff


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds.

    A message is ours for `lease_s` unless renewed; we look every `poll_s` also when nothing wakes us;
    closing waits `grace_s` for handlers at work; after an error of the broker we pause `pause_s`.
    """

    lease_s: float = 10.0
    poll_s: float = 1.0
    grace_s: float = 10.0
    pause_s: float = 0.5
    backoff: Backoff = field(default_factory=Backoff)
