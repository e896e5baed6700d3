"""The table of causes as a document, docs/causes.md: run as a module, it prints it."""

import sys

from cynthus.orchestrator.domain.kinds import BUDGETS, TABLE, Entry, Kind
from cynthus.orchestrator.domain.limits import Limits

_INTRODUCTION = """\
# Causes

Generated from `services/orchestrator/src/cynthus/orchestrator/domain/kinds.py` by `make docs`; do not edit.

Every attempt and every run that does not succeed names its cause: a stable code, a sentence, what to do,
and the evidence. The code has a kind, and the kind decides whether another attempt is made, and out of
whose budget: no kind burns the budget of another.

| kind | budget | attempts after the first | wait before the next attempt |
|---|---|---|---|
| `failure` | user | `retry.attempts` less one, or `--retries` (default 0) | `retry.backoff`; \
without it none, then {base:g} s |
| `preemption` | preemption | {preemption} | none, then {base:g} s |
| `infra` | infrastructure | {infrastructure} | none, then {base:g} s |
| `no_capacity` | capacity | {capacity}, and at most {days:g} days | {base:g} s |
| `permanent` | | none: the run ends at once | |

Each further wait of a budget is twice as long, at most {cap:g} s (or `retry.backoff`, if that is longer), and
spread by up to a quarter.

`retry = {{ attempts = 3 }}` and `--retries 2` mean what they say: a program that fails is tried again, twice.
They do not count machines that are lost or taken away. `retry.on` names the kinds after which another
attempt is made; without it all do. A kind that is left out ends the run at once: with
`on = ["preemption"]` a program that fails is not tried again, and neither is one whose machine broke.
`--retries` on the command line adds `failure` to them.

| code | kind | budget | why |
|---|---|---|---|
"""
_REST = """
A code that is not in the table is the program's (`failure`) when its worker named it as the program's end,
`no_capacity` when the provisioner told it, else `infra`. What the provisioner or the builder call final is
`permanent` whatever its code. Where the wait is marked as slow, not even the first repetition comes at once.

After {machine} the machine is deleted and given to no other attempt; likewise after `disk_full` before the
program began, whatever the cause when its worker was not heard, and when it let a deadline pass.
"""


def document() -> str:
    """The whole text."""
    limits = Limits()
    head = _INTRODUCTION.format(
        base=limits.backoff_s,
        cap=limits.backoff_cap_s,
        preemption=limits.preemption_retries,
        infrastructure=limits.infrastructure_retries,
        capacity=limits.capacity_retries,
        days=limits.delayed_s / 86400,
    )
    order = list(Kind)
    known = sorted(TABLE.items(), key=lambda item: (order.index(item[1].kind), item[0]))
    machine = ", ".join(f"`{code}`" for code, entry in sorted(TABLE.items()) if entry.machine)
    return head + "".join(_row(code, entry) for code, entry in known) + _REST.format(machine=machine)


def _row(code: str, entry: Entry) -> str:
    slow = " (slow)" if entry.slow else ""
    return f"| `{code}` | `{entry.kind}` | {BUDGETS.get(entry.kind, '')} | {entry.why}{slow} |\n"


if __name__ == "__main__":
    sys.stdout.write(document())
