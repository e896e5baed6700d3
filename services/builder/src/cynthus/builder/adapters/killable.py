"""Programs that end with whoever started them."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GRACE_S = 5.0


async def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    told: Callable[[str], None],
    stdin: bytes | None = None,
) -> int:
    """Run a program in a process group of its own; its exit status. Its output goes to `told` as it comes.

    When this is cancelled the group is ended; when this process dies the program is killed (Linux).
    """
    guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    process = await asyncio.create_subprocess_exec(
        *guard, *command, env=env, cwd=folder, start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        if process.stdin is not None and stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        while piece := await process.stdout.read(64 * 1024):
            told(piece.decode(errors="replace"))
        return await process.wait()
    finally:
        await asyncio.shield(_end(process))


async def output(command: Sequence[str], *, env: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """The exit status and what a program said."""
    pieces: list[str] = []
    status = await run(command, env=env, folder=folder, told=pieces.append)
    return status, "".join(pieces)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask its group to end, then insist; whatever the group leaves behind is killed too."""
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE_S)
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
