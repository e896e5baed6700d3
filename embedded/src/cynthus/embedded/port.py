"""The address of the platform: the same after a restart, so that workers find it again."""

import os
import socket

from cynthus.embedded.home import Home
from cynthus.runtime.sockets import CannotListen, listen

HOST = "127.0.0.1"
DEFAULT_PORT = 7600
SETTING = "CYNTHUS_PORT"


def take(home: Home) -> socket.socket:
    """The port that was asked for; else the one of last time, the default, or any free one."""
    asked = os.environ.get(SETTING)
    if asked is not None:
        if not asked.isdigit():
            raise CannotListen(f"{SETTING}={asked!r} is no port; set it to a number from 0 to 65535")
        return listen(HOST, int(asked), setting=SETTING)
    for port in (home.described().get("port"), DEFAULT_PORT):
        try:
            if isinstance(port, int):
                return listen(HOST, port, setting=SETTING)
        except CannotListen:
            continue
    return listen(HOST, 0, setting=SETTING)
