"""Why a run stands as it does: its chain of facts, each with a plain sentence."""

from typing import Any, cast

from cynthus.events import Cause, Event, RetryScheduled
from cynthus.orchestrator.api.resources import event_resource, when_again
from cynthus.orchestrator.domain.run import Run
from cynthus.orchestrator.handlers.past import Link

_TEXTS = {
    "run.requested": "{owner} asked for the run.",
    "run.queued": "The orchestrator took the run over.",
    "run.cancel-requested": "The run was to be stopped: {reason}.",
    "image.built": "The code was made ready.",
    "build.failed": "The code could not be made ready. {cause}",
    "dataset.ready": "The data was made ready.",
    "dataset.failed": "The data could not be made ready. {cause}",
    "machine.requested": "Attempt {epoch} asked for a machine.",
    "machine.delayed": "Attempt {epoch} had to wait for a machine: {reason}.",
    "vm.ready": "Machine {machine} was there for attempt {epoch}.",
    "vm.failed": "No machine could be had for attempt {epoch}. {cause}",
    "vm.lost": "The provider no longer has machine {machine} of attempt {epoch}. {cause}",
    "vm.deleted": "Machine {machine} was deleted.",
    "attempt.started": "Attempt {epoch} ran on {machine}.",
    "attempt.suspected": "Machine {machine} of attempt {epoch} was silent for {silent_s:g} s.",
    "attempt.lost": "Attempt {epoch} was given up. {cause}",
    "run.retry-scheduled": "Attempt {epoch} was to be followed by another {when}. {cause}",
    "logs.sealed": "The log of attempt {epoch} was complete.",
    "outputs.committed": "The outputs of attempt {epoch} were complete: {files} files, {bytes} bytes.",
    "run.succeeded": "The run succeeded.",
    "run.failed": "The run failed. {cause}",
    "run.cancelled": "The run was cancelled: {reason}.",
}


def why_resource(run: Run, chain: list[Link]) -> dict[str, Any]:
    """The chain that led to the present state, newest last."""
    return {"run": run.id, "state": run.state, "chain": [_link(link) for link in chain]}


def _link(link: Link) -> dict[str, Any]:
    shown = event_resource(link.fact)
    taken = {name: shown[name] for name in ("version", "id", "time", "kind", "actor", "data")}
    return taken | {"text": sentence(link.fact.envelope.event), "because": list(link.because)}


def sentence(event: Event) -> str:
    """What happened, for people."""
    if event.kind == "attempt.exited":
        return _exit(event)
    values = {name: getattr(event, name) for name in type(event).model_fields}
    if isinstance(event, RetryScheduled):
        values["when"] = when_again(event)
    if isinstance(values.get("cause"), Cause):
        values["cause"] = _said(values["cause"])
    return _TEXTS.get(event.kind, event.kind).format(**values).strip()


def _exit(event: Event) -> str:
    number, code = getattr(event, "signal", None), getattr(event, "exit_code", None)
    how = f"signal {number}" if number is not None else f"exit code {code}"
    cause = cast("Cause | None", getattr(event, "cause", None))
    ended = f"The program of attempt {getattr(event, 'epoch', '')} ended with {how}."
    return ended if cause is None else f"{ended} {_said(cause)}"


def _said(cause: Cause) -> str:
    return f"{cause.code}: {cause.message.rstrip('.')}."
