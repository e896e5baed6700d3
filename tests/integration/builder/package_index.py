"""A package index on this machine: PEP 503 pages, files, a password, and faults on demand."""

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, CANARY = "reader", "canary-7f3e-secret"


@dataclass
class PackageIndex:
    """`faults` are taken one by one for requests of files: a status, or ("cut", bytes)."""

    files: dict[str, bytes] = field(default_factory=dict)
    password: str | None = None
    faults: list[object] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple"

    def file_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/files/{name}"

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self.files[name]).hexdigest()

    def allowed(self, header: str | None) -> bool:
        pair = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        return self.password is None or header == f"Basic {pair}"

    def page(self, project: str) -> bytes | None:
        names = [name for name in self.files if name.split("-")[0].replace("_", "-").lower() == project]
        if not names:
            return None
        links = (f'<a href="/files/{name}#sha256={self.sha256(name)}">{name}</a>' for name in names)
        return f"<!DOCTYPE html><html><body>{' '.join(links)}</body></html>".encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def index(self) -> PackageIndex:
        return self.server.index

    def do_GET(self):
        header = self.headers.get("Authorization")
        self.index.requests.append((self.path, header))
        if not self.index.allowed(header):
            self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="index"'})
        elif self.path.startswith("/simple/"):
            page = self.index.page(self.path.split("/")[2])
            self.answer(404 if page is None else 200, page or b"", {"Content-Type": "text/html"})
        else:
            self.file(self.index.files.get(self.path.rpartition("/")[2]))

    def do_HEAD(self):
        self.do_GET()

    def file(self, data):
        asked = self.headers.get("Range")
        fault = self.index.faults.pop(0) if self.index.faults and self.command == "GET" else None
        if data is None or isinstance(fault, int):
            self.answer(404 if data is None else fault, b"", {"Retry-After": "0"})
            return
        if asked is None:
            self.answer(200, data, {"Accept-Ranges": "bytes"}, fault)
            return
        self.index.ranges.append(asked)
        begin, _, end = asked.removeprefix("bytes=").partition("-")
        first = int(begin) if begin else len(data) - int(end)
        last = int(end) if begin and end else len(data) - 1
        span = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        self.answer(206, data[first : last + 1], span, fault)

    def answer(self, status, body, headers, fault=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if fault is None else body[: fault[1]])
        if fault is not None:
            self.close_connection = True

    def log_message(self, *values):
        pass


@contextmanager
def serving(**values):
    """An index that answers while it is open."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.index = PackageIndex(**values, port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wheel(name: str, version: str, tag: str = "py3-none-any", requires=(), modules=None) -> tuple[str, bytes]:
    """File name and bytes of a small, valid wheel."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {f"{name.replace('-', '_')}/__init__.py": f"version = {version!r}\n", **(modules or {})}
    files[f"{stem}.dist-info/METADATA"] = metadata
    files[f"{stem}.dist-info/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
    )
    files[f"{stem}.dist-info/RECORD"] = "".join(f"{path},,\n" for path in files)
    with io.BytesIO() as data:
        with zipfile.ZipFile(data, "w") as archive:
            for path, text in files.items():
                archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
        return f"{stem}-{tag}.whl", data.getvalue()


def sdist(name: str, version: str, files: dict[str, str]) -> tuple[str, bytes]:
    """File name and bytes of a source distribution."""
    stem = f"{name.replace('-', '_')}-{version}"
    with io.BytesIO() as data:
        with tarfile.open(fileobj=data, mode="w:gz") as archive:
            for path, text in files.items():
                entry = tarfile.TarInfo(f"{stem}/{path}")
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        return f"{stem}.tar.gz", data.getvalue()
