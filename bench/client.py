"""The HTTP client of all benchmarks: one kept-alive connection, as little work of its own as possible."""

import json
import select
import socket
import time
from urllib.parse import urlsplit


class Client:
    """Speaks JSON to one server. Not for use by several threads."""

    def __init__(self, url, token=None, timeout_s=60):
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._timeout_s = timeout_s
        self._fixed = f"Host: {parts.netloc}\r\nAccept: application/json\r\n"
        if token:
            self._fixed += f"Authorization: Bearer {token}\r\n"
        self._socket = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None

    def call(self, method, path, body=None, headers=""):
        """(status, raw body). `body`: bytes, or anything JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        head = (
            f"{method} {path} HTTP/1.1\r\n{self._fixed}{headers}"
            f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self._connect()
        self._socket.sendall(head.encode() + data)
        return self._answer()

    def json(self, method, path, body=None, headers=""):
        """The answer of a call that succeeds."""
        status, content = self.call(method, path, body, headers)
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path}: {status} {content[:500].decode(errors='replace')}")
        return json.loads(content) if content else None

    def _connect(self):
        if self._socket is not None and select.select([self._socket], [], [], 0)[0]:
            self.close()  # a server ends connections that were idle for seconds
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=self._timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._file = self._socket.makefile("rb")

    def _answer(self):
        status = int(self._file.readline().split(None, 2)[1])
        length, chunked, closing = 0, False, False
        while (line := self._file.readline().strip().lower()) != b"":
            name, _, value = line.partition(b":")
            if name == b"content-length":
                length = int(value)
            chunked |= name == b"transfer-encoding" and b"chunked" in value
            closing |= name == b"connection" and b"close" in value
        content = self._chunks() if chunked else self._file.read(length)
        if closing:
            self.close()
        return status, content

    def _chunks(self):
        parts = []
        while size := int(self._file.readline().split(b";")[0], 16):
            parts.append(self._file.read(size))
            self._file.readline()
        self._file.readline()
        return b"".join(parts)


def wait_until_answers(url, path, process=None, timeout_s=60):
    """Seconds until `path` answers 200."""
    start = time.perf_counter()
    while time.perf_counter() - start < timeout_s:
        try:
            with Client(url, timeout_s=5) as client:
                if client.call("GET", path)[0] == 200:
                    return time.perf_counter() - start
        except (OSError, IndexError, ValueError):
            pass
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{url} ended with {process.returncode} before it was ready")
        time.sleep(0.01)
    raise TimeoutError(f"{url}{path} did not answer within {timeout_s} s")
