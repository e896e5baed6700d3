"""Whether a concurrent history could have come from a sequential model: Wing and Gong's search, with Lowe's
memory of situations that were tried before.

An operation took effect at one instant between its call and its return. One without an answer may have
taken effect at any time after its call, or never.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Operation:
    """A call and what came of it; `returned` is NEVER and `result` None when there was no answer."""

    name: str
    called: float
    returned: float
    argument: Any = None
    result: Any = None
    where: str = ""

    @property
    def pending(self) -> bool:
        return self.returned == NEVER

    def forgotten(self) -> "Operation":
        """The same without its answer."""
        return replace(self, returned=NEVER, result=None)


State = TypeVar("State", bound=Hashable)
Model = Callable[[State, Operation], Sequence[State]]
"""The states an operation may lead to from a state; none when it cannot have had this result there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`order` is one that explains the history; else `stuck` are operations that fit nowhere."""

    linearizable: bool
    order: tuple[Operation, ...] = ()
    stuck: tuple[Operation, ...] = ()


def check(history: Sequence[Operation], model: Model[State], initial: State) -> Verdict:
    """Search for an order of the operations that the model allows."""
    search = _Search(sorted(history, key=lambda operation: operation.called), model, initial)
    return search.run()


class _Search(Generic[State]):
    """Depth first. `done` is a set of operations as bits, `path` each step with what else was possible."""

    def __init__(self, operations: list[Operation], model: Model[State], initial: State) -> None:
        self._operations = operations
        self._model = model
        self._done, self._state = 0, initial
        self._needed = sum(1 << index for index, one in enumerate(operations) if not one.pending)
        self._tried: set[tuple[int, State]] = {(0, initial)}
        self._path: list[tuple[int, State, list[tuple[int, State]]]] = []
        self._furthest = 0

    def run(self) -> Verdict:
        choices = self._choices()
        while self._done & self._needed != self._needed:
            step = self._untried(choices)
            if step is not None:
                self._path.append((step[0], self._state, choices))
                self._done, self._state = self._done | 1 << step[0], step[1]
                self._furthest = max(self._furthest, self._done & self._needed, key=int.bit_count)
                choices = self._choices()
            elif self._path:
                index, self._state, choices = self._path.pop()
                self._done &= ~(1 << index)
            else:
                return Verdict(linearizable=False, stuck=self._stuck())
        return Verdict(linearizable=True, order=tuple(self._operations[step[0]] for step in self._path))

    def _choices(self) -> list[tuple[int, State]]:
        """What may be next: whatever was called before the first return of those that are left."""
        first_return = NEVER
        left = []
        for index, operation in enumerate(self._operations):
            if operation.called > first_return:
                break
            if not self._done >> index & 1:
                left.append(index)
                first_return = min(first_return, operation.returned)
        found: list[tuple[int, State]] = []
        for index in left:
            operation = self._operations[index]
            if operation.called > first_return:
                continue
            after = self._model(self._state, operation)
            if len(after) == 1 and after[0] == self._state:
                if operation.pending:
                    continue
                return [(index, self._state)]  # it changes nothing, so that now is as good as later
            found += [(index, state) for state in after]
        found.reverse()
        return found

    def _untried(self, choices: list[tuple[int, State]]) -> tuple[int, State] | None:
        """The next choice that leads to a new situation; those before it are used up."""
        while choices:
            index, after = choices.pop()
            situation = (self._done | 1 << index, after)
            if situation not in self._tried:
                self._tried.add(situation)
                return index, after
        return None

    def _stuck(self) -> tuple[Operation, ...]:
        """Those that the longest attempt at an order had no place for, earliest first."""
        left = self._needed & ~self._furthest
        return tuple(one for index, one in enumerate(self._operations) if left >> index & 1)[:3]
