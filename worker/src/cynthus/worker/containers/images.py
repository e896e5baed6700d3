"""Gets the image of an order onto the machine."""

from urllib.parse import urlsplit

from cynthus.containers.engine import Credentials, Engine, ImageFacts
from cynthus.containers.errors import EngineUnavailable, ImageUnknown, PullRefused
from cynthus.worker.causes import AttemptFailed, Cause, full, is_full
from cynthus.worker.control import Control
from cynthus.worker.link import deadline, delays
from cynthus.worker.orders import OrderInvalid, RegistryAccess, WorkOrder

_PATIENCE_S = 60.0
_MOST_DELAY_S = 5.0
_MISSING = ("not found", "manifest unknown", "name unknown", "does not exist", "no such image")
_DENIED = ("denied", "unauthorized", "authentication required", "forbidden")
_TRY_LATER = "Run it again later; see `cynthus doctor`: the registry of images does not answer."


def reference_of(order: WorkOrder) -> str:
    """host/repository@digest: the environment for images packed here, else the whole image."""
    image, registry = order.image, order.registry
    digest = image.environment if image.kind == "oci" and image.environment else image.digest
    if registry is None or not image.repository or not digest.startswith("sha256:"):
        raise OrderInvalid("the order names no image in a registry")
    return f"{urlsplit(registry.url).netloc}/{image.repository}@{digest}"


def ensure(engine: Engine, order: WorkOrder, control: Control) -> ImageFacts:
    """The image, pulled if need be. Raises AttemptFailed, OrderInvalid, Dropped, Stopped."""
    reference, registry = reference_of(order), order.registry
    assert registry is not None
    over = deadline(_PATIENCE_S)
    for delay in delays(0.2, _MOST_DELAY_S):
        try:
            return engine.image(reference)
        except ImageUnknown:
            pass
        except EngineUnavailable as error:
            if over():
                raise AttemptFailed(away(error)) from error
        try:
            _pull(engine, reference, order, control)
        except (PullRefused, EngineUnavailable) as refusal:
            cause = _refusal(refusal, reference)
            if cause.code != "registry_unreachable" or over():
                raise AttemptFailed(cause) from refusal
            control.check()
            control.pause(delay)
    raise AssertionError("delays never end")


def prefetch(engine: Engine, access: RegistryAccess, repository: str, digest: str) -> None:
    """Fetch an image that an order may build on. Raises PullRefused, EngineUnavailable."""
    reference = f"{urlsplit(access.url).netloc}/{repository}@{digest}"
    try:
        engine.image(reference)
    except ImageUnknown:
        engine.pull(reference, _credentials(access), insecure=_insecure(access))


def away(error: Exception) -> Cause:
    """The engine does not answer."""
    return Cause("engine_restarted", "the machine's container engine does not answer", None, (str(error),))


def _pull(engine: Engine, reference: str, order: WorkOrder, control: Control) -> None:
    registry = order.registry
    assert registry is not None
    engine.pull(
        reference,
        _credentials(registry),
        insecure=_insecure(registry),
        told=lambda _: control.check(),
    )


def _credentials(access: RegistryAccess) -> Credentials | None:
    if not access.password:
        return None
    return Credentials(urlsplit(access.url).netloc, access.username, access.password)


def _insecure(access: RegistryAccess) -> bool:
    return access.url.startswith("http://")


def _refusal(refusal: Exception, reference: str) -> Cause:
    said = str(refusal)
    evidence = (f"{reference}: {said}",)
    if is_full(said):
        return full("the image", evidence)
    if any(sign in said.lower() for sign in (*_MISSING, *_DENIED)):
        fix = "Run it again with `cynthus rerun`: the image is then built anew."
        return Cause("image_missing", "the run's image is not in the registry", fix, evidence)
    return Cause("registry_unreachable", "the run's image could not be fetched", _TRY_LATER, evidence)
