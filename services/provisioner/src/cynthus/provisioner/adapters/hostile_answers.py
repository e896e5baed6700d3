"""What the hostile provider's answers mean. An answer that makes no sense is no answer."""

from dataclasses import dataclass
from typing import Any, NoReturn

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cynthus.provisioner.ports import (
    Listed,
    MachineRefused,
    NoCapacity,
    OutOfStock,
    ProviderAway,
    QuotaReached,
    Standing,
    Throttled,
)

_STANDINGS = {
    "PROVISIONING": Standing.COMING,
    "STAGING": Standing.COMING,
    "RUNNING": Standing.RUNNING,
    "STOPPING": Standing.LEAVING,
    "TERMINATED": Standing.LEAVING,
}
_TOO_OFTEN = 429
_CLIENT_ERRORS = range(400, 500)


class _Item(BaseModel):
    name: str
    zone: str
    status: str


class _Page(BaseModel):
    items: list[_Item]
    zones: tuple[str, ...] = Field(min_length=1)
    lag_s: float = Field(ge=0)
    next_page: str | None = Field(default=None, alias="nextPageToken")


class _Problem(BaseModel):
    code: str
    message: str = ""


class _Problems(BaseModel):
    errors: list[_Problem] = Field(min_length=1)


class _Operation(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str
    status: str
    error: _Problems | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing."""

    machines: tuple[Listed, ...]
    zones: tuple[str, ...]
    lag_s: float
    next: str | None

    @classmethod
    def read(cls, document: dict[str, Any]) -> "Page":
        """Raises ProviderAway."""
        try:
            page = _Page.model_validate(document)
            machines = tuple(Listed(item.name, item.zone, _STANDINGS[item.status]) for item in page.items)
        except (ValidationError, KeyError) as error:
            raise ProviderAway("the listing makes no sense") from error
        return cls(machines, page.zones, page.lag_s, page.next_page)


@dataclass(frozen=True, slots=True)
class Step:
    """Where an operation stands; `code` is its error's, once it is done."""

    name: str
    done: bool
    code: str | None = None
    message: str = ""

    @classmethod
    def read(cls, document: dict[str, Any]) -> "Step":
        """Raises ProviderAway."""
        try:
            operation = _Operation.model_validate(document)
        except ValidationError as error:
            raise ProviderAway("the operation makes no sense") from error
        if operation.error is None:
            return cls(operation.name, operation.status == "DONE")
        first = operation.error.errors[0]
        return cls(operation.name, done=True, code=first.code, message=first.message)


def document_of(answer: httpx2.Response) -> dict[str, Any]:
    """The JSON object in an answer. Raises what its status means."""
    if answer.status_code == _TOO_OFTEN:
        raise Throttled(reason_of(answer) or "asked too often", _seconds(answer.headers.get("retry-after")))
    if answer.status_code in _CLIENT_ERRORS:
        _raise_for_reason(answer)
    if not answer.is_success:
        raise ProviderAway(f"status {answer.status_code}")
    try:
        document = answer.json()
    except ValueError as error:
        raise ProviderAway("the answer is not JSON") from error
    if not isinstance(document, dict):
        raise ProviderAway("the answer is not an object")
    return document


def raise_for_operation(step: Step) -> None:
    """Raise what the operation's error means, if it has one."""
    if step.code is None:
        return
    told = f"{step.code}: {step.message}"
    if step.code.startswith("ZONE_RESOURCE_POOL_EXHAUSTED"):
        raise OutOfStock(told)
    if step.code == "QUOTA_EXCEEDED":
        raise QuotaReached(told)
    raise NoCapacity(told)


def reason_of(answer: httpx2.Response) -> str:
    """The reason in an error's body; empty when there is none."""
    try:
        reason = answer.json()["error"]["errors"][0]["reason"]
    except (ValueError, LookupError, TypeError):
        return ""
    return str(reason)


def _raise_for_reason(answer: httpx2.Response) -> NoReturn:
    reason = reason_of(answer)
    try:
        told = f"{reason}: {answer.json()['error']['message']}"
    except (ValueError, LookupError, TypeError):
        told = f"status {answer.status_code}"
    if reason == "quotaExceeded":
        raise QuotaReached(told)
    if reason == "rateLimitExceeded":
        raise Throttled(told)
    raise MachineRefused(told)


def _seconds(given: str | None) -> float | None:
    try:
        seconds = float(given or "")
    except ValueError:
        return None
    return seconds if seconds >= 0 else None
