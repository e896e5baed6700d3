"""From a preview to a run that the platform has accepted."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from cynthus.cli import exits, units
from cynthus.cli.client.api import Api
from cynthus.cli.client.resources import Run
from cynthus.cli.failure import Failure
from cynthus.cli.reporter import Reporter
from cynthus.cli.running.pack import Packed, pack, scan
from cynthus.cli.running.preview import Preview, secrets_of
from cynthus.cli.source.hashing import FileChanged, Hashing
from cynthus.cli.transfer.progress import Progress
from cynthus.cli.transfer.upload import Sent, upload
from cynthus.planning import Retry

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run, and what had to be sent for it."""

    run: Run
    sent: Sent


def submit(api: Api, view: Preview, reporter: Reporter) -> Submitted:
    """Pack, upload what is missing, ask for the run. Raises Failure."""
    values = secrets_of(view)
    packed, sent = deliver(api, view, reporter)
    body = _body(view, packed, values)
    return Submitted(api.submit(view.project, body, key=view.wish.key or secrets.token_hex(16)), sent)


def deliver(api: Api, view: Preview, reporter: Reporter) -> tuple[Packed, Sent]:
    """Make the source and the data whole on the platform, and the source the project's newest."""
    scanned = view.scanned
    for _ in range(_TRIES):
        packed = _pack(view, scanned, reporter)
        try:
            sent = _upload(api, packed, reporter)
        except FileChanged as changed:
            reporter.warn(f"{changed} changed while it was sent; packing again")
            scanned = scan(view.place.root, view.settings.ignore, view.data)
            continue
        api.register_source(view.project, packed.source.digest)
        return packed, sent
    raise Failure(
        code="file_changing",
        what="the project's files change while they are sent",
        why=f"packed {_TRIES} times, and each time a file was another one when it was sent",
        fix="wait until they are written, or name them in .cynthusignore",
        exit_code=exits.SPEC_INVALID,
    )


def _pack(view: Preview, scanned: Any, reporter: Reporter) -> Packed:
    began, state = time.monotonic(), Hashing()
    packed = pack(
        view.place.root,
        scanned,
        view.data,
        state=state,
        tick=lambda: reporter.doing("packing", lambda: f"{state.files} files, {units.size(state.bytes)}"),
    )
    size = f"{units.size(packed.source.size)}, {units.files(packed.source.files)}"
    reporter.done("packed", f"{size} (.gitignore + .cynthusignore honoured)", time.monotonic() - began)
    return packed


def _upload(api: Api, packed: Packed, reporter: Reporter) -> Sent:
    began, progress = time.monotonic(), Progress()
    sent = upload(
        api,
        packed.all(),
        progress=progress,
        tick=lambda: reporter.doing("uploading", progress.text),
    )
    said = (
        f"{units.size(sent.bytes)} in {sent.blobs} blob{'' if sent.blobs == 1 else 's'}"
        if sent.blobs
        else "nothing to upload"
    )
    reporter.done("uploaded", said, time.monotonic() - began)
    return sent


def _body(view: Preview, packed: Packed, values: dict[str, str]) -> dict[str, Any]:
    wish, asked = view.wish, view.settings.asked(view.plan.task)
    resources = {
        "cpu": wish.cpu or asked.cpu,
        "memory_bytes": wish.memory or asked.memory,
        "gpu": view.plan.gpu,
    }
    retry = view.plan.retry
    whole: dict[str, Any] = {
        "snapshot": packed.source.digest,
        "name": wish.name,
        "entry": f"-m {wish.module}" if wish.module else view.place.entry,
        "arguments": list(wish.arguments),
        "task": wish.task,
        "data": [
            {"source": data.source, "snapshot": snapshot.digest, "mount": data.mount}
            for data, snapshot in packed.data
        ],
        "env": dict(wish.env),
        "secrets": values,
        "labels": dict(wish.labels),
        "resources": {name: value for name, value in resources.items() if value is not None},
        "runtime": wish.runtime,
        "timeout_s": view.plan.timeout,
        "retries": retry.attempts - 1,
        "retry_on": None if retry.on == Retry().on else list(retry.on),
        "retry_backoff_s": retry.backoff,
    }
    return {name: value for name, value in whole.items() if value not in (None, [], {})}
