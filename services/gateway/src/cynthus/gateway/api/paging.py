"""Pages of lists."""

from base64 import b64decode, urlsafe_b64encode
from typing import Annotated

from fastapi import Query

from cynthus.web.problems import Refused

PageSize = Annotated[int, Query(ge=1, le=1000)]
PageToken = Annotated[str | None, Query(max_length=1024)]


def encode_token(position: str) -> str:
    """An opaque token for a position."""
    return urlsafe_b64encode(position.encode()).decode()


def decode_token(token: str | None) -> str:
    """The position of a token, empty for none. Raises Refused (422)."""
    try:
        position = b64decode(token or "", altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise _invalid() from error
    if "\0" in position:
        raise _invalid()
    return position


def _invalid() -> Refused:
    return Refused(422, "invalid_page_token", "the page token is none of ours", "Begin without one.")
