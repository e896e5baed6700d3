"""The lives of machines: every step that is due is taken, from what the ledger says and nothing else."""

import sys
from collections.abc import Callable
from urllib.parse import quote

from cynthus.provisioner.hostile.cloud import Cloud
from cynthus.provisioner.hostile.hosts import Hosts, Start
from cynthus.provisioner.hostile.knobs import Knobs
from cynthus.provisioner.hostile.world import Instance, Place


class Lives:
    """Call `step` often; it is cheap when nothing is due."""

    def __init__(
        self, cloud: Cloud, hosts: Hosts, knobs: Callable[[], Knobs], now: Callable[[], float], url: str
    ) -> None:
        self._cloud = cloud
        self._hosts = hosts
        self._knobs = knobs
        self._now = now
        self._url = url
        self._asked_to_end: set[Place] = set()
        self._to_vanish: set[Place] = set()

    def vanish(self, place: Place) -> None:
        """From one moment to the next, without a word."""
        self._to_vanish.add(place)

    def preempt(self, place: Place, notice_s: float) -> None:
        """Take it away so many seconds from now."""
        self._cloud.say("preempt_notice", place, notice_s=notice_s)

    def step(self) -> bool:
        """True: something is under way, so that it has to be looked at again soon."""
        self._hosts.look_again()
        busy = [self._try(instance) for instance in list(self._cloud.world.instances.values())]
        return any(busy)

    def _try(self, instance: Instance) -> bool:
        try:
            return self._one(instance)
        except OSError as error:
            sys.stderr.write(f"hostile provider: {instance.place.name}: {error}\n")
            return False

    def _one(self, instance: Instance) -> bool:
        now, fate = self._now(), instance.fate
        if self._is_to_vanish(instance, now):
            return self._vanish(instance)
        if instance.created is None:
            return self._create(instance, now)
        max_age_s = self._knobs().max_age_s
        if (
            max_age_s
            and instance.deleting is None
            and now >= instance.created + max_age_s / self._knobs().speed
        ):
            self._cloud.say("delete_asked", instance.place, reason="max_age")
        if instance.running is None and now >= instance.created + fate.create_s:
            self._cloud.say("running", instance.place)
        due_s = fate.preempt_s
        if instance.noticed is None and due_s is not None and now >= (instance.running or now) + due_s:
            self.preempt(instance.place, fate.notice_s)
        if instance.deleting is not None:
            return self._delete(instance, instance.deleting, now)
        if instance.noticed is not None:
            return self._take_away(instance, instance.noticed, now)
        return instance.running is None or self._boot(instance, instance.running, now)

    def _create(self, instance: Instance, now: float) -> bool:
        if now < instance.asked + instance.fate.pending_s:
            return True
        if instance.fate.refusal is None:
            self._cloud.say("created", instance.place)
            return self._one(instance)
        operation = self._cloud.world.going_on(instance.place, "insert")
        reason = instance.fate.refusal
        self._cloud.say("refused", instance.place, reason=reason, operation=operation.id if operation else "")
        self._cloud.forget(instance.place)
        return False

    def _boot(self, instance: Instance, running: float, now: float) -> bool:
        place, boots = instance.place, instance.fate.boots
        begun = len(instance.pids)
        if begun == len(boots):
            if not self._knobs().stays_without_worker and boots and not self._hosts.lives(place):
                self._cloud.say("delete_asked", place, reason="worker ended")
            return False
        if now >= running + boots[begun]:
            self._hosts.start(place, begun, self._start(place))
            pid = self._hosts.worker(place, begun)
            if pid is not None:
                self._cloud.say("running", place, pid=pid)
        return True

    def _delete(self, instance: Instance, asked: float, now: float) -> bool:
        knobs, place = self._knobs(), instance.place
        if place not in self._asked_to_end:
            self._asked_to_end.add(place)
            self._hosts.terminate(place)
        overdue = now >= asked + knobs.kill_after_s / knobs.speed
        ended = self._hosts.kill(place) if overdue else not self._hosts.lives(place)
        if ended and now >= asked + instance.fate.delete_s:
            self._gone(place, "deleted")
        return True

    def _take_away(self, instance: Instance, noticed: float, now: float) -> bool:
        knobs, place = self._knobs(), instance.place
        end = noticed + instance.notice_s
        if instance.terminated is not None:
            if now >= instance.terminated + knobs.terminated_s / knobs.speed:
                self._gone(place, "deleted", reason="preempted")
            return True
        if now >= end:
            if self._hosts.kill(place):
                self._cloud.say("preempted", place)
        elif now >= end - knobs.sigterm_before_s / knobs.speed and place not in self._asked_to_end:
            self._asked_to_end.add(place)
            self._hosts.terminate(place)
        return True

    def _is_to_vanish(self, instance: Instance, now: float) -> bool:
        after_s, running = instance.fate.vanish_s, instance.running
        due = after_s is not None and running is not None and now >= running + after_s
        return due or instance.place in self._to_vanish

    def _vanish(self, instance: Instance) -> bool:
        if self._hosts.kill(instance.place):
            self._gone(instance.place, "vanished")
            return False
        return True

    def _gone(self, place: Place, what: str, reason: str | None = None) -> None:
        self._cloud.say(what, place, reason=reason)
        self._cloud.forget(place)
        self._hosts.clean(place)
        self._asked_to_end.discard(place)
        self._to_vanish.discard(place)

    def _start(self, place: Place) -> Start:
        knobs, told = self._knobs(), self._cloud.told(place)
        home = self._hosts.home(place) if knobs.home == "own" else self._hosts.shared_home
        command = knobs.command or (
            sys.executable,
            "-m",
            "cynthus.worker",
            "--machine",
            "{name}",
            "--home",
            "{home}",
        )
        environment = {
            "CYNTHUS_WORKER_URL": told.get("worker_url", ""),
            "CYNTHUS_WORKER_TOKEN": told.get("worker_token", ""),
            "CYNTHUS_WORKER_HOME": str(home),
            "CYNTHUS_WORKER_NOTICE_URL": f"{self._url}/metadata/{quote(place.name)}/instance/preempted",
            **knobs.environment,
        }
        filled = [word.replace("{name}", place.name).replace("{home}", str(home)) for word in command]
        return Start(filled, home, environment)
