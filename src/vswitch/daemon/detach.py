"""Into the background, and watched over there: `--detach` and `--monitor` of ovs-vswitchd(8).

The parent of a fork waits on a pipe until the child says that it serves, or dies; so the exit status
of a command that detaches tells whether there is a daemon. A monitor is one more process between the
two, which starts the daemon again when a signal of a programming error killed it.

All of this happens before the process has threads, an event loop, or much in memory.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from typing import Final, NoReturn, final

from vswitch.base import vlog
from vswitch.base.vlog import Destination, Level, Vlog

log: Final = Vlog("daemon_unix")

RESTART_SIGNALS: Final = frozenset(
    (
        signal.SIGABRT, signal.SIGALRM, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGPIPE,
        signal.SIGSEGV, signal.SIGXCPU, signal.SIGXFSZ,
    )
)  # fmt: skip
"""Deaths after which a monitor starts the daemon again (ovs-vswitchd(8), --monitor)."""
RESTART_INTERVAL_S: Final = 10
"""Restarts are at least this far apart."""


def explain_status(status: int) -> str:
    """The wait status of a process in words: "exit status 1", "killed (Segmentation fault)"."""
    if os.WIFEXITED(status):
        text = f"exit status {os.WEXITSTATUS(status)}"
    elif os.WIFSIGNALED(status):
        text = f"killed ({signal.strsignal(os.WTERMSIG(status)) or os.WTERMSIG(status)})"
    else:
        text = f"terminated abnormally ({status:x})"
    return f"{text}, core dumped" if os.WCOREDUMP(status) else text


def _wait(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()


def _end(status: int) -> NoReturn:
    """End this process at once: what it would undo belongs to the child."""
    _flush()
    os._exit(status)


class StartupError(Exception):
    """The child died before it served; the text is for a log line."""


@final
class Background:
    """How this process detaches. `start` goes there, `complete` says that the daemon serves."""

    def __init__(
        self, program: str, *, detach: bool, monitor: bool, chdir: bool = True, keep: tuple[int, ...] = ()
    ) -> None:
        """`keep` are the standard files that the daemon goes on with."""
        self._program = program
        self._keep = keep
        self._detach = detach
        self._monitor = monitor
        self._chdir = chdir
        self._notify = -1
        """The pipe's end that tells the waiting parent; -1 if nobody waits."""

    def start(self) -> None:
        """Fork as asked for; returns in the process that is to be the daemon. The others end here:
        with status 0 once the daemon serves, or with that of the daemon if it ends before."""
        if self._detach:
            try:
                child = self._fork()
            except StartupError as e:
                log.err("%s", e)
                log.emer("could not detach from foreground session")
                _end(1)
            if child:
                _end(0)
            os.setsid()
        if self._monitor:
            outer = self._notify
            try:
                child = self._fork()
            except StartupError as e:
                log.err("%s", e)
                log.emer("could not initiate process monitoring")
                _end(1)
            if child:
                self._watch(child, outer)

    def complete(self) -> None:
        """The daemon serves: let whoever waits for that go on, and let go of the terminal. Idempotent."""
        if self._detach:
            self._detach = False
            _leave_terminal(self._keep)
            if self._chdir:
                os.chdir("/")
        self._tell()

    def _tell(self) -> None:
        if self._notify >= 0:
            with contextlib.suppress(OSError):
                os.write(self._notify, b"\0")
            os.close(self._notify)
            self._notify = -1

    def _fork(self) -> int:
        """Fork. 0 in the child; the child's pid in the parent, once the child has called `complete`.
        A child that ends by itself before ends the parent with its status. StartupError."""
        read, write = os.pipe()
        _flush()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            if self._notify >= 0:
                os.close(self._notify)
            self._notify = write
            return 0
        os.close(write)
        with os.fdopen(read, "rb", buffering=0) as pipe:
            if pipe.read(1):
                return pid
        status = _wait(pid)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            # The child has said why.
            _end(os.WEXITSTATUS(status))
        raise StartupError(f"fork child died before signaling startup ({explain_status(status)})")

    def _watch(self, pid: int, notify: int) -> None:
        """Be the monitor of daemon `pid`, after telling `notify`'s reader that it serves. Returns
        only in a daemon that was started again."""
        vlog.set_subprogram("monitor")
        self._notify = notify
        with contextlib.suppress(OSError):
            os.chdir("/")
        if self._detach:
            _leave_terminal(self._keep)
        self._tell()
        crashes = 0
        last_start = time.monotonic()
        problem = ""
        while True:
            # The log file may be rotated while there is nothing to say.
            vlog.close_log_file()
            status = 0
            if not problem:
                status = _wait(pid)
            with contextlib.suppress(OSError):
                vlog.reopen_log_file()
            if not problem:
                why = f"pid {pid} died, {explain_status(status)}"
                if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) in RESTART_SIGNALS):
                    log.info("%s, exiting", why)
                    _end(0)
                if os.WCOREDUMP(status):
                    # One core file is enough to see what happened; a hundred fill the disk.
                    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
                crashes += 1
                problem = f"{crashes} crashes: {why}"
            log.err("%s, restarting", problem)
            early = last_start + RESTART_INTERVAL_S - time.monotonic()
            if crashes > 1 and early > 0:
                log.warn("%s, waiting until %d seconds since last restart", problem, RESTART_INTERVAL_S)
                time.sleep(early)
            last_start = time.monotonic()
            try:
                pid = self._fork()
            except StartupError as e:
                crashes += 1
                problem = f"{crashes} crashes: {e}"
                continue
            if pid == 0:
                vlog.set_subprogram(self._program)
                return
            problem = ""


def _leave_terminal(keep: tuple[int, ...]) -> None:
    """Standard input and outputs are nowhere from now on, but for those to `keep`."""
    _flush()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in {0, 1, 2}.difference(keep):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    vlog.set_levels(None, Destination.CONSOLE, Level.OFF)
