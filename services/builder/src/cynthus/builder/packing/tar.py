"""Tar entries whose bytes depend on nothing but their arguments: ustar, and pax where ustar cannot say it."""

from typing import Final

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)

_FILE, _LINK, _FOLDER, _PAX = b"0", b"2", b"5", b"x"
_NAME, _PREFIX = 100, 155
_LARGEST = 8**11 - 1
_OWNED_BY_ROOT = (0, 0)


def file(path: str, size: int, mode: int, owner: tuple[int, int] = _OWNED_BY_ROOT) -> bytes:
    """The header of a file of `size` bytes, which follow it, and then padding(size)."""
    return _entry(path, _FILE, mode, owner, size=size)


def folder(path: str, mode: int = 0o755, owner: tuple[int, int] = _OWNED_BY_ROOT) -> bytes:
    """The header of a folder; `path` without a slash at its end."""
    return _entry(f"{path}/", _FOLDER, mode, owner)


def link(path: str, target: str, owner: tuple[int, int] = _OWNED_BY_ROOT) -> bytes:
    """The header of a symbolic link."""
    return _entry(path, _LINK, 0o777, owner, target=target)


def padding(size: int) -> bytes:
    """The zeros that fill up the last block of a file."""
    return bytes(-size % BLOCK)


def _entry(
    path: str, kind: bytes, mode: int, owner: tuple[int, int], *, size: int = 0, target: str = ""
) -> bytes:
    records: dict[str, str] = {}
    name = path.encode()
    split = _split(name)
    if split is None:
        records["path"] = path
        split = b"", _replacement(name)
    link_target = target.encode()
    if len(link_target) > _NAME or not link_target.isascii():
        records["linkpath"] = target
        link_target = _replacement(link_target)
    if size > _LARGEST:
        records["size"] = str(size)
    header = _header(split, kind, mode, owner, size=0 if "size" in records else size, target=link_target)
    return _pax(records) + header if records else header


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Into ustar's prefix and name; None where they cannot hold it."""
    if not name.isascii():
        return None
    if len(name) <= _NAME:
        return b"", name
    slash = name.find(b"/", len(name) - _NAME - 1, len(name) - 1)
    return (name[:slash], name[slash + 1 :]) if 0 < slash <= _PREFIX else None


def _replacement(name: bytes) -> bytes:
    """For readers that do not know pax."""
    return name.translate(_TO_ASCII)[-_NAME:]


def _pax(records: dict[str, str]) -> bytes:
    body = b"".join(_record(key, value) for key, value in sorted(records.items()))
    return (
        _header((b"", b"pax"), _PAX, 0o644, _OWNED_BY_ROOT, size=len(body), target=b"")
        + body
        + padding(len(body))
    )


def _record(key: str, value: str) -> bytes:
    text = f" {key}={value}\n".encode()
    length = len(text) + len(str(len(text)))
    if len(str(length)) > len(str(len(text))):
        length += 1
    return str(length).encode() + text


def _header(
    name: tuple[bytes, bytes], kind: bytes, mode: int, owner: tuple[int, int], *, size: int, target: bytes
) -> bytes:
    fields = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%b" % (
        name[1].ljust(_NAME, b"\0"), mode, *owner, size, 0, kind, target.ljust(_NAME, b"\0"),
    )  # fmt: skip
    # magic, version, no names of users and groups, no device numbers
    block = (fields + b"ustar\x0000" + bytes(80) + name[0]).ljust(BLOCK, b"\0")
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


_TO_ASCII = bytes(byte if byte < 128 else ord("_") for byte in range(256))  # noqa: PLR2004 (ASCII)
