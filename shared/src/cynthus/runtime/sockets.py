"""The port a process listens on, taken before anything else so that a conflict is told plainly."""

import errno
import socket


class CannotListen(Exception):
    """The address cannot be had; the message says what to do."""


def listen(host: str, port: int, *, setting: str) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises CannotListen, naming `setting`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise CannotListen(_explanation(error, host, port, setting)) from error
    except OverflowError as error:
        raise CannotListen(f"{port} is no port; set {setting} to a number below 65536") from error


def _explanation(error: OSError, host: str, port: int, setting: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            fix = f"stop the program that listens there, or set {setting} to a free port (0 picks one)"
            return f"port {port} on {host} is taken; {fix}"
        case errno.EACCES:
            return f"port {port} needs root; set {setting} to a port from 1024 up"
        case _:
            return f"cannot listen on {host}:{port}: {error.strerror or error}; set {setting} or its host"
