"""How the provider says no, in the shape of Compute Engine's errors."""

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(
        self, status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """As it is sent."""
        listed = [{"reason": self.reason, "message": str(self)}]
        return {"error": {"code": self.status, "message": str(self), "errors": listed}}


class Lost(Exception):
    """No answer: the connection is cut after so many seconds."""

    def __init__(self, after_s: float) -> None:
        super().__init__(after_s)
        self.after_s = after_s


def missing(what: str) -> Refusal:
    """404."""
    return Refusal(404, "notFound", f"The resource '{what}' was not found")


def invalid(message: str) -> Refusal:
    """400."""
    return Refusal(400, "invalid", message)


_EXHAUSTED = "The zone does not have enough resources available to fulfill the request"
OPERATION_MESSAGES = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": f"{_EXHAUSTED}.",
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": f"{_EXHAUSTED}, (resource type: compute).",
    "QUOTA_EXCEEDED": "Quota 'INSTANCES' exceeded.",
}
