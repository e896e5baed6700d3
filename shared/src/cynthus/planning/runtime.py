"""Which runtime a project needs: a process will do, unless its image says otherwise."""

from cynthus.planning.names import nearest
from cynthus.planning.problem import CannotPlan
from cynthus.planning.request import Declared, PlanRequest, Runtime
from cynthus.planning.tree import SourceTree

DOCKERFILE = "Dockerfile"
SHOWN = 3


def own_dockerfile(tree: SourceTree, settings: Declared, request: PlanRequest) -> str | None:
    """The Dockerfile that wins over all else: the declared one, else the one in the project's root."""
    paths = tree.paths()
    if settings.dockerfile is None:
        found = settings.find_dockerfile and DOCKERFILE in paths
        return DOCKERFILE if found and forced(settings, request)[0] != "process" else None
    if settings.dockerfile in paths:
        return settings.dockerfile
    near = nearest(settings.dockerfile, (path for path in paths if "ockerfile" in path))
    raise CannotPlan(
        "dockerfile_missing",
        what=f"{settings.dockerfile} does not exist",
        why=f"{settings.file} names it under [image] dockerfile",
        fix=f"did you mean {near[0]}?"
        if near
        else "create the file, remove the line, or look at the ignore rules",
        candidates=near,
    )


def forced(settings: Declared, request: PlanRequest) -> tuple[Runtime | None, str]:
    """The runtime that was asked for, if any, and by whom."""
    if request.runtime is not None:
        return request.runtime, f"--runtime {request.runtime}"
    return settings.runtime, f'[image] runtime = "{settings.runtime}"'


def chosen(settings: Declared, request: PlanRequest, dockerfile: str | None) -> tuple[Runtime, str]:
    """The runtime and why; CannotPlan when what was asked for cannot run this project."""
    runtime, asked = forced(settings, request)
    need = _need(settings, dockerfile)
    if runtime == "process" and need is not None:
        what, fix = need
        raise CannotPlan(
            "runtime_cannot",
            what="this project cannot run as a process",
            why=f"{what}, and {asked} was asked for",
            fix=f"leave out {asked}, or {fix}",
        )
    if runtime is not None:
        return runtime, asked
    if need is not None:
        return "container", need[0]
    if request.default_runtime == "container":
        return "container", "the platform's default"
    return "process", "nothing needs a container"


def _need(settings: Declared, dockerfile: str | None) -> tuple[str, str] | None:
    """What needs a container, and how to do without."""
    if dockerfile is not None:
        return f"{dockerfile} needs a container", "write dockerfile = false under [image]"
    if settings.apt:
        names = [package.partition("=")[0] for package in settings.apt]
        shown = ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
        return f"{shown} need{'s' if len(names) == 1 else ''} a container", "remove apt under [image]"
    if settings.base is not None:
        return f"the base image {settings.base} needs a container", "remove base under [image]"
    return None
