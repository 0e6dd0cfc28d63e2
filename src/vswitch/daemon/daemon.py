"""A switch as a process: main loop, runtime commands, pidfile, signals, a clean end."""

from __future__ import annotations

import asyncio
import gc
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
from vswitch.daemon.mainloop import MainLoop, Part
from vswitch.daemon.process import Pidfile
from vswitch.daemon.unixctl import UnixctlServer

log: Final = Vlog("vswitchd")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's loop where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


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
    ) -> None:
        self.clock = clock
        self.commands = Commands()
        self.memory = MemoryReport()
        self._version = version
        self._unixctl_path = unixctl_path
        self._pidfile_path = pidfile_path
        self._stopping = asyncio.Event()
        self._why = ""
        self.mainloop: MainLoop | None = None

    def stop(self, why: str) -> None:
        """End the process cleanly, from inside its loop."""
        if not self._why:
            self._why = why
        self._stopping.set()

    def run(self, start: Callable[[Daemon], Part], close: Callable[[], None]) -> None:
        """Be a daemon until told to stop.

        `start` makes what the process runs, in the loop and with signals already handled;
        `close` undoes it and runs whatever happened, also if `start` raised. What `start`
        raises, and OSError for socket and pidfile, comes out of here.
        """
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(self._run(start, close))

    async def _run(self, start: Callable[[Daemon], Part], close: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        with ExitStack() as undo:
            if self._pidfile_path:
                undo.callback(Pidfile(self._pidfile_path).close)
            for number, handler in (
                (signal.SIGTERM, lambda: self.stop("SIGTERM")),
                (signal.SIGINT, lambda: self.stop("SIGINT")),
                (signal.SIGHUP, self._reopen_log),
            ):
                loop.add_signal_handler(number, handler)
            mainloop = self.mainloop = MainLoop(self.clock, loop)
            undo.callback(mainloop.close)
            process_commands.register(
                self.commands,
                version=self._version,
                clock=self.clock,
                memory=self.memory,
                turn=mainloop.turn,
                stop=lambda: self.stop("exit"),
            )
            undo.callback(close)
            mainloop.add(start(self))
            # Facets and rules live long and hold no cycles: looking for cycles among them costs a
            # third of a miss, so that is done rarely.
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
            server = UnixctlServer(self._unixctl_path, self.commands) if self._unixctl_path else None
            try:
                if server is not None:
                    await server.start()
                    log.info("listening for ovs-appctl on %s (pid %d)", server.path, os.getpid())
                await self._stopping.wait()
                log.info("ending (%s)", self._why)
            finally:
                if server is not None:
                    await server.close()

    def _reopen_log(self) -> None:
        try:
            vlog.reopen_log_file()
        except OSError as e:
            log.warn("can't open the log file again: %s", e)
