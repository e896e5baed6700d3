"""Changes to a correct history that leave all else as it should be."""

from typing import Any

from tests.verify.synthetic_world import EPOCH_S, Row, World

ORCHESTRATOR = "sql/orchestrator.events"


def run_id(number: int) -> str:
    return f"run_{number:026d}"


def fact(world: World, run: str, kind: str, schema: str = "orchestrator", **data: Any) -> Row:
    """The last fact of this kind."""
    rows = world.rows(f"sql/{schema}.events", stream=f"run-{run}", kind=kind)
    return [row for row in rows if all(row["data"].get(key) == value for key, value in data.items())][-1]


def requests(world: World, run: str | None, op: str) -> list[Row]:
    return world.rows("client", run=run, op=op)


def ask(world: World, run: str, op: str, t: float, status: int | None, answer: Any = None) -> Row:
    """A request that takes 20 ms, `t` in seconds since the story began."""
    t += EPOCH_S
    row = {"t0": t, "t1": t + 0.02, "op": op, "run": run, "key": None, "sent": None}
    return world.add("client", **row, status=status, answer=answer)


def forget(world: World, name: str, row: Row) -> None:
    """One row less."""
    world.files[name] = [one for one in world.files[name] if one is not row]


def forget_fact(world: World, schema: str, row: Row) -> None:
    """A fact, with what the bus carried of it."""
    forget(world, f"sql/{schema}.events", row)
    if row["decided"]:
        world.files["bus"] = [one for one in world.files["bus"] if one["id"] != row["id"]]
    renumber(world, schema, row["stream"])


def insert(world: World, row: Row, after: Row, schema: str = "orchestrator") -> Row:
    """Move a fact that was recorded last to right after another one."""
    name = f"sql/{schema}.events"
    forget(world, name, row)
    rows = world.files[name]
    rows.insert(next(i for i, one in enumerate(rows) if one is after) + 1, row)
    row |= {"t": after["t"], "at": after["at"]}
    for message in world.rows("bus", id=row["id"]):
        message["t"] = after["at"] + 0.02
    renumber(world, schema, row["stream"])
    return row


def own(world: World, run: str, kind: str, after: Row, **data: Any) -> Row:
    """The orchestrator decides one more thing."""
    return insert(world, world.decide("orchestrator", run, kind, after["t"], **data), after)


def other(world: World, schema: str, run: str, kind: str, after: Row, **data: Any) -> Row:
    """Another service decides one more thing, and the orchestrator takes it over."""
    decided = world.decide(schema, run, kind, after["t"], **data)
    return insert(world, world.take("orchestrator", decided), after)


def renumber(world: World, schema: str, stream: str) -> None:
    """Versions follow the order of the rows; the bus and readers of events know them."""
    rows = world.rows(f"sql/{schema}.events", stream=stream)
    for version, row in enumerate(rows, start=1):
        row["version"] = version
        for message in world.rows("bus", id=row["id"]) if row["decided"] else []:
            message["sequence"] = f"{version:010d}"
    if schema == "orchestrator":
        _reread(world, stream.removeprefix("run-"), rows)


def _reread(world: World, run: str, rows: list[Row]) -> None:
    events = [{"version": row["version"], "id": row["id"]} for row in rows]
    first, second = requests(world, run, "events")
    half = len(events) // 2
    first["answer"]["events"], second["answer"]["events"] = events[:half], events[half:]
    second["sent"] = {"after": half}


def unseen(world: World, run: str, *states: str) -> None:
    """No client saw the run in these states."""
    world.files["client"] = [
        row
        for row in world.files["client"]
        if not (row["run"] == run and row["op"] == "get" and row["answer"]["state"] in states)
    ]


def postpone(world: World, row: Row, seconds: float) -> None:
    """A fact comes later; nothing else does."""
    row["t"] += seconds
    row["at"] += seconds
    for message in world.rows("bus", id=row["id"]):
        message["t"] += seconds


def stretch(world: World, run: str, since: float, seconds: float) -> None:
    """Everything about a run after a moment comes later, and the evidence ends later."""
    machines = {
        row["data"]["machine"] for row in world.rows(ORCHESTRATOR, stream=f"run-{run}", kind="vm.ready")
    }
    for name, rows in world.files.items():
        for row in rows:
            if _about(row, run, machines):
                for key in ("t", "t0", "t1", "at", "handled_at"):
                    late = since if name.startswith("sql/") and key == "t" else since + EPOCH_S
                    if isinstance(row.get(key), float) and row[key] > late:
                        row[key] += seconds
    for name in ("healed_at", "ended_at"):
        world.settings[name] += seconds + 100.0


def _about(row: Row, run: str, machines: set[str]) -> bool:
    named = {row.get("run"), row.get("run_id"), row.get("subject"), row.get("stream"), row.get("machine")}
    return bool(named & ({run, f"runs/{run}", f"run-{run}"} | machines))
