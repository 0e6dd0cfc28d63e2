"""Our own tools as processes, as soon there as the real ones: a process that has them loaded forks one for
each command line, so that they can be run from any thread.

`run` is the client's side; the server is started for the first command and ends with the test process. A
request is a length with the three standard files, and so much JSON: words, environment, directory. The answer
is the tool's pid when it begins, and its wait status.
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

TOOLS: Final = {
    "ovs-ofctl": "vswitch.cli.ofctl.main",
    "ovs-vsctl": "vswitch.cli.vsctl.main",
    "ovs-appctl": "vswitch.cli.appctl",
}
"""The real tools, and the modules whose `main` stands for them."""
PACKAGES: Final = (
    "vswitch.cli.ofctl", "vswitch.cli.vsctl", "vswitch.openflow", "vswitch.flow", "vswitch.vconn",
)  # fmt: skip
NUMBER: Final = struct.Struct("<i")
_starting = threading.Lock()
_server: list[str] = []
"""The socket of this process's server, once it has one."""


def main_of(program: str) -> Callable[[Sequence[str]], int | None]:
    """The function that carries out a command line of the tool that stands for `program`."""
    found: Callable[[Sequence[str]], int | None] = importlib.import_module(TOOLS[program]).main
    return found


# The client's side.


def _socket() -> str:
    """Where this process's server listens, which is started if need be."""
    with _starting:
        if not _server:
            path = f"{tempfile.mkdtemp(prefix='vswitch-tools-')}/socket"
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(path)
            listening.listen(64)
            top = Path(__file__).parents[1]
            environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(top), *filter(None, sys.path)]))
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.tool_server", str(listening.fileno()), path],
                env=environment, cwd=top, stdin=subprocess.PIPE, pass_fds=[listening.fileno()],
            )  # fmt: skip
            listening.close()
            # It ends when its standard input does.
            atexit.register(server.communicate)
            _server.append(path)
        return _server[0]


def run(
    words: Sequence[str], environment: Mapping[str, str], stdin: str = "", timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """What the tool of ours for `words[0]` says, as a process of its own. TimeoutExpired: it is killed."""
    request = json.dumps([list(words), dict(environment), os.getcwd()]).encode()
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(_socket())
            socket.send_fds(
                connection, [NUMBER.pack(len(request))], [file.fileno() for file in (given, out, err)]
            )
            connection.sendall(request)
            (pid,) = NUMBER.unpack(_receive(connection, NUMBER.size))
            connection.settimeout(timeout)
            try:
                (status,) = NUMBER.unpack(_receive(connection, NUMBER.size))
            except TimeoutError as error:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(words), timeout) from error
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
    return subprocess.CompletedProcess(list(words), os.waitstatus_to_exitcode(status), *said)


def _receive(connection: socket.socket, n: int) -> bytes:
    found = b""
    while len(found) < n:
        data = connection.recv(n - len(found))
        if not data:
            raise ConnectionError("the server of tools hung up")
        found += data
    return found


# The server's side.


def _become(connection: socket.socket) -> int:
    """In the process of one request: be the tool that it asks for. Its exit status."""
    size = NUMBER.size
    data, ancillary, _, _ = connection.recvmsg(size, socket.CMSG_SPACE(3 * size))
    files = array.array("i", ancillary[0][2])
    words, environment, directory = json.loads(_receive(connection, NUMBER.unpack(data)[0]))
    tool = os.fork()
    if tool:
        connection.sendall(NUMBER.pack(tool))
        connection.sendall(NUMBER.pack(os.waitpid(tool, 0)[1]))
        return 0
    connection.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    try:
        status = main_of(words[0])(words[1:])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status or 0


def serve(listening: socket.socket) -> None:
    """Fork a process for each request, until the process that started this one has ended."""
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(listening, select.POLLIN)
    while not any(fd == 0 for fd, _ in poll.poll()):
        connection = listening.accept()[0]
        if os.fork():
            connection.close()
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listening.close()
        status = 1
        try:
            status = _become(connection)
        finally:
            os._exit(status)


if __name__ == "__main__":
    for package in PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            importlib.import_module(f"{package}.{module.name}")
    for program in TOOLS:
        main_of(program)
    try:
        serve(socket.socket(fileno=int(sys.argv[1])))
    finally:
        Path(sys.argv[2]).unlink()
        Path(sys.argv[2]).parent.rmdir()
