"""Evidence of a platform that does everything right: what the checks are tried on."""

from tests.verify.synthetic_story import Story
from tests.verify.synthetic_world import EPOCH_S, World


def succeed(story: Story, *, answered: bool = True) -> Story:
    """The plain case."""
    return story.submit(answered=answered).build().machine(1).start(1).work(1, 3).exit(1).over("SUCCEEDED", 1)


def fail(story: Story) -> Story:
    """The program fails, is tried again as its user wished, and fails again."""
    story.submit(retries=1).build().machine(1).start(1).work(1, 2).exit(1, code=3)
    story.retry(1, "user_exit", "user").release(1).wait(0.5)
    story.machine(2).start(2).work(2, 2).exit(2, code=3)
    return story.over("FAILED", 2, cause={"code": "user_exit", "message": "3"})


def be_cancelled(story: Story) -> Story:
    """Stopped while it runs."""
    story.submit().build().machine(1).start(1).work(1, 2).cancel().wait(0.5).exit(1, signal=15)
    return story.over("CANCELLED", 1, reason="enough")


def lose_its_machine(story: Story) -> Story:
    """The provider takes the machine; the next attempt goes on from the checkpoint."""
    story.submit().build().machine(1).start(1).work(1, 3).checkpoint(1)
    story.world.fault(story.t, story.t, "vanish", "provider", story.machines[1])
    story.provider("vanished", 1)
    cause = {"code": "lost_machine", "message": "gone"}
    story.wait(1.0).other("provisioner", "vm.lost", epoch=1, machine=story.machines[1], cause=cause)
    story.lose(1).retry(1, "lost_machine", "infrastructure").own("machine.released", epoch=1, machine=None)
    return story.wait(0.5).machine(2).start(2).work(2, 3).exit(2).over("SUCCEEDED", 2)


def be_cut_off(story: Story) -> Story:
    """No word comes through for longer than the lease; what comes later is refused."""
    story.submit().build().machine(1).start(1).work(1, 2)
    t0 = story.t
    story.work(1, 8, heard=False).wait(5.0)
    story.world.fault(t0, story.t, "partition", "network", story.machines[1])
    story.own("attempt.suspected", epoch=1, machine=story.machines[1], silent_s=8.0)
    story.lose(1).retry(1, "lost_machine", "infrastructure").wait(0.2)
    for call in ("heartbeat", "logs", "exited"):
        story.worker(call, 1, status=409)
    story.release(1).machine(2).start(2).work(2, 3).exit(2)
    return story.over("SUCCEEDED", 2)


def not_build(story: Story) -> Story:
    """Nothing can be built of it."""
    story.submit().wait(1.0)
    cause = {"code": "build_failed", "message": "no such package"}
    story.other("builder", "build.failed", cause=cause, transient=False)
    return story.over("FAILED", None, cause=cause)


def poison(world: World, run: str, t: float) -> None:
    """A message that nobody can read, about a run that ends all the same."""
    world.fault(t, t + 0.1, "poison", "bus", "bad JSON")
    envelope = {"subject": f"runs/{run}", "data": {"run_id": run}}
    row = {"consumer": "orchestrator", "event_id": "evt-poison", "reason": "no JSON", "attempts": 5}
    world.add("sql/orchestrator.parked", **row, envelope=envelope, parked_at=EPOCH_S + t)


def correct_world() -> World:
    """Thirty-one runs of all kinds, one after the other in four lanes."""
    world = World()
    plots = [succeed] * 5 + [fail, be_cancelled, lose_its_machine, be_cut_off, not_build]
    lanes = [1.0, 3.0, 5.0, 7.0]
    for number in range(30):
        lane = number % len(lanes)
        story = Story(world, number, lanes[lane])
        plots[number % len(plots)](story)
        lanes[lane] = story.t + 1.0
    last = succeed(Story(world, 30, max(lanes)), answered=False)
    poison(world, last.run, last.t)
    world.add("processes", t=EPOCH_S + last.t, pid=1, command="worker", machine=None)
    world.files["processes"].clear()
    world.finish(healed=last.t + 1.0, ended=last.t + 60.0)
    return world
