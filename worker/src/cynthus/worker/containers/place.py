"""Where things are inside a container: the project, its data, and what the program is told of them."""

import os
import posixpath
from collections.abc import Mapping

from cynthus.containers.specification import Bind
from cynthus.worker.cache import is_folder, remove_tree
from cynthus.worker.containers.stage import CHECKPOINT, INSIDE
from cynthus.worker.orders import OrderInvalid, WorkOrder

_RESERVED = ("/proc", "/sys", "/dev", "/tmp", INSIDE)  # noqa: S108 - a place in the container


def inside(folder: str, path: str) -> str:
    """A path of the project, as the container sees it. Raises OrderInvalid when it leaves the project."""
    place = posixpath.normpath(posixpath.join(folder, path))
    if path.startswith("/") or (place != folder and not place.startswith(f"{folder.rstrip('/')}/")):
        raise OrderInvalid(f"{path!r} is outside the project")
    return place


def data_bind(source: str, mount: str, folder: str, work: str) -> Bind:
    """Data at the path used locally; its mount point is made where it lies in the project.

    Raises OrderInvalid.
    """
    target = posixpath.normpath(posixpath.join(folder, mount))
    taken = target in {"/", folder} or folder.startswith(f"{target}/")
    if mount.startswith("/") or taken or any(target == r or target.startswith(f"{r}/") for r in _RESERVED):
        raise OrderInvalid(f"data cannot appear at {mount!r}: use a folder of its own inside the project")
    if target.startswith(f"{folder.rstrip('/')}/"):
        _mount_point(f"{work}/{posixpath.relpath(target, folder)}", work, mount, is_folder(source))
    return Bind(source, target)


def environment(
    order: WorkOrder, image: Mapping[str, str], folder: str, hostname: str, data: tuple[Bind, ...]
) -> dict[str, str]:
    """What the program sees; the run's own variables win."""
    own = order.image.checkpoint
    modules = ":".join(inside(folder, path) for path in order.image.python_path)
    return {
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "HOME": "/tmp",  # noqa: S108 - a place in the container
        "TMPDIR": "/tmp",  # noqa: S108 - a place in the container
        "HOSTNAME": hostname,
        **({"PYTHONPATH": modules} if modules else {}),
        **image,
        **order.image.env,
        **order.env,
        **order.secrets,
        "CYNTHUS_RUN_ID": order.run_id,
        "CYNTHUS_ATTEMPT": str(order.epoch),
        "CYNTHUS_DATA_DIR": data[0].target if data else f"{folder}/data",
        "CYNTHUS_OUTPUT_DIR": inside(folder, order.image.outputs),
        "CYNTHUS_CHECKPOINT_DIR": inside(folder, own) if own else CHECKPOINT,
    }


def hand_over(folder: str, user: tuple[int, int]) -> None:
    """Everything below belongs to `user`; links are not followed."""
    if os.geteuid() != 0:
        return
    pending = [folder]
    while pending:
        path = pending.pop()
        os.chown(path, *user, follow_symlinks=False)
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            else:
                os.chown(entry.path, *user, follow_symlinks=False)


def _mount_point(place: str, work: str, mount: str, folder: bool) -> None:  # noqa: FBT001 - what it is
    parent = posixpath.dirname(place)
    os.makedirs(parent, exist_ok=True)
    real, root = os.path.realpath(parent), os.path.realpath(work)
    if real != root and not real.startswith(f"{root}/"):
        raise OrderInvalid(f"data cannot appear at {mount!r}: that is inside a link")
    remove_tree(place)
    if folder:
        os.mkdir(place)
    else:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444))
