"""Why a build cannot be finished, in the words of the history."""

import errno

from cynthus.blobs.ports import BlobMissing
from cynthus.blobs.ports import StorageFull as BlobStorageFull
from cynthus.builder.assembly.shipping import LayersLost
from cynthus.builder.domain.build import Failed
from cynthus.builder.domain.image_build import BuildRefused
from cynthus.builder.domain.lock import LockRefused
from cynthus.builder.packing.layer import SourceRefused, WheelRefused
from cynthus.builder.ports import (
    BaseUnavailable,
    NoContainerEngine,
    ResolverUnavailable,
    SourceMissing,
)
from cynthus.events import Cause
from cynthus.oci.descriptor import NotAnImage
from cynthus.oci.ports import (
    BlobsUnknown,
    ContentDamaged,
    ContentUnknown,
    RegistryDenied,
    RegistryUnavailable,
    StorageFull,
)
from cynthus.planning.problem import CannotPlan
from cynthus.snapshots.manifest import ManifestInvalid

_PASSING = frozenset({"base_unreachable", "index_unreachable", "registry_unreachable"})
_AGAIN = "It is tried again by itself; check the network and the registry."
_SUBMIT = "Submit the run again with `cynthus run`."
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def failed(error: Exception) -> Failed | None:
    """What the owner is told, or None for an error of ours."""
    cause = _project(error) or _registry(error)
    if cause is None:
        return None
    return Failed(cause, transient=getattr(error, "transient", False) or cause.code in _PASSING)


def _project(error: Exception) -> Cause | None:
    match error:
        case CannotPlan():
            return Cause(code=error.code, message=f"{error.what}: {error.why}", fix=error.fix)
        case SourceMissing() | BlobMissing():
            return Cause(code="source_missing", message="The project's files are not there.", fix=_SUBMIT)
        case SourceRefused() | ManifestInvalid():
            message = f"The project's snapshot is damaged: {error}."
            return Cause(code="source_invalid", message=message, fix=_SUBMIT)
        case WheelRefused():
            fix = f"Require another version of the package that {error.name} belongs to, or another package."
            return Cause(code="wheel_refused", message=f"A package cannot be used: {error}.", fix=fix)
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
        case _:
            return None


def _registry(error: Exception) -> Cause | None:
    match error:
        case RegistryUnavailable() | ContentDamaged():
            message = "The registry of images cannot be reached."
            return Cause(code="registry_unreachable", message=message, fix=_AGAIN, evidence=(str(error),))
        case ContentUnknown() | BlobsUnknown() | LayersLost():
            message = "The registry of images has lost something that was in it."
            return Cause(code="registry_unreachable", message=message, fix=_AGAIN, evidence=(str(error),))
        case RegistryDenied():
            return Cause(
                code="registry_denied",
                message="The registry of images refuses the builder.",
                fix="The platform's operator sets CYNTHUS_BUILDER_REGISTRY_USERNAME and _PASSWORD.",
                evidence=(str(error),),
            )
        case NotAnImage():
            return Cause(
                code="registry_refused",
                message="The registry of images does not take this image.",
                fix="The platform's operator looks at the evidence and at the registry's log.",
                evidence=(str(error),),
            )
        case StorageFull() | BlobStorageFull():
            return _full(str(error))
        case OSError() if error.errno in _NO_ROOM:
            return _full(error.strerror or "")
        case _:
            return None


def _full(why: str) -> Cause:
    return Cause(
        code="storage_full",
        message="There is no room left for images.",
        fix="The platform's operator frees space on its disk; then run it again.",
        evidence=(why,),
    )
