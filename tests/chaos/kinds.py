"""What the runs of the harness do."""

from dataclasses import dataclass, replace
from random import Random


@dataclass(frozen=True, slots=True)
class Kind:
    """A program's task, and what its user does meanwhile."""

    do: str
    amount: float = 0.0
    retries: int = 0
    timeout_s: float | None = None
    cancel_after_s: float | None = None
    twice: bool = False
    """Submitted twice at once with one key."""


def draw(random: Random) -> Kind:
    """One of the mix."""
    kind = random.choices(
        [
            Kind("quick"),
            Kind("sleep", random.uniform(2, 20)),
            Kind("print", random.randint(200, 3000)),
            Kind("write", random.randint(1, 12)),
            Kind("fail", retries=random.choice([0, 0, 1])),
            Kind("die", random.uniform(0, 2)),
            Kind("stubborn", random.uniform(2, 8), cancel_after_s=random.uniform(1, 8)),
            Kind("stubborn", 60, timeout_s=4),
            Kind("count", random.uniform(3, 10)),
            Kind("gil", random.uniform(1, 3)),
            Kind("hoard", 64),
        ],
        weights=[6, 9, 3, 3, 2, 1, 1, 0.5, 3, 0.5, 0.5],
    )[0]
    if random.random() < 0.12:
        kind = replace(kind, cancel_after_s=random.uniform(0, 10))
    return replace(kind, twice=random.random() < 0.15)
