"""What makes a process a daemon that OVS's tools find: run directory and pidfile.

`ovs-appctl -t NAME` reads RUNDIR/NAME.pid, checks that its owner holds a record lock on it,
and connects to RUNDIR/NAME.PID.ctl.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final, final

DEFAULT_RUNDIR: Final = "/var/run/openvswitch"
DEFAULT_LOGDIR: Final = "/var/log/openvswitch"


def logdir() -> Path:
    """Where log files go: OVS_LOGDIR, else the usual directory."""
    return Path(os.environ.get("OVS_LOGDIR") or DEFAULT_LOGDIR)


def rundir() -> Path:
    """The run directory: OVS_RUNDIR, else the usual one, else one that this user can write.

    It exists when this returns, unless nothing can be made.
    """
    chosen = os.environ.get("OVS_RUNDIR")
    if chosen:
        return Path(chosen)
    usual = Path(DEFAULT_RUNDIR)
    try:
        usual.mkdir(parents=True, exist_ok=True)
    except OSError:
        pass
    if os.access(usual, os.W_OK | os.X_OK):
        return usual
    import tempfile

    own = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), f"vswitch-{os.getuid()}")
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    return own


@final
class Pidfile:
    """A locked file with the process's id; its lock goes with the process, however that ends."""

    def __init__(self, path: str, overwrite: bool = False) -> None:
        """Make and lock the file. OSError if it can't be made; BlockingIOError (with the other's
        pid in its text) if a living process has it, unless `overwrite`: then it loses it."""
        self.path = path
        if overwrite:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as e:
                raise OSError(e.errno, f"{path}: create failed ({e.strerror})") from e
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as e:
                other = os.read(fd, 20).decode("ascii", "replace").strip()
                os.close(fd)
                if not isinstance(e, BlockingIOError | PermissionError):
                    raise
                raise BlockingIOError(e.errno, f"{path}: already running as pid {other}") from e
            # Somebody may have unlinked it between open and lock; then begin again.
            try:
                same = os.fstat(fd).st_ino == os.stat(path).st_ino
            except FileNotFoundError:
                same = False
            if same:
                break
            os.close(fd)
        # In this order an old file never reads as empty.
        text = f"{os.getpid()}\n".encode()
        os.pwrite(fd, text, 0)
        os.ftruncate(fd, len(text))
        self._fd = fd

    def close(self) -> None:
        """Remove the file and its lock. Idempotent."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                # Another process may have overwritten it.
                if os.fstat(self._fd).st_ino == os.stat(self.path).st_ino:
                    os.unlink(self.path)
            os.close(self._fd)
            self._fd = -1
