"""Histories that break I8 to I11: what services tell each other, and what they are told to do."""

from tests.verify import tampering as tamper
from tests.verify.corruptions import CANCELLED, CUT_OFF, FAILING, PLAIN, UNBUILT, VANISHED, breaks
from tests.verify.synthetic_world import World


@breaks("I8", "a fact that is never published")
def _(world: World) -> None:
    released = tamper.fact(world, PLAIN, "machine.released")
    world.files["bus"] = [row for row in world.files["bus"] if row["id"] != released["id"]]


@breaks("I8", "a message about something that was never committed")
def _(world: World) -> None:
    row = dict(world.files["bus"][0]) | {"id": "evt-ghost", "type": "dev.cynthus.attempt.lost.v1"}
    world.add("bus", **row)


@breaks("I8", "a message that says other things than its fact")
def _(world: World) -> None:
    lost = tamper.fact(world, CUT_OFF, "attempt.lost")
    world.rows("bus", id=lost["id"])[0]["data"] = {"run_id": CUT_OFF, "epoch": 2}


@breaks("I8", "a fact that is taken over twice")
def _(world: World) -> None:
    ready = tamper.fact(world, PLAIN, "vm.ready")
    again = world.take("orchestrator", tamper.fact(world, PLAIN, "vm.ready", "provisioner"))
    tamper.insert(world, again, ready)
    tamper.forget(world, "sql/orchestrator.inbox", world.files["sql/orchestrator.inbox"][-1])


@breaks("I8", "a message that has its effect twice")
def _(world: World) -> None:
    ready = tamper.fact(world, PLAIN, "vm.ready", "provisioner")
    again = world.decide("provisioner", PLAIN, "vm.ready", ready["t"], **ready["data"])
    again["causation_id"] = ready["causation_id"]


@breaks("I8", "a fact that is taken over in other words")
def _(world: World) -> None:
    ready = tamper.fact(world, PLAIN, "vm.ready")
    ready["data"] = {**ready["data"], "reused": True}


@breaks("I8", "a fact that was never decided, taken over all the same")
def _(world: World) -> None:
    ready = tamper.fact(world, PLAIN, "vm.deleted", "provisioner")
    tamper.forget_fact(world, "provisioner", ready)


@breaks("I9", "a row that history does not give")
def _(world: World) -> None:
    world.add("sql/orchestrator.attempts", run_id=PLAIN, epoch=7, machine=None)


@breaks("I9", "a row that differs from what history gives")
def _(world: World) -> None:
    world.files["rebuilt/orchestrator.runs"][3]["state"] = "RUNNING"


@breaks("I9", "a table that was not rebuilt")
def _(world: World) -> None:
    del world.files["rebuilt/gateway.submissions"]


@breaks("I10", "one key and two runs")
def _(world: World) -> None:
    first = world.rows("client", op="create", key="key-0")[0]
    other = world.rows("client", op="create", key="key-1")[0]
    world.add("client", **{**other, "key": first["key"], "t0": other["t0"] + 1, "t1": other["t1"] + 1})


@breaks("I10", "one key that is recorded with two runs")
def _(world: World) -> None:
    asked = [tamper.fact(world, run, "run.requested", "gateway") for run in (PLAIN, tamper.run_id(1))]
    copy = tamper.fact(world, tamper.run_id(1), "run.requested")
    for data in (asked[1]["data"], copy["data"], world.rows("bus", id=asked[1]["id"])[0]["data"]):
        data["idempotency_key"] = asked[0]["data"]["idempotency_key"]


@breaks("I10", "one key that is accepted for another request")
def _(world: World) -> None:
    first = world.rows("client", op="create", key="key-0")[0]
    sent = {"snapshot": "sha256:other"}
    world.add("client", **{**first, "t0": first["t0"] + 1, "t1": first["t1"] + 1, "sent": sent})


@breaks("I10", "an attempt that is asked for after the cancellation")
def _(world: World) -> None:
    retried = tamper.fact(world, FAILING, "run.retry-scheduled")
    tamper.other(world, "gateway", FAILING, "run.cancel-requested", retried)


@breaks("I10", "a cancellation that is acknowledged and never recorded")
def _(world: World) -> None:
    seen = tamper.requests(world, PLAIN, "get")[-3]["answer"]
    started = tamper.fact(world, PLAIN, "attempt.started")
    tamper.ask(world, PLAIN, "cancel", started["t"], 202, {"id": PLAIN, "state": seen["state"]})


@breaks("I10", "a program that runs on after the cancellation")
def _(world: World) -> None:
    last = world.rows("side", run=CANCELLED)[-1]
    for seconds in range(1, 200, 5):
        world.add("side", t=last["t"] + seconds, run=CANCELLED, epoch=1, pid=last["pid"], what="alive")
    world.settings["ended_at"] += 300.0


@breaks("I11", "more attempts than are allowed")
def _(world: World) -> None:
    world.settings["max_attempts"] = 1


@breaks("I11", "a lost machine that its user pays for")
def _(world: World) -> None:
    retried = tamper.fact(world, VANISHED, "run.retry-scheduled")
    retried["data"]["budget"] = world.rows("bus", id=retried["id"])[0]["data"]["budget"] = "user"


@breaks("I11", "a budget that is overdrawn")
def _(world: World) -> None:
    retried = tamper.fact(world, VANISHED, "run.retry-scheduled")
    retried["data"]["used"] = world.rows("bus", id=retried["id"])[0]["data"]["used"] = 6


@breaks("I11", "a provider that is asked without a pause")
def _(world: World) -> None:
    asked = world.rows("provider", what="create_asked")[0]
    for n in range(100):
        world.add("provider", **{**asked, "t": asked["t"] - 0.1 + n / 1000})


@breaks("I11", "a run without hope that goes on")
def _(world: World) -> None:
    tamper.unseen(world, UNBUILT, "FAILED")
    world.settings["healed_at"] += 500.0
    world.settings["ended_at"] += 500.0
    tamper.postpone(world, tamper.fact(world, UNBUILT, "run.failed"), 300.0)
