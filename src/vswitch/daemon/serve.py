"""Being a daemon while the switch is still being loaded: pidfile and control socket come first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vswitch.base.clock import Clock
from vswitch.daemon.daemon import Daemon
from vswitch.daemon.mainloop import Part

if TYPE_CHECKING:
    from vswitch.daemon.vswitchd import Settings, Vswitchd


def serve(settings: Callable[[], Settings], serving: Callable[[], None], *, version: str, unixctl_path: str,
          pidfile_path: str, overwrite_pidfile: bool) -> int:
    """Be the process of `daemon/vswitchd.py` until SIGTERM or `ovs-appctl exit`. The number of the signal
    that ended it, or 0. `settings` is called, and the switch imported, when the process has its
    pidfile; `serving` when the first configuration has been carried out.

    BlockingIOError if another process has the pidfile; OSError for pidfile and control socket.
    """
    clock = Clock()
    made: list[Vswitchd] = []

    def start(daemon: Daemon) -> Part:
        from vswitch.daemon.vswitchd import Vswitchd

        vswitchd = Vswitchd(settings(), clock, serving)
        made.append(vswitchd)
        return vswitchd.start(daemon)

    def close() -> None:
        for vswitchd in made:
            vswitchd.close()

    daemon = Daemon(version=version, clock=clock, unixctl_path=unixctl_path, pidfile_path=pidfile_path,
                    overwrite_pidfile=overwrite_pidfile)
    daemon.run(start, close)
    return daemon.signal
