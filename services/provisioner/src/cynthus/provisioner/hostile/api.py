"""The provider's routes: the calls of a platform, and commands for whoever rehearses a disaster."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cynthus.provisioner.hostile.cloud import Wanted
from cynthus.provisioner.hostile.knobs import Call
from cynthus.provisioner.hostile.provider import Provider
from cynthus.provisioner.hostile.refusals import Refusal, invalid, missing
from cynthus.provisioner.hostile.wire import Answer, Request
from cynthus.provisioner.hostile.world import Place

_MOST_WAIT_S = 120.0
_NOT_NOTICED, _NOTICED = "0", "1"


class _Insert(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    labels: dict[str, str] = {}
    metadata: dict[str, str] = {}


class Api:
    """Give `handle` to a Wire."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def handle(self, request: Request) -> Answer:
        """Raises Refusal, Lost."""
        match request.method, *request.path:
            case "GET", "health":
                return Answer({"status": "ok"})
            case "GET", "zones":
                knobs = self._provider.configuration.knobs
                return Answer({"zones": knobs.zones, "lag_s": knobs.lag_s})
            case _, "zones", zone, "instances", *rest:
                return await self._instances(request, zone, rest)
            case "GET", "operations", name:
                return await self._operation(request, name)
            case "GET", "metadata", machine, "instance", "preempted":
                return await self._metadata(request, machine)
            case _:
                return await self._rehearse(request)

    async def _rehearse(self, request: Request) -> Answer:
        match request.method, *request.path:
            case "GET", "ledger":
                return Answer(self._provider.truth())
            case _, "config":
                return self._config(request)
            case "POST", ("heal" | ":heal"):
                self._provider.configuration.heal()
                return Answer(self._provider.configuration.document())
            case "POST", ("clear" | ":clear"):
                await self._provider.vanish(*self._provider.cloud.world.instances)
                return Answer(self._provider.truth())
            case "POST", "machines", command:
                return await self._command(request, command)
            case _:
                raise missing("/".join(request.path))

    async def _instances(self, request: Request, zone: str, rest: list[str]) -> Answer:
        cloud, request_id = self._provider.cloud, request.query.get("requestId")
        match request.method, *rest:
            case ("POST",):
                wanted = _insert(request)
                place = Place(zone, wanted.name)
                asked = Wanted(place, request_id, wanted.labels, wanted.metadata)
                return await self._through("insert", place, lambda: cloud.insert(asked))
            case ("GET",):
                return await self._list(request, zone)
            case "GET", name:
                place = Place(zone, name)
                return await self._through("poll", place, lambda: cloud.instance(place))
            case "DELETE", name:
                place = Place(zone, name)
                return await self._through("delete", place, lambda: cloud.delete(place, request_id))
            case _:
                raise missing("/".join(request.path))

    async def _list(self, request: Request, zone: str) -> Answer:
        label, after = request.query.get("label"), request.query.get("pageToken", "")
        limit = int(_number(request.query.get("maxResults", "0")))
        cloud = self._provider.cloud
        return await self._through("list", Place(zone, ""), lambda: cloud.listing(zone, label, after, limit))

    async def _through(self, call: Call, place: Place, perform: Callable[[], Mapping[str, Any]]) -> Answer:
        return await self._provider.through(call, place, perform)

    async def _operation(self, request: Request, name: str) -> Answer:
        cloud, wait_s = self._provider.cloud, _number(request.query.get("wait_s", "0"))
        known = cloud.operation(name)
        place = Place(known["zone"], known["target"])
        await self._provider.until(lambda: cloud.operation(name)["status"] == "DONE", wait_s)
        return await self._through("poll", place, lambda: cloud.operation(name))

    async def _metadata(self, request: Request, machine: str) -> Answer:
        known = request.query.get("last_etag", _NOT_NOTICED)
        if request.query.get("wait_for_change") == "true" and known == _NOT_NOTICED:
            wait_s = _number(request.query.get("timeout_sec", str(_MOST_WAIT_S)))
            await self._provider.until(lambda: self._provider.is_noticed(machine), wait_s)
        noticed = self._provider.is_noticed(machine)
        headers = {"Metadata-Flavor": "Google", "ETag": _NOTICED if noticed else _NOT_NOTICED}
        return Answer("TRUE" if noticed else "FALSE", headers=headers)

    def _config(self, request: Request) -> Answer:
        configuration = self._provider.configuration
        if request.method == "PUT":
            try:
                configuration.change(request.json())
            except (ValueError, TypeError) as error:
                raise invalid(_explained(error)) from error
        elif request.method != "GET":
            raise Refusal(405, "methodNotAllowed", "GET or PUT")
        return Answer(configuration.document())

    async def _command(self, request: Request, target: str) -> Answer:
        name, _, command = target.partition(":")
        place = self._provider.find(name)
        match command:
            case "vanish":
                await self._provider.vanish(place)
            case "preempt":
                self._provider.preempt(place, _number(request.json().get("notice_s", 0)))
            case _:
                raise missing(target)
        return Answer(self._provider.truth())


def _insert(request: Request) -> _Insert:
    try:
        return _Insert.model_validate(request.json())
    except ValidationError as error:
        raise invalid(_explained(error)) from error


def _explained(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3])
    return str(error)


def _number(given: object) -> float:
    try:
        number = float(str(given))
    except ValueError as error:
        raise invalid(f"'{given}' is not a number") from error
    if not number >= 0:
        raise invalid(f"'{given}' is negative")
    return number
