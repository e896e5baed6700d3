"""Histories that break I12 to I20: what became of attempts, and what clients were shown of it."""

import base64

from tests.verify import tampering as tamper
from tests.verify.corruptions import CUT_OFF, FAILING, PLAIN, VANISHED, breaks
from tests.verify.synthetic_world import EPOCH_S, World, sha256


@breaks("I12", "a healthy attempt that is given up for no reason")
def _(world: World) -> None:
    tamper.forget(world, "faults", world.rows("faults", kind="partition")[0])


@breaks("I12", "a healthy attempt that is given up for a short fault")
def _(world: World) -> None:
    fault = world.rows("faults", kind="partition")[0]
    fault["t0"] = fault["t1"] - 5.0


@breaks("I12", "a machine that is deleted while it is held")
def _(world: World) -> None:
    machine = tamper.fact(world, PLAIN, "vm.ready")["data"]["machine"]
    for row in world.rows("provider", machine=machine):
        if row["what"] in {"delete_asked", "deleted"}:
            row["t"] = tamper.fact(world, PLAIN, "attempt.started")["at"] + 1.0


@breaks("I13", "a last piece of log that is lost")
def _(world: World) -> None:
    last = world.rows("sql/orchestrator.log_chunks", run_id=PLAIN)[-1]
    tamper.forget(world, "sql/orchestrator.log_chunks", last)
    key = f"owners/local/runs/{PLAIN}/1/logs/{last['seq']:010d}"
    world.files["blobs"] = [row for row in world.files["blobs"] if row["key"] != key]


@breaks("I13", "a log with other bytes")
def _(world: World) -> None:
    key = f"owners/local/runs/{PLAIN}/1/logs/{0:010d}"
    row = world.rows("blobs", key=key)[0]
    data = bytes(reversed(base64.b64decode(row["content"])))
    row |= {"content": base64.b64encode(data).decode(), "sha256": sha256(data)}


@breaks("I13", "a log of a lost attempt that is no prefix")
def _(world: World) -> None:
    key = f"owners/local/runs/{CUT_OFF}/1/logs/{1:010d}"
    row = world.rows("blobs", key=key)[0]
    data = b"x" * row["size"]
    row |= {"content": base64.b64encode(data).decode(), "sha256": sha256(data)}


@breaks("I13", "a gap in a log")
def _(world: World) -> None:
    world.rows("sql/orchestrator.log_chunks", run_id=PLAIN)[1]["start_offset"] += 5


@breaks("I13", "a piece of log without its object")
def _(world: World) -> None:
    key = f"owners/local/runs/{VANISHED}/1/logs/{0:010d}"
    world.files["blobs"] = [row for row in world.files["blobs"] if row["key"] != key]


@breaks("I13", "a log that a client is shown otherwise")
def _(world: World) -> None:
    chunk = {"cursor": "1-0", "source": "stdout", "attempt": 1, "text": "something else\n"}
    end = tamper.fact(world, PLAIN, "run.succeeded")["t"]
    tamper.ask(world, PLAIN, "logs", end + 5.0, 200, {"chunks": [chunk], "cursor": "1-0", "over": True})


@breaks("I14", "a message that is put aside without a reason")
def _(world: World) -> None:
    world.files["sql/orchestrator.parked"][0]["reason"] = " "


@breaks("I14", "a message that is tried for ever")
def _(world: World) -> None:
    world.files["sql/orchestrator.inbox"][0] |= {"attempts": 40, "handled_at": None}


@breaks("I14", "poison that is not put aside")
def _(world: World) -> None:
    world.files["sql/orchestrator.parked"].clear()


@breaks("I18", "a version that goes back")
def _(world: World) -> None:
    tamper.requests(world, PLAIN, "get")[-1]["answer"]["version"] = 2


@breaks("I18", "a list that is older than what was read before")
def _(world: World) -> None:
    end = tamper.fact(world, PLAIN, "run.succeeded")["t"]
    tamper.ask(world, PLAIN, "list", end + 9.0, 200, {"runs": [{"id": PLAIN, "version": 2}]})["run"] = None


@breaks("I18", "an event that is left out")
def _(world: World) -> None:
    del tamper.requests(world, PLAIN, "events")[1]["answer"]["events"][2]


@breaks("I18", "an event that is told twice")
def _(world: World) -> None:
    events = tamper.requests(world, PLAIN, "events")[1]["answer"]["events"]
    events.insert(2, events[1])


@breaks("I19", "a run that waits for its next attempt for ever")
def _(world: World) -> None:
    deleted = tamper.fact(world, FAILING, "vm.deleted", machine=f"cyn-{FAILING[-6:]}-1")
    tamper.stretch(world, FAILING, deleted["t"] + 0.1, 600.0)


@breaks("I20", "a run that is over and then is not")
def _(world: World) -> None:
    last = tamper.requests(world, PLAIN, "get")[-1]
    stale = {**last["answer"], "state": "RUNNING", "outputs": None}
    tamper.ask(world, PLAIN, "get", last["t1"] - EPOCH_S + 1.0, 200, stale)


@breaks("I20", "a run that is accepted and then unknown")
def _(world: World) -> None:
    built = tamper.fact(world, PLAIN, "image.built")
    tamper.ask(world, PLAIN, "get", built["t"], 404, {"code": "run_missing"})


@breaks("I20", "a cancellation that is accepted after the end")
def _(world: World) -> None:
    last = tamper.requests(world, PLAIN, "get")[-1]
    tamper.ask(world, PLAIN, "cancel", last["t1"] - EPOCH_S + 5.0, 202, last["answer"])
