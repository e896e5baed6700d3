"""Programs in containers of Docker or Podman."""

import os
import time
from collections.abc import Callable
from contextlib import suppress

from cynthus.containers.engine import Engine
from cynthus.containers.errors import EngineRefused, EngineUnavailable, NoSuchContainer
from cynthus.containers.labels import name_of
from cynthus.containers.transport import Transport
from cynthus.worker import proctree
from cynthus.worker.cache import Cache
from cynthus.worker.causes import AttemptFailed, Cause, of_machine, unprepared
from cynthus.worker.channel import Exit
from cynthus.worker.containers import engines, place
from cynthus.worker.containers.container import user_of
from cynthus.worker.containers.drain import Drain
from cynthus.worker.containers.launch import Launch
from cynthus.worker.containers.materials import Materials
from cynthus.worker.containers.program import Program
from cynthus.worker.containers.stage import Stage
from cynthus.worker.content import Content
from cynthus.worker.control import Control
from cynthus.worker.handover import Held
from cynthus.worker.memory import Kills
from cynthus.worker.orders import OrderInvalid, WorkOrder
from cynthus.worker.process import UserProcess
from cynthus.worker.runtime import Made
from cynthus.worker.settings import Settings, say
from cynthus.worker.spool import Spool
from cynthus.worker.supervisor import Supervisor, SupervisorGone
from cynthus.worker.workspace import Workspace

_REMOVE_S = 20.0
_AGAIN_S = 0.5
_NO_ENGINE = "Install Docker or Podman on the machine and start it, or use --runtime process."


class ContainerRuntime:
    """The Runtime of orders whose image runs in a container."""

    unsupervised = False

    def __init__(
        self, settings: Settings, supervisor: Supervisor, order: WorkOrder, content: Content, control: Control
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._order = order
        self._control = control
        self._materials = Materials(order, Cache(f"{settings.home}/cache"), content, control)
        self._name = name_of(settings.home, order.run_id, order.epoch)
        self._engine: Engine | None = None
        self._stage: Stage | None = None
        self._program: Program | None = None
        self._process: UserProcess | None = None
        self._spawn: Callable[[], int] | None = None
        self._begun: float | None = None
        self._drain: Drain | None = None
        self._spool: Spool | None = None
        self._phases: dict[str, float] = {}

    @property
    def stopped_for(self) -> str | None:
        """Why it was ended; by its engine, where neither we nor the program did."""
        asked = self._process.stopped_for if self._process else None
        outside = self._program is not None and self._program.outside
        return asked or ("engine_restarted" if outside else None)

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self._process.seconds if self._process else 0.0

    def make(self, workspace: Workspace) -> Made:
        """Raises AttemptFailed, Dropped."""
        engine = engines.current()
        if engine is None:
            problem = EngineUnavailable("the run needs a container engine, and the machine has none")
            raise AttemptFailed(Cause("no_container_engine", str(problem), _NO_ENGINE))
        laid = self._materials.lay(engine, workspace, self._name)
        try:
            outputs = workspace.inside(self._order.image.outputs)
            os.makedirs(outputs, exist_ok=True)
            ids = user_of(engine).ids
            for folder in (workspace.work, workspace.checkpoint):
                place.hand_over(folder, ids)
            stage = Stage(_folder(workspace), ids)
            stage.set_up()
        except OrderInvalid as problem:
            raise AttemptFailed(unprepared("order_invalid", problem)) from problem
        except OSError as error:
            raise AttemptFailed(of_machine(error)) from error
        program = self._watch(engine, stage)
        launch = Launch(
            self._settings,
            self._supervisor,
            self._order,
            engine=engine,
            laid=laid,
            workspace=workspace,
            stage=stage,
            name=self._name,
        )
        self._spawn = lambda: launch.run(program)
        self._phases = laid.phases_ms
        return Made(outputs, self._phases)

    def adopt(self, workspace: Workspace, held: Held) -> Made:
        """Raises AttemptFailed when the container had not been started."""
        _, stdout, stderr, bell = held.descriptors
        engine = Engine(Transport(held.facts["socket"]), held.facts["kind"], {})
        stage = Stage(_folder(workspace), (0, 0))
        stage.adopt(stdout, stderr, bell)
        program = self._watch(engine, stage)
        self._begun = held.facts["begun"]
        pid = int(held.facts["pid"])
        if not stage.status().started:
            problem = "the worker was killed while it started the container"
            raise AttemptFailed(Cause("worker_failed", problem))
        say(f"{self._order.run_id}/{self._order.epoch} is taken over from a worker that was killed")
        program.attach(pid or self._known_pid(engine))
        with suppress(SupervisorGone):
            self._supervisor.watch(program.handle)
        self._spawn = lambda: pid
        if self._order.image.checkpoint:
            workspace.checkpoint = workspace.inside(self._order.image.checkpoint)
        return Made(workspace.inside(self._order.image.outputs), self._phases)

    def start(self, spool: Spool, disk_full: Callable[[OSError], None]) -> int:
        """Raises AttemptFailed."""
        stage, process, spawn = self._stage, self._process, self._spawn
        assert stage is not None
        assert process is not None
        assert spawn is not None
        self._spool, self._drain = spool, Drain(spool, stage.stdout, stage.stderr, disk_full)
        pid = process.start(spawn, self._begun)
        self._phases["spawn"] = process.spawn_ms
        self._drain.start()
        return pid

    def wait(self) -> Exit:
        """Until the container is over."""
        assert self._process is not None
        return self._process.wait()

    def end(self) -> None:
        """Kill it if it runs; the rest of its output goes into the spool."""
        if self._process is not None:
            self._process.end()
        if self._control.dropped and self._spool is not None:
            self._spool.abandon()
        if self._drain is not None:
            self._drain.finish()

    def usage(self) -> proctree.Usage:
        """Of everything in the container."""
        program, engine = self._program, self._engine
        if program is None or engine is None or not program.running:
            return proctree.Usage(0.0, 0)
        if program.visible:
            return proctree.usage(program.pid)
        try:
            used = engine.usage(self._name)
        except (EngineUnavailable, EngineRefused, NoSuchContainer):
            return proctree.Usage(0.0, 0)
        return proctree.Usage(used.cpu_seconds, used.memory_bytes)

    def kills(self) -> Kills:
        """As the kernel counted in the container."""
        count = self._program.oom_kills if self._program else 0
        return Kills(count, (f"oom_kill 0 -> {count} in the container's cgroup",)) if count else Kills()

    def release(self) -> None:
        """Remove the container; what was used of the cache may be removed."""
        engine, self._engine = self._engine, None
        if engine is not None:
            self._remove(engine)
            with suppress(SupervisorGone):
                self._supervisor.let_go()
                self._supervisor.watch(None)
        if self._program is not None:
            self._program.close()
        if self._stage is not None:
            self._stage.close()
        self._materials.release()

    def _watch(self, engine: Engine, stage: Stage) -> Program:
        order = self._order
        self._engine, self._stage = engine, stage
        self._program = program = Program(engine, self._name, stage)
        self._process = UserProcess(program, self._control, timeout_s=order.timeout_s, grace_s=order.grace_s)
        return program

    def _known_pid(self, engine: Engine) -> int:
        try:
            return engine.state(self._name).pid
        except (EngineUnavailable, EngineRefused, NoSuchContainer):
            return 0

    def _remove(self, engine: Engine) -> None:
        deadline = time.monotonic() + _REMOVE_S
        while True:
            try:
                engine.remove(self._name)
            except (EngineUnavailable, EngineRefused) as error:
                if time.monotonic() > deadline:
                    say(f"the container {self._name} could not be removed: {error}")
                    return
                time.sleep(_AGAIN_S)
            else:
                return


def _folder(workspace: Workspace) -> str:
    return f"{workspace.folder}/stage"
