"""What the orchestrator refuses, and why."""

from dataclasses import dataclass


class RunNotFound(Exception):
    """There is no such run of this owner."""


class RunAmbiguous(Exception):
    """Several runs begin like this."""


class RunIsNotOver(Exception):
    """Only a run that is over can be deleted."""


class MachineNotWanted(Exception):
    """This machine has been deleted, or nothing was known of it for long: it should leave."""


class ManifestMissing(Exception):
    """The manifest of outputs or of a checkpoint is not in the object store, or is none."""


@dataclass
class LogGap(Exception):
    """A chunk that does not follow the ones before it."""

    next_seq: int
    next_offset: int

    def __str__(self) -> str:
        """What is expected instead."""
        return f"the next chunk is seq {self.next_seq} at byte {self.next_offset} of its source"


@dataclass
class LogsIncomplete(Exception):
    """The worker has sent more, or less, than what arrived."""

    missing: str

    def __str__(self) -> str:
        """What differs."""
        return self.missing
