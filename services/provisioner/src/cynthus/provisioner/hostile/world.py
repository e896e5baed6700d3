"""What exists at the provider: a function of its ledger, so that a restart forgets nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from cynthus.provisioner.hostile.ledger import Line


class Place(NamedTuple):
    """A name is unique in its zone."""

    zone: str
    name: str


class Status(StrEnum):
    """A machine's, in the words of Compute Engine; GONE is never shown."""

    ASKED = "ASKED"
    PROVISIONING = "PROVISIONING"
    STAGING = "STAGING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    TERMINATED = "TERMINATED"
    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a machine, decided when its creation is accepted. In seconds of the wall clock."""

    pending_s: float = 0
    create_s: float = 0
    refusal: str | None = None
    boots: tuple[float, ...] = (0.0,)
    """Seconds from RUNNING to the start of each worker."""
    vanish_s: float | None = None
    """From RUNNING; so is the next."""
    preempt_s: float | None = None
    notice_s: float = 0
    delete_s: float = 0

    @classmethod
    def read(cls, document: dict[str, Any]) -> "Fate":
        """As it stands in the ledger."""
        return cls(**{**document, "boots": tuple(document["boots"])})


@dataclass(slots=True)
class Instance:
    """A machine. Times are seconds of the wall clock; None: not yet."""

    place: Place
    asked: float
    fate: Fate
    labels: dict[str, str] = field(default_factory=dict)
    created: float | None = None
    running: float | None = None
    pids: list[int] = field(default_factory=list)
    """Its workers, one for each boot."""
    deleting: float | None = None
    noticed: float | None = None
    notice_s: float = 0
    terminated: float | None = None
    gone: float | None = None
    how: str = ""

    def status(self, moment: float) -> Status:
        """What it was then."""
        stopping = min(self.deleting or moment + 1, self.noticed or moment + 1)
        if self.gone is not None and moment >= self.gone:
            return Status.GONE
        if self.terminated is not None and moment >= self.terminated:
            return Status.TERMINATED
        if moment >= stopping:
            return Status.STOPPING
        if self.running is not None and moment >= self.running:
            return Status.RUNNING
        if self.created is None or moment < self.created:
            return Status.ASKED
        half = None if self.running is None else (self.created + self.running) / 2
        return Status.STAGING if half is None or moment >= half else Status.PROVISIONING


@dataclass(slots=True)
class Operation:
    """A call that was accepted and goes on."""

    id: str
    kind: str
    place: Place
    asked: float
    done: float | None = None
    error: str | None = None


class World:
    """Machines and operations."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.instances: dict[Place, Instance] = {}
        self.past: list[Instance] = []
        """Machines that are gone; a listing may still show them."""
        self.operations: dict[str, Operation] = {}
        self.requests: dict[str, str] = {}
        """Which operation answered which request id."""
        self._open: dict[Place, list[Operation]] = {}
        for line in lines:
            self.apply(line)

    def apply(self, line: Line) -> None:
        """One line of the ledger."""
        if line["what"] in {"create_asked", "delete_asked"}:
            self._asked(line)
        elif line["what"] == "refused" and "operation" in line:
            self._failed(line)
        elif "machine" in line and "zone" in line:
            instance = self.instances.get(Place(line["zone"], line["machine"]))
            if instance is not None:
                self._lived(instance, line)

    def _asked(self, line: Line) -> None:
        place, moment = Place(line["zone"], line["machine"]), line["t"]
        if line["what"] == "create_asked":
            instance = Instance(place, moment, Fate.read(line["fate"]), line["labels"])
            self.instances[place] = instance
            self._accept(line, "insert", place)
            return
        instance = self.instances[place]
        instance.deleting = instance.deleting or moment
        if "operation" in line:
            self._accept(line, "delete", place)

    def _accept(self, line: Line, kind: str, place: Place) -> None:
        operation = Operation(line["operation"], kind, place, line["t"])
        self.operations[operation.id] = operation
        self._open.setdefault(place, []).append(operation)
        if "request_id" in line:
            self.requests[line["request_id"]] = operation.id

    def _failed(self, line: Line) -> None:
        failed = self.operations[line["operation"]]
        failed.error = line["reason"]
        for operation in self._open.pop(failed.place):
            operation.done = line["t"]
        del self.instances[failed.place]

    def _lived(self, instance: Instance, line: Line) -> None:
        moment = line["t"]
        match line["what"]:
            case "created":
                instance.created = moment
            case "running" if "pid" in line:
                instance.pids.append(line["pid"])
            case "running":
                instance.running = moment
                self._end(instance, moment, "insert")
            case "preempt_notice":
                instance.noticed, instance.notice_s = moment, line["notice_s"]
            case "preempted":
                instance.terminated, instance.how = moment, "preempted"
            case "vanished" | "deleted":
                instance.gone, instance.how = moment, instance.how or line["what"]
                self._end(instance, moment, "insert", "delete")
                del self.instances[instance.place]
                self.past.append(instance)
            case _:
                return

    def going_on(self, place: Place, kind: str) -> Operation | None:
        """The first operation of this kind that is not done."""
        return next((known for known in self._open.get(place, ()) if known.kind == kind), None)

    def _end(self, instance: Instance, moment: float, *kinds: str) -> None:
        left: list[Operation] = []
        for operation in self._open.pop(instance.place, ()):
            if operation.kind in kinds:
                operation.done = moment
            else:
                left.append(operation)
        if left:
            self._open[instance.place] = left
