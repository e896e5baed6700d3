"""URLs that carry their own permission: one object, one method, until a point in time."""

import hmac
from hashlib import sha256
from time import time
from urllib.parse import parse_qs, quote, urlencode


class SignatureRefused(Exception):
    """The URL was changed, is for another method, or has expired."""


class UrlSigner:
    """Signs paths below `base_url` with HMAC-SHA256; the gateway verifies them with the same key."""

    def __init__(self, key: str, base_url: str) -> None:
        self._key = key.encode()
        self._base_url = base_url.rstrip("/")

    def sign(self, object_key: str, *, method: str, ttl_s: float) -> str:
        """A URL for one object and one method."""
        expires = int(time() + ttl_s)
        signature = self._signature(object_key, method, expires)
        query = urlencode({"method": method, "expires": expires, "signature": signature})
        return f"{self._base_url}/{quote(object_key)}?{query}"

    def verify(self, object_key: str, *, method: str, query: str) -> None:
        """Check a request's query. Raises SignatureRefused."""
        fields = {name: values[0] for name, values in parse_qs(query).items()}
        expires = fields.get("expires", "")
        if not (expires.isascii() and expires.isdigit()) or int(expires) < time():
            raise SignatureRefused("the URL has expired")
        expected = self._signature(object_key, method, int(expires))
        if not hmac.compare_digest(expected.encode(), fields.get("signature", "").encode()):
            raise SignatureRefused("the URL is not one we signed")

    def _signature(self, object_key: str, method: str, expires: int) -> str:
        message = f"{method}\n{expires}\n{object_key}".encode()
        return hmac.new(self._key, message, sha256).hexdigest()
