"""Stands between ovs-ofctl (or our own) and a bridge, and keeps the messages that the tool sends.

The tools look for a bridge's socket in OVS_RUNDIR: a directory in which every bridge's socket is one of a
`Recorder` has them come through here, their words unchanged.
"""

from __future__ import annotations

import re
import select
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

HEADER_SIZE: Final = 8
PASSING: Final = (0, 2, 3, 5)
"""Types of OFPT_HELLO, OFPT_ECHO_REQUEST and _REPLY, and OFPT_FEATURES_REQUEST: there are as many as there
are connections, and as time brings about."""
DUMMY: Final = re.compile(rb"\xaa\x55\xaa\x55..", re.DOTALL)
"""The address of a dummy device."""
ALL: Final = (b"", bytes(4), b"\xff" * 4)
"""No port in particular, in each version's words."""
ONF_BUNDLE_ADD: Final = bytes.fromhex("4f4e4600000008fd")


class Recorder:
    """A socket `BRIDGE.mgmt` in `directory`, which leads to the one of the same name in `target`."""

    def __init__(self, target: Path, bridge: str = "br0") -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="vswitch-rec"))
        self._path = self.directory / f"{bridge}.mgmt"
        self._target = target / f"{bridge}.mgmt"
        self._sent: list[bytearray] = []
        self._open = 0
        self._changed = threading.Condition()
        self._listening = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listening.bind(str(self._path))
        self._listening.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._path.unlink()
        self.directory.rmdir()

    def take(self) -> list[bytes]:
        """The messages that the tool sent since the last time (`messages`), over whichever connections: the
        real one has one more for each name that it looks up."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._open, 10), "a connection is still open"
            taken, self._sent = self._sent, []
        return [message for data in taken for message in messages(bytes(data))]

    def _accept(self) -> None:
        while True:
            try:
                client = self._listening.accept()[0]
            except OSError:
                return
            with self._changed:
                self._open += 1
                record = bytearray()
                self._sent.append(record)
            threading.Thread(target=self._pass, args=(client, record), daemon=True).start()

    def _pass(self, client: socket.socket, record: bytearray) -> None:
        switch = socket.socket(socket.AF_UNIX)
        try:
            switch.connect(str(self._target))
            while True:
                for source in select.select([client, switch], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is client:
                        record += data
                    (switch if source is client else client).sendall(data)
        except OSError:
            return
        finally:
            client.close()
            switch.close()
            with self._changed:
                self._open -= 1
                self._changed.notify_all()


def messages(data: bytes) -> list[bytes]:
    """The OpenFlow messages that `data` consists of, without those that look names up, echoes, and
    barriers (ours waits once where the real one waits after each flow); xids, those of messages in bundles
    too, are zero, and so are the addresses of dummies."""
    found = []
    while len(data) >= HEADER_SIZE:
        size = int.from_bytes(data[2:4], "big")
        xid, message = data[4:8], data[:size]
        data = data[size:]
        if message[1] in PASSING or _is_barrier(message) or _looks_up(message):
            continue
        message = message[:4] + bytes(4) + message[8:]
        # A message in a bundle has the xid of the one that brings it (OpenFlow 1.4, 7.3.9.6).
        where = _inner_xid(message)
        if where:
            assert message[where : where + 4] == xid
            message = message[:where] + bytes(4) + message[where + 4 :]
        found.append(DUMMY.sub(bytes(6), message))
    return found


def _looks_up(message: bytes) -> bool:
    """Whether it asks for the ports or the tables: all of OFPMP_TABLE, _TABLE_FEATURES, _PORT_DESC or
    _TABLE_DESC."""
    version, kind = message[0], message[1]
    if kind != (16 if version == 1 else 18):
        return False
    return int.from_bytes(message[8:10], "big") in (3, 12, 13, 14) and message[16:20] in ALL


def _inner_xid(message: bytes) -> int:
    """Where the xid is of the message that OFPT_BUNDLE_ADD_MESSAGE, or ONF's for OpenFlow 1.3, has in it.
    0: it is none."""
    version, kind = message[0], message[1]
    if version >= 5 and kind == 34:
        return 20
    return 28 if version == 4 and kind == 4 and message[8:16] == ONF_BUNDLE_ADD else 0


def _is_barrier(message: bytes) -> bool:
    return message[1] == (18 if message[0] == 1 else 20)
