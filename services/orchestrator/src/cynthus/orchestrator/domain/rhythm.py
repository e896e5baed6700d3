"""How often workers beat, how long their leases are, and when silence is worth a question."""

from dataclasses import dataclass

UNHEARD_LEASES = 2
"""So many leases long a machine may stay silent that has an order to fetch."""
_BEATS_IN_A_LEASE = 6
_BEATS_OF_SILENCE = 4
_SPREAD = 0.2


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a worker: when to beat next, how long it may go on unheard, and whether to stop."""

    next_beat_s: float
    lease_s: float
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds for a small fleet; a large one beats more slowly, so that all together stay below a rate."""

    next_beat_s: float = 1.0
    lease_s: float = 60.0
    beats_per_second: float = 4000.0
    """As many beats as one orchestrator is to take in."""

    def interval_s(self, fleet: int) -> float:
        """Seconds between two beats of one worker among so many."""
        return max(self.next_beat_s, fleet / self.beats_per_second)

    def lease_of(self, fleet: int) -> float:
        """Seconds a lease lasts: several beats may be lost."""
        return max(self.lease_s, _BEATS_IN_A_LEASE * self.interval_s(fleet))

    def suspect_after_s(self, fleet: int) -> float:
        """Seconds of silence after which the provider is asked; never so long that the lease ends first."""
        return min(_BEATS_OF_SILENCE * self.interval_s(fleet), self.lease_of(fleet) / 2)

    def beat(self, stop: str | None, fleet: int = 0, chance: float = 0.5) -> Beat:
        """An answer; with `chance` between 0 and 1 beats are spread, so that a fleet does not beat as one."""
        spread = 1 - _SPREAD / 2 + _SPREAD * chance
        return Beat(round(self.interval_s(fleet) * spread, 3), self.lease_of(fleet), stop)
