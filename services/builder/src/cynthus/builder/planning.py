"""A plan for an uploaded snapshot: the same planning as on the client, on the files that really arrived."""

from cynthus.builder.domain.build import separable
from cynthus.events import RunSpec
from cynthus.planning import CannotPlan, Plan, PlanRequest, SourceTree, plan
from cynthus.planning.request import Runtime
from cynthus.spec import SpecInvalid, declared, load_spec, reader


def plan_snapshot(
    tree: SourceTree, spec: RunSpec, default_python: str, default_runtime: Runtime = "process"
) -> Plan:
    """Blocking: for a thread. Raises CannotPlan."""
    try:
        found = load_spec(reader(tree))
    except SpecInvalid as error:
        first = error.problems[0]
        where = f"{first.file}:{first.line}"
        raise CannotPlan("spec_invalid", what=where, why=first.what, fix=first.fix, where=where) from error
    request = PlanRequest(
        entry=spec.entry,
        args=() if separable(spec) else spec.arguments,
        task=spec.task,
        declared=declared(*found) if found is not None else None,
        default_python=default_python,
        gpu=spec.resources.gpu,
        runtime=_runtime(spec),
        default_runtime=default_runtime,
    )
    return plan(tree, request)


def _runtime(spec: RunSpec) -> Runtime | None:
    match spec.runtime:
        case "process" | "container" as asked:
            return asked
        case _:
            return None
