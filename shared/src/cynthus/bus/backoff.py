"""How long a failed message waits before it comes again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential with jitter, in seconds: the first wait is about `first_s`, none is over `most_s`."""

    first_s: float = 0.1
    most_s: float = 60.0

    def delay_s(self, attempt: int) -> float:
        """The wait after failed attempt number `attempt`; between half and all of the exponential value."""
        doubled: float = self.first_s * 2.0 ** min(max(attempt, 1) - 1, 60)
        return min(self.most_s, doubled) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing
