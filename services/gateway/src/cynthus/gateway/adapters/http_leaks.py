"""Machines left behind, asked of the provisioner over HTTP."""

import orjson

from cynthus.gateway.domain.problems import MachinesUnavailable
from cynthus.gateway.ports import Document
from cynthus.web.calls import Reply, ServiceCalls, ServiceSilent

_PATH = "/internal/v1/leaks"
_TIMEOUT_S = 30.0
"""The provider is asked first."""


class HttpLeaks:
    """Asks the provisioner; None: nobody said where it is."""

    def __init__(self, provisioner: ServiceCalls | None, internal_token: str) -> None:
        self._provisioner = provisioner
        self._headers = {"Authorization": f"Bearer {internal_token}"}

    async def now(self) -> Document:
        """The leaks of this moment."""
        if self._provisioner is None:
            raise MachinesUnavailable("the gateway was not told where the provisioner is")
        try:
            reply = await self._provisioner.ask("GET", _PATH, {}, self._headers, timeout_s=_TIMEOUT_S)
        except ServiceSilent as error:
            raise MachinesUnavailable("the provisioner cannot be reached now") from error
        if not reply.ok:
            raise MachinesUnavailable(f"the provisioner answered {reply.status}{_said(reply)}")
        if not reply.body.startswith(b"{"):
            raise MachinesUnavailable("the provisioner gave an answer that is no JSON object")
        return Document(reply.body)


def _said(reply: Reply) -> str:
    try:
        return f": {orjson.loads(reply.body)['detail']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
