"""Our server and the real ovsdb-server side by side, on one schema, asked the same things."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vswitch.base.clock import Clock
from vswitch.base.json_framing import JsonFramer
from vswitch.ovsdb.log import DatabaseFile
from vswitch.ovsdb.remotes import Remotes
from vswitch.ovsdb.server import Server

Json = Any


class Client:
    """A blocking JSON-RPC client; notifications that came meanwhile are in `notified`."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(path)
        self._framer = JsonFramer(1 << 26)
        self._ready: list[Json] = []
        self._id = 0
        self.notified: list[Json] = []

    def send(self, message: Json) -> None:
        self._socket.sendall(json.dumps(message).encode())

    def receive(self) -> Json:
        while not self._ready:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._ready += self._framer.feed(data)
        return self._ready.pop(0)

    def call(self, method: str, *params: Json) -> Json:
        """The reply's result, or {"error": ...} of a refused request."""
        self._id += 1
        self.send({"method": method, "params": list(params), "id": self._id})
        while True:
            reply = self.receive()
            if reply.get("id") == self._id and "method" not in reply:
                return reply["result"] if reply["error"] is None else {"rpc-error": reply["error"]}
            self.notified.append(reply)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def our_server(path: Path, schema: Json) -> Iterator[tuple[str, Server]]:
    """Our server in a thread; (socket path, server)."""
    sock = f"{path}.ours.sock"
    server = Server(Clock())
    file = DatabaseFile.open(path, schema)
    server.add(file)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> Remotes:
        remotes = Remotes(server)
        remotes.add(f"punix:{sock}")
        return remotes

    async def close(remotes: Remotes) -> None:
        remotes.close()

    remotes = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    try:
        yield sock, server
    finally:
        asyncio.run_coroutine_threadsafe(close(remotes), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        file.close()


@contextmanager
def real_server(path: Path, schema: Json, options: Sequence[str] = ()) -> Iterator[str]:
    """The real ovsdb-server; its socket's path."""
    sock = f"{path}.real.sock"
    if not path.exists():
        text = path.with_suffix(".schema")
        text.write_text(json.dumps(schema))
        subprocess.run(["ovsdb-tool", "create", str(path), str(text)], check=True)
    env = dict(os.environ, OVS_RUNDIR=str(path.parent), OVS_LOGDIR=str(path.parent))
    process = subprocess.Popen(
        [
            "ovsdb-server",
            str(path),
            f"--remote=punix:{sock}",
            f"--unixctl={path}.ctl",
            "--no-chdir",
            *options,
        ],
        env=env,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while not os.path.exists(sock):
            assert time.monotonic() < deadline, "ovsdb-server did not start"
            time.sleep(0.02)
        yield sock
    finally:
        process.terminate()
        process.wait(10)
