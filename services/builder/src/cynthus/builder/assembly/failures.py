"""Why a build cannot be finished, in the words of the history."""

from cynthus.builder.domain.build import Failed
from cynthus.builder.domain.image_build import BuildRefused
from cynthus.builder.domain.lock import LockRefused
from cynthus.builder.ports import (
    BaseUnavailable,
    NoContainerEngine,
    ResolverUnavailable,
    SourceMissing,
)
from cynthus.events import Cause
from cynthus.oci.ports import ContentDamaged, RegistryDenied, RegistryUnavailable, StorageFull
from cynthus.planning.problem import CannotPlan

_PASSING = frozenset({"base_unreachable", "index_unreachable", "registry_unreachable"})
_AGAIN = "It is tried again by itself; check the network and the registry."


def failed(error: Exception) -> Failed | None:
    """What the owner is told, or None for an error of ours."""
    cause = _cause(error)
    if cause is None:
        return None
    return Failed(cause, transient=getattr(error, "transient", False) or cause.code in _PASSING)


def _cause(error: Exception) -> Cause | None:
    match error:
        case CannotPlan():
            return Cause(code=error.code, message=f"{error.what}: {error.why}", fix=error.fix)
        case SourceMissing():
            message = "The project's files are not there."
            return Cause(
                code="source_missing", message=message, fix="Submit the run again with `cynthus run`."
            )
        case LockRefused() | BuildRefused():
            return Cause(code=error.code, message=error.message, fix=error.fix, evidence=error.evidence)
        case BaseUnavailable():
            return Cause(code=error.code, message=error.message, fix=error.fix)
        case NoContainerEngine():
            return Cause(code="no_container_engine", message=f"{error}.", fix=error.fix)
        case ResolverUnavailable():
            return Cause(
                code="index_unreachable", message=error.message, fix=error.fix, evidence=(str(error),)
            )
        case RegistryUnavailable() | ContentDamaged():
            message = "The registry of images cannot be reached."
            return Cause(code="registry_unreachable", message=message, fix=_AGAIN, evidence=(str(error),))
        case RegistryDenied():
            return Cause(
                code="registry_denied",
                message="The registry of images refuses the builder.",
                fix="The platform's operator sets CYNTHUS_BUILDER_REGISTRY_USERNAME and _PASSWORD.",
                evidence=(str(error),),
            )
        case StorageFull():
            return Cause(
                code="storage_full",
                message="There is no room left for images.",
                fix="Free space on the platform's disk.",
                evidence=(str(error),),
            )
        case _:
            return None
