"""From everything in place to a running program."""

import os
import select
import time
from contextlib import suppress

from cynthus.containers.engine import Engine
from cynthus.containers.errors import (
    ContainerConflict,
    EngineRefused,
    EngineUnavailable,
    ImageUnknown,
    NoSuchContainer,
)
from cynthus.containers.specification import ContainerSpec
from cynthus.worker.causes import AttemptFailed, Cause, not_started, unprepared
from cynthus.worker.containers import images, network, place
from cynthus.worker.containers.container import command_of, hostname_of, specification
from cynthus.worker.containers.materials import Laid, refused
from cynthus.worker.containers.program import Program
from cynthus.worker.containers.stage import Stage, Status
from cynthus.worker.orders import OrderInvalid, WorkOrder
from cynthus.worker.settings import Settings
from cynthus.worker.supervisor import Supervisor, SupervisorGone
from cynthus.worker.workspace import Workspace

_START_S = 60.0


class Launch:
    """Creates and starts one container; what another worker would need is told to the keeper first."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        order: WorkOrder,
        *,
        engine: Engine,
        laid: Laid,
        workspace: Workspace,
        stage: Stage,
        name: str,
    ) -> None:
        self._supervisor = supervisor
        self._order = order
        self._engine = engine
        self._stage = stage
        self._name = name
        self._lock = workspace.lock
        self._folder = laid.folder
        self._begun = 0.0
        try:
            self._command = command_of(order, laid)
            self._spec = specification(settings, order, engine, laid, workspace=workspace, stage=stage.folder)
            self._environment = place.environment(
                order, laid.image.env, laid.folder, hostname_of(order), laid.data
            )
        except OrderInvalid as problem:
            raise AttemptFailed(unprepared("order_invalid", problem)) from problem

    def run(self, program: Program) -> int:
        """The process id of the container's first process. Raises AttemptFailed."""
        self._begun = time.monotonic()
        try:
            self._stage.send(self._environment)
            self._create(self._spec)
            self._hold(0)
            self._engine.start(self._name)
            status = self._await_start()
            self._stage.sent()
            if status.failed is not None:
                raise AttemptFailed(self._not_started(status))
            pid = self._pid(status)
        except OrderInvalid as problem:
            raise AttemptFailed(unprepared("order_invalid", problem)) from problem
        except EngineUnavailable as error:
            raise AttemptFailed(images.away(error)) from error
        except (EngineRefused, ContainerConflict, ImageUnknown, NoSuchContainer) as error:
            network.forget()
            raise AttemptFailed(refused(error)) from error
        self._hold(pid)
        program.attach(pid)
        with suppress(SupervisorGone):
            self._supervisor.watch(program.handle)
        return pid

    def _create(self, spec: ContainerSpec) -> None:
        try:
            self._engine.create(self._name, spec)
        except ContainerConflict:
            self._engine.remove(self._name)
            self._engine.create(self._name, spec)

    def _hold(self, pid: int) -> None:
        stage = self._stage
        facts = {
            "socket": self._engine.transport.socket_path,
            "kind": self._engine.kind,
            "begun": self._begun,
            "pid": pid,
        }
        with suppress(SupervisorGone):
            self._supervisor.hold(
                {"order": self._order.fields, "facts": facts},
                [self._lock, stage.stdout, stage.stderr, stage.bell],
            )

    def _await_start(self) -> Status:
        poller = select.poll()
        poller.register(self._stage.bell, select.POLLIN)
        deadline = time.monotonic() + _START_S
        while True:
            status = self._stage.status()
            if status.started or status.failed is not None:
                return status
            events = dict(poller.poll(1000)).get(self._stage.bell, 0)
            if events & select.POLLIN:
                os.read(self._stage.bell, 4096)
            elif events & select.POLLHUP or time.monotonic() > deadline:
                status = self._stage.status()
                if status.started or status.failed is not None:
                    return status
                raise EngineRefused(0, self._what_happened())

    def _what_happened(self) -> str:
        state = self._engine.state(self._name)
        return f"the container is {state.status} with exit code {state.exit_code} {state.error}".strip()

    def _pid(self, status: Status) -> int:
        return 0 if status.ended is not None else self._engine.state(self._name).pid

    def _not_started(self, status: Status) -> Cause:
        assert status.failed is not None
        number = status.failed.errno
        error = OSError(number, os.strerror(number), self._command[0])
        return not_started(error, self._command, exists=status.failed.exists)
