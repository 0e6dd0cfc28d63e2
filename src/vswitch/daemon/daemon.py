"""A switch as a process: main loop, runtime commands, pidfile, signals, a clean end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, final

from vswitch.base import vlog
from vswitch.base.clock import Clock
from vswitch.base.memory import MemoryReport
from vswitch.base.unixctl import Commands
from vswitch.base.vlog import Vlog
from vswitch.daemon import commands as process_commands
from vswitch.daemon.collector import Collector, spare_the_living
from vswitch.daemon.eventloop import EventLoop, PlainLoop
from vswitch.daemon.mainloop import MainLoop, Part
from vswitch.daemon.process import Pidfile
from vswitch.daemon.unixctl import UnixctlServer

log: Final = Vlog("vswitchd")
log_signal: Final = Vlog("fatal_signal")


@final
class Daemon:
    """One process. Register commands and memory reporters on it, then `run` it.

    `unixctl_path` "" means no socket, `pidfile_path` "" no pidfile.
    """

    def __init__(
        self,
        *,
        version: str,
        clock: Clock,
        unixctl_path: str = "",
        pidfile_path: str = "",
        overwrite_pidfile: bool = False,
    ) -> None:
        self.clock = clock
        self.commands = Commands()
        self.memory = MemoryReport()
        self._version = version
        self._unixctl_path = unixctl_path
        self._pidfile_path = pidfile_path
        self._overwrite_pidfile = overwrite_pidfile
        self._why = ""
        self._error: BaseException | None = None
        """What `start` raised."""
        self._loop: EventLoop | None = None
        self._close: Callable[[], None] | None = None
        self.mainloop: MainLoop | None = None
        self.cleanup = False
        """Whether what is in the kernel is to go with the process (`exit --cleanup`)."""
        self.signal = 0
        """The number of the signal that ended the process, 0 if none did."""

    def stop(self, why: str) -> None:
        """End the process cleanly, from inside its loop."""
        if not self._why:
            self._why = why
        if self._loop is not None:
            self._loop.stop()

    def _end_by_signal(self, number: int) -> None:
        log_signal.warn("terminating with signal %d (%s)", number, signal.strsignal(number) or "unknown")
        self.signal = number
        self.stop(signal.Signals(number).name)

    def _exit(self, cleanup: bool) -> None:
        """The command `exit`: when its reply goes out everything is undone."""
        self.cleanup = cleanup
        self.stop("exit")
        self._finish()

    def _finish(self) -> None:
        """Run no part any more, and undo what `start` made. Idempotent."""
        close, self._close = self._close, None
        if close is not None:
            if self.mainloop is not None:
                self.mainloop.close()
            close()

    def run(
        self, start: Callable[[Daemon], Part], close: Callable[[], None], loop: EventLoop | None = None
    ) -> None:
        """Be a daemon until asked to stop.

        `start` makes what the process runs, in the loop and with signals already handled;
        `close` undoes it and runs whatever happened, also if `start` raised. What `start`
        raises, and OSError for socket and pidfile, comes out of here. Without a `loop` it is one of its own.
        """
        self._close = close
        with ExitStack() as undo:
            if loop is None:
                loop = PlainLoop()
                undo.callback(loop.close)
            self._loop = loop
            self._run(loop, start, undo)

    def _run(self, loop: EventLoop, start: Callable[[Daemon], Part], undo: ExitStack) -> None:
        if self._pidfile_path:
            undo.callback(Pidfile(self._pidfile_path, self._overwrite_pidfile).close)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end_by_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._reopen_log)
        mainloop = self.mainloop = MainLoop(self.clock, loop)
        undo.callback(mainloop.close)
        process_commands.register(
            self.commands,
            version=self._version,
            clock=self.clock,
            memory=self.memory,
            turn=mainloop.turn,
            stop=self._exit,
        )
        path = self._unixctl_path
        server = UnixctlServer(path, self.commands, mainloop.wake) if path else None
        try:
            undo.callback(self._finish)
            if server is not None:
                # Its socket is there before anything slow begins; it answers when the loop runs.
                server.start(loop)
            loop.call_soon(self._start, start)
            loop.run_forever()
            if self._error is not None:
                raise self._error
            log.dbg("ending (%s)", self._why)
        finally:
            self._finish()
            if server is not None:
                server.close()
                server.drain()

    def _start(self, start: Callable[[Daemon], Part]) -> None:
        """Inside the loop: make what the process runs."""
        assert self.mainloop is not None
        try:
            self.mainloop.add(start(self))
        except BaseException as e:
            self._error = e
            self.stop("failed")
            return
        if self._unixctl_path:
            log.dbg("listening for ovs-appctl on %s (pid %d)", self._unixctl_path, os.getpid())
        spare_the_living()
        self.mainloop.add(Collector(self.clock.now()))

    def _reopen_log(self) -> None:
        try:
            vlog.reopen_log_file()
        except OSError as e:
            log.warn("can't open the log file again: %s", e)
