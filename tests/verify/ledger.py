"""The provider's own truth: which machines there were, from when to when."""

from dataclasses import dataclass

from tests.verify.evidence import Evidence

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
    """Every machine there ever was; a name used again is another life.

    A ledger that only looks at what is there knows of no creation, only that it is `running`.
    """
    found: list[Life] = []
    open_: dict[tuple[str, str], Life] = {}
    lines = [line for line in evidence.lines("provider") if line.get("machine")]
    born = {"created"} & {line["what"] for line in lines} or {"running"}
    for line in sorted(lines, key=lambda line: float(line["t"])):
        key = (str(line.get("zone") or ""), str(line["machine"]))
        if line["what"] in born:
            open_[key] = Life(key[1], key[0], float(line["t"]), line.where)
            found.append(open_[key])
        elif line["what"] in DEAD and key in open_:
            life = open_.pop(key)
            life.dead, life.dead_at, life.end = float(line["t"]), line.where, str(line["what"])
    return found
