"""Images, asked of the builder over HTTP."""

from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

import orjson

from cynthus.gateway.domain.problems import DocumentMissing, ImageAmbiguous, ImageMissing, ImagesUnavailable
from cynthus.gateway.ports import Document, PageTokenInvalid
from cynthus.web.calls import Query, Reply, ServiceCalls, ServiceSilent

_IMAGES = "/internal/v1/images"
_TIMEOUT_S = 10.0
_REFUSALS: dict[str, Callable[[str], Exception]] = {
    "document_missing": DocumentMissing,
    "image_ambiguous": ImageAmbiguous,
    "image_missing": lambda _: ImageMissing("there is no such image"),
    "invalid_page_token": PageTokenInvalid,
}


class HttpImages:
    """Asks the builder; None: nobody said where it is."""

    def __init__(self, builder: ServiceCalls | None, internal_token: str) -> None:
        self._builder = builder
        self._headers = {"Authorization": f"Bearer {internal_token}"}

    async def list(
        self, owner: str, *, project: str | None, page_size: int, page_token: str | None
    ) -> Document:
        """A page of images."""
        single = {"project": project, "page_token": page_token}
        chosen = {name: value for name, value in single.items() if value is not None}
        return await self._get(_IMAGES, {"owner": owner, "page_size": page_size, **chosen})

    async def find(self, owner: str, digest: str) -> Document:
        """One Image resource."""
        return await self._get(_path(digest), {"owner": owner})

    async def document(self, owner: str, digest: str, kind: Literal["sbom", "provenance"]) -> Document:
        """What was recorded of an image."""
        return await self._get(f"{_path(digest)}/{kind}", {"owner": owner})

    async def _get(self, path: str, query: Query) -> Document:
        if self._builder is None:
            raise ImagesUnavailable("the gateway was not told where the builder is")
        try:
            reply = await self._builder.ask("GET", path, query, self._headers, timeout_s=_TIMEOUT_S)
        except ServiceSilent as error:
            raise ImagesUnavailable("the builder cannot be reached now") from error
        if not reply.ok:
            raise _refusal(reply)
        return Document(reply.body)


def _path(digest: str) -> str:
    return f"{_IMAGES}/{quote(digest, safe=':')}"


def _refusal(reply: Reply) -> Exception:
    try:
        told = orjson.loads(reply.body)
        return _REFUSALS[told["code"]](told["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ImagesUnavailable(f"the builder answered {reply.status}")
