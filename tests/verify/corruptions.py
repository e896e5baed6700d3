"""For each invariant, histories that break it and nothing else: (invariant, what, how). Here I1 to I7."""

from collections.abc import Callable

from tests.verify import tampering as tamper
from tests.verify.synthetic_world import EPOCH_S, World, sha256

Corruption = tuple[str, str, Callable[[World], object]]
ALL: list[Corruption] = []

PLAIN, FAILING, CANCELLED, VANISHED, CUT_OFF, UNBUILT = (
    tamper.run_id(number) for number in (0, 5, 6, 7, 8, 9)
)


def breaks(invariant: str, what: str) -> Callable[[Callable[[World], object]], Callable[[World], object]]:
    def note(corrupt: Callable[[World], object]) -> Callable[[World], object]:
        ALL.append((invariant, what, corrupt))
        return corrupt

    return note


@breaks("I1", "a run that never ends")
def _(world: World) -> None:
    tamper.unseen(world, PLAIN, "SUCCEEDED")
    tamper.forget_fact(world, "orchestrator", tamper.fact(world, PLAIN, "run.succeeded"))


@breaks("I1", "an accepted run that is nowhere")
def _(world: World) -> None:
    row = tamper.ask(
        world, tamper.run_id(99), "create", 5.0, 202, {"id": tamper.run_id(99), "state": "QUEUED"}
    )
    row["key"] = "key-99"


@breaks("I1", "a second end")
def _(world: World) -> None:
    end = tamper.fact(world, PLAIN, "run.succeeded")
    tamper.own(world, PLAIN, "run.failed", end, epoch=1, cause={"code": "lost_machine"})


@breaks("I1", "an end that comes too late after the faults")
def _(world: World) -> None:
    tamper.unseen(world, PLAIN, "SUCCEEDED")
    world.settings["healed_at"] = EPOCH_S
    world.settings["ended_at"] += 400.0
    tamper.postpone(world, tamper.fact(world, PLAIN, "run.succeeded"), 300.0)


@breaks("I2", "a version that is not there")
def _(world: World) -> None:
    tamper.fact(world, PLAIN, "run.queued", "gateway")["version"] = 3


@breaks("I2", "a log that is sealed before the program ended")
def _(world: World) -> None:
    exited, sealed = (tamper.fact(world, PLAIN, kind) for kind in ("attempt.exited", "logs.sealed"))
    tamper.insert(world, exited, sealed)


@breaks("I2", "a machine for an attempt that nobody asked for")
def _(world: World) -> None:
    built = tamper.fact(world, PLAIN, "image.built")
    tamper.other(world, "provisioner", PLAIN, "vm.ready", built, epoch=3, machine="cyn-x")


@breaks("I2", "another attempt although none had failed")
def _(world: World) -> None:
    started = tamper.fact(world, UNBUILT, "run.queued")
    tamper.own(world, UNBUILT, "machine.requested", started, epoch=2)


@breaks("I2", "an attempt that starts before there is anything to start")
def _(world: World) -> None:
    built, started = (tamper.fact(world, PLAIN, kind) for kind in ("image.built", "attempt.started"))
    tamper.insert(world, built, started)


@breaks("I3", "a result that is gone")
def _(world: World) -> None:
    name = sha256(f"result of {PLAIN} by 1".encode())
    world.files["blobs"] = [row for row in world.files["blobs"] if not row["key"].endswith(name)]


@breaks("I3", "a manifest that is gone")
def _(world: World) -> None:
    name = tamper.fact(world, PLAIN, "outputs.committed")["data"]["manifest"].removeprefix("sha256:")
    world.files["blobs"] = [row for row in world.files["blobs"] if not row["key"].endswith(name)]


@breaks("I3", "a result that its program did not write")
def _(world: World) -> None:
    world.rows("side", run=PLAIN, what="end")[0]["files"]["result.txt"] = sha256(b"something else")


@breaks("I3", "the same, where only the manifest's digest can tell")
def _(world: World) -> None:
    for row in world.files["blobs"]:
        if "/manifests/" in row["key"]:
            del row["content"]
    world.rows("side", run=PLAIN, what="end")[0]["files"] = {
        "other.txt": sha256(f"result of {PLAIN} by 1".encode())
    }


@breaks("I3", "results that are visible while it runs")
def _(world: World) -> None:
    end = tamper.requests(world, PLAIN, "get")[-1]["answer"]["outputs"]
    tamper.requests(world, PLAIN, "get")[-2]["answer"]["outputs"] = end


@breaks("I3", "results of an attempt that failed, visible before the run is over")
def _(world: World) -> None:
    first = tamper.fact(world, FAILING, "outputs.committed", epoch=1)["data"]["manifest"]
    tamper.requests(world, FAILING, "get")[-1]["answer"]["outputs"] = {"manifest": first}


@breaks("I3", "results that cannot be had after a success")
def _(world: World) -> None:
    end = tamper.fact(world, PLAIN, "run.succeeded")["t"]
    tamper.ask(world, PLAIN, "outputs", end + 5.0, 200, {"manifest": None, "files": 0, "bytes": 0})


@breaks("I4", "a heartbeat that is accepted after the fence")
def _(world: World) -> None:
    world.rows("worker", run=CUT_OFF, call="heartbeat", status=409)[0]["status"] = 200


@breaks("I4", "a log that is stored after the fence")
def _(world: World) -> None:
    fence = tamper.fact(world, CUT_OFF, "attempt.lost")
    chunks = world.rows("sql/orchestrator.log_chunks", run_id=CUT_OFF, epoch=1)
    offset = chunks[-1]["start_offset"] + chunks[-1]["size"]
    data = b"attempt 1 second 0\n"
    row = {
        **chunks[-1],
        "seq": len(chunks),
        "start_offset": offset,
        "size": len(data),
        "at": fence["at"] + 9.0,
    }
    world.add("sql/orchestrator.log_chunks", **row)
    world.store(f"owners/local/runs/{CUT_OFF}/1/logs/{len(chunks):010d}", data)


@breaks("I4", "a checkpoint that is taken after the fence")
def _(world: World) -> None:
    retried = tamper.fact(world, CUT_OFF, "run.retry-scheduled")
    tamper.own(world, CUT_OFF, "checkpoint.saved", retried, epoch=1, manifest="sha256:3")


@breaks("I5", "a machine that is never deleted")
def _(world: World) -> None:
    tamper.forget(world, "provider", world.rows("provider", what="deleted")[0])


@breaks("I5", "a machine that is deleted late")
def _(world: World) -> None:
    world.rows("provider", what="deleted")[-1]["t"] += 40.0


@breaks("I5", "a machine that nobody ever needed")
def _(world: World) -> None:
    row = {"machine": "cyn-stray", "zone": "here"}
    world.add("provider", t=world.settings["healed_at"], what="created", **row)


@breaks("I5", "a process of a machine that is gone")
def _(world: World) -> None:
    gone = world.rows("provider", what="deleted")[0]["machine"]
    world.add("processes", t=world.settings["ended_at"], pid=77, command="worker", machine=gone)


@breaks("I5", "a user's process that is left")
def _(world: World) -> None:
    world.add("processes", t=world.settings["ended_at"], pid=78, command="python main.py")


@breaks("I6", "a second machine that is kept")
def _(world: World) -> None:
    ready = tamper.fact(world, PLAIN, "vm.ready")
    tamper.other(world, "provisioner", PLAIN, "vm.ready", ready, epoch=1, machine="cyn-second")


@breaks("I6", "two executions at once")
def _(world: World) -> None:
    first = world.rows("side", run=VANISHED, epoch=1)[-1]
    second = world.rows("side", run=VANISHED, epoch=2, what="start")[0]
    world.add("side", t=second["t"] + 1.0, run=VANISHED, epoch=1, pid=first["pid"], what="alive")


@breaks("I6", "one order that is executed twice at once")
def _(world: World) -> None:
    started = world.rows("side", run=PLAIN, what="start")[0]
    for seconds in (0.5, 1.5):
        world.add("side", t=started["t"] + seconds, run=PLAIN, epoch=1, pid=9999, what="alive")


@breaks("I6", "a machine that is created in two zones")
def _(world: World) -> None:
    name = world.rows("provider", what="created")[0]["machine"]
    for row in world.rows("provider", machine=name):
        world.add("provider", **{**row, "zone": "there"})


@breaks("I7", "an upload that is gone")
def _(world: World) -> None:
    name = tamper.requests(world, None, "upload")[0]["sent"]["sha256"]
    world.files["blobs"] = [row for row in world.files["blobs"] if not row["key"].endswith(name)]


@breaks("I7", "an upload that is cut short")
def _(world: World) -> None:
    name = tamper.requests(world, None, "upload")[0]["sent"]["sha256"]
    row = next(row for row in world.files["blobs"] if row["key"].endswith(name))
    row |= {"size": 3, "sha256": sha256(b"pri")}
