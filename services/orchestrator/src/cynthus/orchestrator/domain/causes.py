"""Why attempts and runs end: stable codes, a sentence, and what to do."""

import signal

from cynthus.events import AttemptExited, Cause

_LOST = "Nothing to do: another attempt is made while the budget lasts."
_OVER = "Nothing of yours is wrong. Try `cynthus rerun`; if it stays, see `cynthus doctor`."
_FIXES = {
    "driver_too_old": "Update the machine's NVIDIA driver, or pin older versions of the GPU libraries.",
    "disk_full": "Write less, or free space on the machine.",
    "engine_restarted": _LOST,
    "image_missing": "Run it again with `cynthus rerun`: the image is then built anew.",
    "lost_machine": _LOST,
    "no_container_engine": "Install Docker or Podman on the machine and start it, or use --runtime process.",
    "no_gpu": "Ask for no GPU, or use a machine that has one.",
    "oom": "Ask for more with --memory, or let the program use less.",
    "preempted": _LOST,
    "registry_unreachable": "If it stays, see `cynthus doctor`: the registry of images does not answer.",
    "signal": "It was ended from outside itself or crashed; the last lines of its log may say more.",
    "timeout": "Give it more time with --timeout, or let it do less.",
    "user_exit": "The last lines of its log say why: `cynthus logs`.",
    "worker_failed": _LOST,
    "worker_stopped": _LOST,
}


def of_exit(exited: AttemptExited) -> Cause | None:
    """The cause a worker named, else one from the exit status; None for a clean exit."""
    if exited.cause is not None:
        return _completed(exited.cause, exited)
    if exited.signal is not None:
        return _by_signal(exited.signal)
    if exited.exit_code == 0:
        return None
    return Cause(
        code="user_exit",
        message=f"The program ended with exit code {exited.exit_code}.",
        fix=_FIXES["user_exit"],
        exit_code=exited.exit_code,
    )


def _completed(cause: Cause, exited: AttemptExited) -> Cause:
    """What the worker said, with what it left out."""
    known = {"exit_code": exited.exit_code, "signal": exited.signal, "fix": _FIXES.get(cause.code)}
    missing = {name: value for name, value in known.items() if getattr(cause, name) is None}
    return cause.model_copy(update=missing)


def _by_signal(number: int) -> Cause:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return Cause(
        code="signal",
        message=f"The program was ended by {name}.",
        fix=_FIXES["signal"],
        signal=number,
    )


def lost(machine: str | None, *evidence: str) -> Cause:
    """The worker was not heard any more."""
    return Cause(
        code="lost_machine",
        message=f"Machine {machine or 'of this attempt'} was not heard from for a whole lease.",
        fix=_LOST,
        evidence=evidence,
    )


def gone(machine: str) -> Cause:
    """The provider says that the machine is no more."""
    return Cause(
        code="lost_machine",
        message=f"Machine {machine} was deleted while the attempt needed it.",
        fix=_LOST,
    )


def not_handled(reason: str) -> Cause:
    """What asked for the run could not be handled."""
    return Cause(
        code="internal_error",
        message="The platform could not handle the request for this run.",
        fix="Nothing of yours is wrong: who runs the platform finds it with `cynthus admin parked ls`.",
        evidence=(reason,),
    )


def with_silence(cause: Cause, silent_s: float | None) -> Cause:
    """The same cause, with the silence that was noticed before."""
    if silent_s is None:
        return cause
    return cause.model_copy(
        update={
            "evidence": (
                *cause.evidence,
                f"its worker had been silent for {silent_s:g} s when its provider was asked",
            )
        }
    )


def not_ready(seconds: float, cause: Cause | None) -> Cause:
    """Code or data did not become ready in time."""
    return Cause(
        code="build_failed",
        message=f"Code and data were not ready after {seconds:.0f} s.",
        fix="Run it again; if it stays, look at the services with `cynthus doctor`.",
        evidence=() if cause is None else (f"{cause.code}: {cause.message}", *cause.evidence),
    )


def no_machine(seconds: float, reason: str | None) -> Cause:
    """No machine came in time."""
    return Cause(
        code="no_capacity",
        message=f"No machine came within {seconds:.0f} s.",
        fix="Ask for less CPU or memory, or wait until other runs are over.",
        evidence=() if reason is None else (reason,),
    )


def never_started(seconds: float, machine: str | None) -> Cause:
    """The worker had its order and did not start the program."""
    return Cause(
        code="worker_failed",
        message=f"Machine {machine} did not start the program within {seconds:.0f} s.",
        fix=_LOST,
    )


def timed_out(seconds: float) -> Cause:
    """The program ran beyond its time-out and the worker did not end it."""
    return Cause(
        code="timeout",
        message=f"The program was still running after {seconds:.0f} s.",
        fix=_FIXES["timeout"],
    )


def never_uploaded(seconds: float) -> Cause:
    """Logs and outputs did not arrive."""
    return Cause(
        code="upload_stalled",
        message=f"Logs and outputs were not complete {seconds:.0f} s after the program ended.",
        fix="Check the network between the machine and the platform; write fewer or smaller outputs.",
    )


def never_stopped(seconds: float) -> Cause:
    """The worker did not confirm that it stopped the program."""
    return Cause(
        code="lost_machine",
        message=f"The machine did not confirm within {seconds:.0f} s that the program was stopped.",
        fix="Nothing to do: the machine is released and its results are not used.",
    )


def out_of_budget(cause: Cause, budget: str, allowed: int) -> Cause:
    """The same cause, saying which budget is used up."""
    tries = f"no attempt is left after {allowed + 1}: the {budget} budget is used up"
    return _but(cause, tries) if allowed else cause


def not_wanted(cause: Cause, kind: str) -> Cause:
    """The same cause, saying that the user wants no other attempt after it."""
    return _but(cause, f"it is not tried again, for `retry` does not name `{kind}`")


def waited_long(cause: Cause, seconds: float) -> Cause:
    """The same cause, saying that there was no machine for too long."""
    return _but(cause, f"no machine was found in {seconds:.0f} s")


def _but(cause: Cause, more: str) -> Cause:
    fix = _OVER if cause.fix == _LOST else cause.fix
    return cause.model_copy(update={"message": f"{cause.message.rstrip('.')}; {more}.", "fix": fix})
