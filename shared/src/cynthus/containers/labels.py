"""How containers of this platform are told from others, and from each other."""

import hashlib

MACHINE = "dev.cynthus.machine"
HOME = "dev.cynthus.home"
RUN = "dev.cynthus.run"
EPOCH = "dev.cynthus.epoch"


def labels(machine: str, home: str, run_id: str, epoch: int) -> dict[str, str]:
    """Of one attempt's container."""
    return {MACHINE: machine, HOME: home, RUN: run_id, EPOCH: str(epoch)}


def name_of(home: str, run_id: str, epoch: int) -> str:
    """A container's name: the same attempt of one home never has two."""
    place = hashlib.sha256(home.encode()).hexdigest()[:8]
    return f"cynthus-{run_id}-{epoch}-{place}"
