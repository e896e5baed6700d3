"""The evidence folder: JSON lines written by observers outside the product, read as streams."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from tests.verify.facts import Fact, Stream, fact_of, gather
from tests.verify.faults import Faults
from tests.verify.lines import EvidenceMissing, Json, Line, accepted, document, read, seconds

FILES = ("client", "provider", "bus", "side", "worker", "blobs", "processes", "faults")
TABLES = ("gateway.events", "orchestrator.events", "provisioner.events", "orchestrator.log_chunks")
SETTINGS = ("lease_s", "machine_grace_s", "healed_at", "ended_at")
KEPT = ("id", "state", "version", "outputs", "manifest", "chunks", "cursor", "over")
"""What of an answer tells about the run."""
UNBELIEVABLE_S = 1800.0
"""Between facts that follow each other, or a fact and its message; a clock that jumped makes larger gaps."""
AHEAD_S = 1.0
"""Beyond this a fact was dated after it was seen."""
MAY_BE_EMPTY = ("processes",)
"""Nothing left on the host is what we hope for; the file itself must be there."""


class Evidence:
    """A folder of evidence. Raises EvidenceMissing when a file or a setting is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing = [*self._missing_files(), *self._missing_settings()]
        if self.missing:
            raise EvidenceMissing("; ".join(self.missing))

    def _missing_files(self) -> Iterator[str]:
        names = [f"{name}.jsonl" for name in FILES] + [f"sql/{name}.jsonl" for name in TABLES]
        for name in names:
            path = self.folder / name
            if not path.is_file():
                yield f"{name} is missing"
            elif path.stat().st_size == 0 and path.stem not in MAY_BE_EMPTY and not name.startswith("sql"):
                yield f"{name} is empty"
        if not list((self.folder / "rebuilt").glob("*.jsonl")):
            yield "rebuilt/ has no tables"

    def _missing_settings(self) -> Iterator[str]:
        if not (self.folder / "settings.json").is_file():
            yield "settings.json is missing"
            return
        for name in SETTINGS:
            if not isinstance(self.settings.get(name), int | float):
                yield f"settings.json has no {name}"

    @cached_property
    def settings(self) -> Json:
        found: Json = json.loads((self.folder / "settings.json").read_text(encoding="utf-8"))
        return found

    def number(self, name: str, default: float = 0.0) -> float:
        """A setting that is a number."""
        found = self.settings.get(name)
        return default if found is None else float(found)

    @property
    def ended_at(self) -> float:
        return self.number("ended_at")

    def lines(self, name: str) -> Iterator[Line]:
        """The lines of `<name>.jsonl`."""
        return read(self.folder / f"{name}.jsonl", f"{name}.jsonl")

    def rows(self, table: str) -> Iterator[Line]:
        """The rows of a table such as `orchestrator.events`; none where it was not dumped."""
        path = self.folder / "sql" / f"{table}.jsonl"
        return read(path, f"sql/{path.name}") if path.is_file() else iter(())

    def rebuilt(self) -> list[str]:
        """The tables that were made anew from history."""
        return sorted(path.stem for path in (self.folder / "rebuilt").glob("*.jsonl"))

    def rebuilt_rows(self, table: str) -> Iterator[Line]:
        return read(self.folder / "rebuilt" / f"{table}.jsonl", f"rebuilt/{table}.jsonl")

    def schemas(self) -> list[str]:
        """The services whose history was dumped."""
        return sorted(path.name.split(".")[0] for path in (self.folder / "sql").glob("*.events.jsonl"))

    @cached_property
    def faults(self) -> Faults:
        return Faults([(line.where, line.fields) for line in self.lines("faults")])

    def facts(self, schema: str) -> list[Fact]:
        """The rows of a service's events table; what grew from poison of the harness is no one's fact."""
        if schema not in self._facts:
            found = [
                fact_of(line.where, line.fields, seconds(line["at"]), document(line["data"]))
                for line in self.rows(f"{schema}.events")
            ]
            found = [fact for fact in found if "poison" not in fact.stream]
            self._facts[schema] = self._timed(found) if self.faults.of("clock") else found
        return self._facts[schema]

    def _timed(self, facts: list[Fact]) -> list[Fact]:
        """A clock that jumped is not believed: then the fact is as late as the bus shows it."""
        facts = sorted(facts, key=lambda fact: (fact.stream, fact.version))
        before: dict[str, float] = {}
        for index, fact in enumerate(facts):
            seen, last = self.seen_on_bus.get(fact.id), before.get(fact.stream)
            ahead = seen is not None and fact.at > seen + AHEAD_S
            known = [moment for moment in (seen, last) if moment is not None]
            if ahead or any(abs(fact.at - moment) > UNBELIEVABLE_S for moment in known):
                facts[index] = replace(fact, at=known[0], exact=False)
            before[fact.stream] = facts[index].at
        return facts

    @cached_property
    def _facts(self) -> dict[str, list[Fact]]:
        return {}

    def streams(self, schema: str) -> dict[str, Stream]:
        """A service's history by run, each in version order."""
        if schema not in self._streams:
            self._streams[schema] = gather(self.facts(schema))
        return self._streams[schema]

    @cached_property
    def _streams(self) -> dict[str, dict[str, Stream]]:
        return {}

    @property
    def runs(self) -> dict[str, Stream]:
        """What the orchestrator recorded of each run."""
        return self.streams("orchestrator")

    @cached_property
    def side(self) -> dict[str, list[Line]]:
        """What users' programs said of themselves, by run."""
        return self._by_run("side")

    @cached_property
    def client(self) -> dict[str, list[Line]]:
        """Requests that name or brought a run, or were to bring it, by run, in the order they were sent."""
        lines = [_slim(line) for line in self.lines("client")]
        by_key = {line["key"]: run for line in lines if line.get("key") and (run := _brought(line))}
        found: dict[str, list[Line]] = {}
        for line in lines:
            run = line.get("run") or _brought(line)
            if run is None and line["op"] == "create":
                run = by_key.get(line.get("key"))
            if run is not None:
                found.setdefault(str(run), []).append(line)
        return {run: sorted(lines, key=lambda line: float(line["t0"])) for run, lines in found.items()}

    @cached_property
    def seen_on_bus(self) -> dict[str, float]:
        """When each event was first seen on the bus, by its id: it was committed by then."""
        found: dict[str, float] = {}
        for line in self.lines("bus"):
            event_id = str(line["id"])
            found[event_id] = min(float(line["t"]), found.get(event_id, float("inf")))
        return found

    @cached_property
    def blobs(self) -> dict[str, Line]:
        """The object store's listing at the end, by key."""
        return {str(line["key"]): line for line in self.lines("blobs")}

    def _by_run(self, name: str) -> dict[str, list[Line]]:
        found: dict[str, list[Line]] = {}
        for line in self.lines(name):
            found.setdefault(str(line["run"]), []).append(line)
        return {run: sorted(lines, key=lambda line: float(line["t"])) for run, lines in found.items()}

    def committed_by(self, fact: Fact, tolerance_s: float) -> float:
        """A moment by which the fact was committed for certain; its own time counts if clocks are right."""
        seen = self.seen_on_bus.get(fact.id, float("inf"))
        if not fact.exact:
            return seen
        return min(seen, fact.at + tolerance_s)


def _brought(line: Line) -> str | None:
    """The run that a creation was answered with."""
    answer = line.get("answer")
    made = line["op"] == "create" and accepted(line) and isinstance(answer, dict)
    return answer.get("id") if made and isinstance(answer, dict) else None


def _slim(line: Line) -> Line:
    """Without what no check of a run asks for: all answers of a soak are held in memory."""
    answer = line.get("answer")
    kept = {name: answer[name] for name in KEPT if name in answer} if isinstance(answer, dict) else None
    sent = line.get("sent") if line["op"] != "create" else None
    return Line(line.where, {**line.fields, "answer": kept, "sent": sent})
