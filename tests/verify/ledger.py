"""The provider's own truth: which machines there were, from when to when."""

from dataclasses import dataclass

from tests.verify.evidence import Evidence

BORN = frozenset({"created"})
SEEN = frozenset({"created", "running"})
"""`running` follows later, and more than once for a machine that boots twice; a ledger that only looks at
what is there knows nothing else."""
DEAD = frozenset({"deleted", "preempted", "vanished"})
CALLS = frozenset({"create_asked", "delete_asked"})


@dataclass(slots=True)
class Life:
    """One machine, from its creation to its end (None: it is there when the evidence ends)."""

    machine: str
    zone: str
    born: float
    born_at: str
    dead: float | None = None
    dead_at: str = ""
    end: str = ""

    def alive(self, t: float) -> bool:
        return self.born <= t and (self.dead is None or t < self.dead)


def lives(evidence: Evidence) -> list[Life]:
    """Every machine there ever was; a name used again is another life."""
    found: list[Life] = []
    open_: dict[tuple[str, str], Life] = {}
    for line in sorted(evidence.lines("provider"), key=lambda line: float(line["t"])):
        if not line.get("machine"):
            continue
        key = (str(line.get("zone") or ""), str(line["machine"]))
        if line["what"] in BORN or (line["what"] in SEEN and key not in open_):
            open_[key] = Life(key[1], key[0], float(line["t"]), line.where)
            found.append(open_[key])
        elif line["what"] in DEAD and key in open_:
            life = open_.pop(key)
            life.dead, life.dead_at, life.end = float(line["t"]), line.where, str(line["what"])
    return found
