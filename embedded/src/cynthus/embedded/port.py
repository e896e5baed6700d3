"""The address of the platform: the same after a restart, so that workers find it again."""

import os
import socket

from cynthus.embedded.home import Home
from cynthus.runtime.sockets import CannotListen, listen

HOST = "127.0.0.1"
DEFAULT_PORT = 7600
SETTING = "CYNTHUS_PORT"


def take(home: Home) -> socket.socket:
    """The port that was asked for; else the one of last time, the default, or any free one.

    Asked for 0, the default is left out: any free port, and the same again next time.
    """
    asked = os.environ.get(SETTING)
    if asked is not None and not asked.isdigit():
        raise CannotListen(f"{SETTING}={asked!r} is no port; set it to a number from 0 to 65535")
    if asked is not None and int(asked) != 0:
        return listen(HOST, int(asked), setting=SETTING)
    for port in (home.described().get("port"), DEFAULT_PORT if asked is None else None):
        try:
            if isinstance(port, int):
                return listen(HOST, port, setting=SETTING)
        except CannotListen:
            continue
    return listen(HOST, 0, setting=SETTING)
