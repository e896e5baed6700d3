"""Whether the code's imports can be met in the image, tried before any machine is paid for."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Protocol

from cynthus.builder.assembly.phases import Phases
from cynthus.builder.domain.image import Document, Layer
from cynthus.builder.ports import ImportProblem, ImportsFailed, ImportTrial, Index
from cynthus.planning.document import Plan

_KIND = "imports"
_VERSION = 1


class Environment(Protocol):
    """What the modules are imported in."""

    @property
    def layers(self) -> Sequence[Layer]:
        """All layers above the base."""
        ...


class ImportChecks:
    """Tries each set of modules once in each environment."""

    def __init__(self, trial: ImportTrial, index: Index, *, enabled: bool = True) -> None:
        self._trial = trial
        self._index = index
        self._enabled = enabled

    async def check(
        self, plan: Plan, environment: Document, layers: Sequence[Layer], repository: str, phases: Phases
    ) -> None:
        """Raises ImportsFailed. What cannot be tried here is not held against the project."""
        if not (self._enabled and plan.import_check and plan.modules):
            return
        names = "\n".join([str(_VERSION), environment.digest, *plan.modules])
        key = hashlib.sha256(names.encode()).hexdigest()
        with phases.timed("imports"):
            found = await self._index.known(_KIND, key)
            if found is None:
                problems = await self._trial.try_imports(repository, layers, plan.python, plan.modules)
                if problems is None:
                    return
                found = [asdict(problem) for problem in problems]
                await self._index.learn(_KIND, key, found)
        if found:
            raise _refusal([ImportProblem(**{**one, "evidence": tuple(one["evidence"])}) for one in found])


def _refusal(problems: Sequence[ImportProblem]) -> ImportsFailed:
    first = problems[0]
    others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = f"import {first.module} fails in the image: {first.why}{others}"
    fixes = dict.fromkeys(problem.fix for problem in problems)
    evidence = tuple(line for problem in problems for line in problem.evidence)
    return ImportsFailed("import_failed", message, "; ".join(fixes), evidence)
