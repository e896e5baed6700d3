"""How a program is kept to what is its own: under bubblewrap, where that works."""

import os
import posixpath
from typing import NamedTuple

from cynthus.environments import sandbox
from cynthus.environments.interpreters import folder_of
from cynthus.worker.causes import AttemptFailed, Cause
from cynthus.worker.channel import SANDBOX_CHANNEL
from cynthus.worker.orders import WorkOrder
from cynthus.worker.settings import Settings
from cynthus.worker.workspace import Workspace

_INSTALL = "Install bubblewrap on the machine, or use --runtime container."


class Needs(NamedTuple):
    """What a program needs to see besides its own folders; `hidden` is the worker's state around it."""

    environment: str
    data: tuple[str, ...]
    hidden: str


def sandboxed(settings: Settings, order: WorkOrder) -> bool:
    """Whether programs of this order run in a sandbox here. Raises AttemptFailed."""
    required = settings.sandbox == "required" or not order.network
    if settings.sandbox == "off" and order.network:
        return False
    trouble = "it is switched off" if settings.sandbox == "off" else sandbox.trouble()
    if trouble is not None and required:
        what = "a run without network" if not order.network else "this machine's settings"
        raise AttemptFailed(Cause("sandbox_missing", f"{what} ask for a sandbox: {trouble}", _INSTALL))
    return trouble is None


def command_line(
    command: tuple[str, list[str]], workspace: Workspace, needs: Needs, order: WorkOrder
) -> list[str]:
    """What the supervisor starts instead of `command`: a program and its arguments."""
    first = posixpath.relpath(workspace.work, workspace.folder).split("/")[0]
    return sandbox.wrap(
        sandbox.below_first_process(*command, SANDBOX_CHANNEL),
        writable=[f"{workspace.folder}/{first}", workspace.home, workspace.temporary, workspace.checkpoint],
        readable=[
            needs.environment,
            *needs.data,
            *_interpreter_folders(needs.environment),
        ],
        hidden=[needs.hidden],
        network=order.network,
        gpu=order.gpu is not None,
        temporary=workspace.temporary,
        folder=workspace.work,
    )


def failed() -> AttemptFailed:
    """The sandbox ended before the program began."""
    cause = Cause(
        "worker_failed",
        "the sandbox could not be made",
        None,
        ("bubblewrap ended; see the machine's log",),
    )
    return AttemptFailed(cause)


def _interpreter_folders(environment: str) -> list[str]:
    """The link of an environment, and where the interpreter really is."""
    link = f"{environment}/bin/python"
    linked = os.readlink(link) if os.path.islink(link) else link
    return [folder_of(link), *([os.path.dirname(os.path.dirname(linked))] if os.path.isabs(linked) else [])]
