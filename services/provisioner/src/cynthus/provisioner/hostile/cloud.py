"""The provider's calls: they are accepted or refused at once, and carried out later."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from cynthus.provisioner.hostile import fates
from cynthus.provisioner.hostile.chance import Dice
from cynthus.provisioner.hostile.configuration import Configuration
from cynthus.provisioner.hostile.ledger import Ledger
from cynthus.provisioner.hostile.refusals import OPERATION_MESSAGES, Refusal, invalid, missing
from cynthus.provisioner.hostile.world import Instance, Operation, Place, Status, World

_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an insert asks for. `metadata` is what the machine's worker is told; it may be secret."""

    place: Place
    request_id: str | None
    labels: dict[str, str]
    metadata: dict[str, str]


class Cloud:
    """Insert, delete, list, poll."""

    def __init__(
        self, folder: Path, configuration: Configuration, ledger: Ledger, dice: Dice, now: Callable[[], float]
    ) -> None:
        self._told = folder / "told"
        self._told.mkdir(mode=0o700, exist_ok=True)
        self._configuration = configuration
        self._ledger = ledger
        self._dice = dice
        self._now = now
        self.world = World(ledger.lines())
        self._numbers: Iterator[int] = count(len(self.world.operations) + 1)

    def say(self, what: str, place: Place | None = None, **facts: Any) -> None:
        """Write it down, then let it be so."""
        where = {} if place is None else {"machine": place.name, "zone": place.zone}
        self.world.apply(self._ledger.append(what, **where, **facts))

    def told(self, place: Place) -> dict[str, str]:
        """What a machine's worker is told."""
        document: dict[str, str] = json.loads(self._told_file(place).read_text())
        return document

    def forget(self, place: Place) -> None:
        """The machine is gone, and what it was told with it."""
        self._told_file(place).unlink(missing_ok=True)

    def insert(self, wanted: Wanted) -> dict[str, Any]:
        """An operation. The same request id is answered as before. Raises Refusal."""
        place, knobs = wanted.place, self._configuration.knobs
        self._check(place)
        replayed = self.world.requests.get(wanted.request_id or "")
        if replayed is not None:
            return self._replay(replayed, place, "insert")
        if self._dice.happens("forbidden", knobs.forbidden):
            raise Refusal(403, "forbidden", "Required 'compute.instances.create' permission")
        if self._dice.happens("bad_image", knobs.bad_image):
            raise invalid("Invalid value for field 'sourceImage': the image was not found")
        if place in self.world.instances:
            raise Refusal(409, "alreadyExists", f"The resource '{place.name}' already exists")
        reached = len(self.world.instances) >= knobs.quota
        late = self._dice.happens("quota_late", knobs.quota_late)
        if reached and not late:
            raise Refusal(403, "quotaExceeded", OPERATION_MESSAGES["QUOTA_EXCEEDED"])
        fate = fates.draw(knobs, self._dice, place.zone, quota_reached=reached)
        self._tell(place, wanted.metadata)
        operation = self._number()
        self.say(
            "create_asked",
            place,
            request_id=wanted.request_id,
            operation=operation,
            labels=wanted.labels,
            fate=asdict(fate),
        )
        return self.operation(operation)

    def delete(self, place: Place, request_id: str | None) -> dict[str, Any]:
        """An operation; one that goes on already may be answered again. Raises Refusal."""
        self._check(place)
        replayed = self.world.requests.get(request_id or "")
        if replayed is not None:
            return self._replay(replayed, place, "delete")
        instance = self.world.instances.get(place)
        if instance is None:
            raise missing(place.name)
        if instance.running is None and not self._configuration.knobs.delete_while_creating:
            raise Refusal(409, "resourceNotReady", f"The resource '{place.name}' is not ready")
        going_on = self.world.going_on(place, "delete")
        if going_on is not None:
            return self.operation(going_on.id)
        operation = self._number()
        self.say("delete_asked", place, request_id=request_id, operation=operation)
        return self.operation(operation)

    def listing(self, zone: str, label: str | None, after: str, limit: int | None) -> dict[str, Any]:
        """Machines of a zone, in pages, behind the truth by the listing's lag. Raises Refusal."""
        knobs = self._configuration.knobs
        if zone not in knobs.zones:
            raise missing(zone)
        fresh = self._dice.happens("list_fresh", knobs.list_fresh)
        share = 0 if fresh else 1 / knobs.speed
        rows = sorted(self._seen(zone, knobs.list_new_s * share, knobs.list_gone_s * share))
        if label is not None:
            name, _, value = label.partition("=")
            rows = [row for row in rows if row[1].labels.get(name) == value]
        rows = [row for row in rows if row[0] > after]
        size = min(knobs.page_size, limit or knobs.page_size)
        page = rows[:size]
        self.say("listed", zone=zone, names=[name for name, _, _ in page])
        answer: dict[str, Any] = {
            "items": [_shown(instance, status) for _, instance, status in page],
            "lag_s": knobs.lag_s,
            "zones": knobs.zones,
        }
        return {**answer, "nextPageToken": page[-1][0]} if len(rows) > size else answer

    def instance(self, place: Place) -> dict[str, Any]:
        """One machine, as it is now. Raises Refusal."""
        self._check(place)
        instance = self.world.instances.get(place)
        if instance is None or instance.created is None:
            raise missing(place.name)
        return _shown(instance, instance.status(self._now()))

    def operation(self, name: str) -> dict[str, Any]:
        """As it stands. Raises Refusal."""
        known = self.world.operations.get(name)
        if known is None:
            raise missing(name)
        answer: dict[str, Any] = {
            "name": known.id,
            "operationType": known.kind,
            "zone": known.place.zone,
            "target": known.place.name,
            "status": self._standing(known),
        }
        if known.error is not None:
            told = {"code": known.error, "message": OPERATION_MESSAGES.get(known.error, known.error)}
            answer["error"] = {"errors": [told]}
        return answer

    def _seen(self, zone: str, new_s: float, gone_s: float) -> Iterator[tuple[str, Instance, Status]]:
        """A machine that is gone is shown as it was before; never together with a new one of its name."""
        now = self._now()
        shown: set[str] = set()
        past = takewhile(lambda old: (old.gone or now) > now - gone_s, reversed(self.world.past))
        for instance in (*self.world.instances.values(), *past):
            created, name = instance.created, instance.place.name
            if instance.place.zone != zone or created is None or name in shown:
                continue
            status = instance.status(max(created, now - gone_s))
            if now >= created + new_s and status is not Status.GONE:
                shown.add(name)
                yield name, instance, status

    def _standing(self, operation: Operation) -> str:
        if operation.done is not None:
            return "DONE"
        instance = self.world.instances.get(operation.place)
        began = operation.kind == "delete" or (instance is not None and instance.created is not None)
        return "RUNNING" if began else "PENDING"

    def _replay(self, operation: str, place: Place, kind: str) -> dict[str, Any]:
        known = self.world.operations[operation]
        if known.place != place or known.kind != kind:
            raise invalid("The request id was used for another request")
        return self.operation(operation)

    def _check(self, place: Place) -> None:
        if place.zone not in self._configuration.knobs.zones:
            raise missing(place.zone)
        if not _NAME.fullmatch(place.name):
            raise invalid(f"Invalid value for field 'name': '{place.name}'")

    def _tell(self, place: Place, metadata: dict[str, str]) -> None:
        file = self._told_file(place)
        file.touch(mode=0o600)
        file.write_text(json.dumps(metadata))

    def _told_file(self, place: Place) -> Path:
        return self._told / f"{place.zone}.{place.name}.json"

    def _number(self) -> str:
        return f"operation-{next(self._numbers)}"


def _shown(instance: Instance, status: Status) -> dict[str, Any]:
    return {
        "name": instance.place.name,
        "zone": instance.place.zone,
        "status": status.value,
        "labels": instance.labels,
        "createdAt": instance.created,
    }
