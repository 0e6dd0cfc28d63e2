"""Asking a running switch over its unixctl socket, as ovs-appctl does."""

from __future__ import annotations

import json
import socket

from vswitch.base.json_framing import JsonFramer
from vswitch.base.unixctl import CommandError

TIMEOUT_S = 10.0


def ask(path: str, command: str, *args: str) -> str:
    """The reply of the switch at socket `path` to a runtime command.

    CommandError is its error reply; OSError: nobody answers there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(path)
        sock.sendall(json.dumps({"method": command, "params": list(args), "id": 0}).encode())
        framer = JsonFramer()
        while data := sock.recv(1 << 16):
            for reply in framer.feed(data):
                if reply["error"] is not None:
                    raise CommandError(str(reply["error"]).rstrip("\n"))
                return str(reply["result"])
    raise ConnectionError(f"{path}: the connection ended without a reply")
