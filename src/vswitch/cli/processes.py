"""The two processes that `vswitch up` starts: where their files are, whether they run, ending them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import struct
import time
from pathlib import Path
from typing import Final

from vswitch.base.unixctl import CommandError
from vswitch.cli.errors import CliError
from vswitch.daemon.process import logdir, rundir

SWITCH: Final = "ovs-vswitchd"
DATABASE: Final = "ovsdb-server"
"""What the processes are called in files and by ovs-appctl."""
PAGE: Final = "vswitch-web"
"""What the server of the live page is called in files."""
DEFAULT_DBDIR: Final = "/etc/openvswitch"
END_S: Final = 15.0
"""How long a process may take to end before it is killed."""
_FLOCK: Final = struct.Struct("hhqqi4x")


def dbdir() -> Path:
    """Where the database file is: OVS_DBDIR, else the usual directory, else the run directory."""
    chosen = os.environ.get("OVS_DBDIR")
    if chosen:
        return Path(chosen)
    usual = Path(DEFAULT_DBDIR)
    with contextlib.suppress(OSError):
        usual.mkdir(parents=True, exist_ok=True)
    return usual if os.access(usual, os.W_OK | os.X_OK) else rundir()


def log_path(program: str) -> Path:
    """Where a process logs to: the log directory if it can be written, else the run directory."""
    where = logdir()
    with contextlib.suppress(OSError):
        where.mkdir(parents=True, exist_ok=True)
    if not os.access(where, os.W_OK | os.X_OK):
        where = rundir()
    return where / f"{program}.log"


def running(program: str, where: Path | None = None) -> int:
    """The id of the running process that has `program`'s pidfile, 0 if none has."""
    path = (where or rundir()) / f"{program}.pid"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
        return 0 if kind == fcntl.F_UNLCK else int(pid)
    except OSError:
        return 0
    finally:
        os.close(fd)


def socket_of(program: str, pid: int) -> Path:
    """The control socket of a process."""
    return rundir() / f"{program}.{pid}.ctl"


def is_ours(program: str, pid: int) -> bool:
    """Whether the process is a vswitch (and not the switch that it stands in for)."""
    from vswitch.cli.appctl import ask

    try:
        lines = ask(str(socket_of(program, pid)), "version").splitlines()
    except (OSError, CommandError):
        return False
    return any(line.startswith(("vswitch ", f"{program} (vswitch ")) for line in lines)


def alive(pid: int) -> bool:
    """Whether there is such a process; a zombie is none."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError as error:
        return error.errno == errno.EPERM


def wait_gone(pid: int, seconds: float) -> bool:
    """Wait until a process has ended; False if it has not in time."""
    end = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def end(program: str, pid: int, *args: str) -> None:
    """End a process: ask it, then insist. CliError if it stays."""
    from vswitch.cli.appctl import ask

    try:
        ask(str(socket_of(program, pid)), "exit", *args)
    except (OSError, CommandError):
        _kill(pid, signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if wait_gone(pid, END_S):
            return
        _kill(pid, number)
    if not wait_gone(pid, END_S):
        raise CliError(f"{program} (pid {pid}) does not end")


def end_page(pid: int) -> None:
    """End the server of the live page, which has no control socket. CliError if it stays."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _kill(pid, number)
        if wait_gone(pid, END_S):
            return
    raise CliError(f"{PAGE} (pid {pid}) does not end")


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except OSError as error:
        raise CliError(f"can't end process {pid}: {error.strerror}") from error
