"""What the real ovs-ofctl sends: flow text in, the bytes of its messages out.

A Unix socket plays a switch that agrees to everything: it says hello, answers echo and barrier
requests, and keeps every other message.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from vswitch.openflow.wire.version import VERSION_NAMES

BARRIER_REQUEST = {1: 18, 2: 20, 3: 20, 4: 20, 5: 20, 6: 20}
STATS_REQUEST = {1: 16, 2: 18, 3: 18, 4: 18, 5: 18, 6: 18}
FLOW_MOD = 14
EXPERIMENTER = 4
NXT_FLOW_MOD = 13


class Switch(threading.Thread):
    """Takes messages from one client until it hangs up."""

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(daemon=True)
        self.version = version
        self.messages: list[bytes] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)

    def run(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            connection.sendall(bytes([self.version, 0, 0, 8, 0, 0, 0, 0]))
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
                while len(data) >= 8 and len(data) >= (size := int.from_bytes(data[2:4], "big")):
                    self._take(connection, data[:size])
                    data = data[size:]
        self.listener.close()

    def _take(self, connection: socket.socket, message: bytes) -> None:
        kind = message[1]
        if kind == 0:
            return
        if kind == 2 or kind == BARRIER_REQUEST[self.version]:
            connection.sendall(bytes([message[0], kind + 1]) + message[2:])
            return
        if kind == STATS_REQUEST[self.version]:
            head = bytes([message[0], kind + 1, 0, 16]) + message[4:10] + bytes(6)
            connection.sendall(head if self.version > 1 else head[:3] + b"\x0c" + head[4:12])
            return
        self.messages.append(message)


def sent_by_ofctl(version: int, command: Sequence[str], *, stdin: str = "",
                  options: Sequence[str] = ()) -> tuple[list[bytes], str]:
    """The messages that `ovs-ofctl command[0] SWITCH command[1:]` sends, and its complaints."""
    with tempfile.TemporaryDirectory() as d:
        switch = Switch(Path(d, "s"), version)
        switch.start()
        ran = subprocess.run(
            ["ovs-ofctl", "--no-names", "-O", VERSION_NAMES[version], *options,
             command[0], f"unix:{d}/s", *command[1:]],
            input=stdin, capture_output=True, text=True, timeout=15, check=False,
        )  # fmt: skip
        if switch.is_alive():
            switch.join(0.2 if ran.returncode else 5)
        return switch.messages, ran.stderr


def flow_mods(version: int, flows: Sequence[str], *options: str) -> tuple[list[bytes], str]:
    """The flow mod messages that the real client sends for `flows`."""
    messages, complaints = sent_by_ofctl(
        version, ["add-flows", "-"], stdin="\n".join(flows) + "\n", options=options
    )
    found = [m for m in messages if m[1] == FLOW_MOD or (m[1] == EXPERIMENTER and m[12:16] == b"\0\0\0\x0d")]
    return found, complaints
