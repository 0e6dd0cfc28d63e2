"""Our switches following a database, as a process of their own: `python -m tests.bridge.ours DIRECTORY`.

What `vswitchd` does, without its command line: the database is DIRECTORY/db.sock, runtime commands
come by --unixctl=SOCKET. Options: --dummy[=override|system], --routes, -vLEVELS.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vswitch.base import vlog, vlog_commands
from vswitch.base.clock import Clock
from vswitch.bridge.bridges import Bridges
from vswitch.bridge.idl import Idl
from vswitch.daemon.daemon import Daemon
from vswitch.daemon.mainloop import Part
from vswitch.dpif.open import enable_dummy
from vswitch.netdev import dummy, registry
from vswitch.ofproto_dpif.ofprotos import Ofprotos


class Ours:
    """The parts of the process."""

    def __init__(self, directory: Path, clock: Clock, routes: bool = False) -> None:
        self.directory = directory
        self.routes = routes
        """Whether tunnels follow the host's routes (--routes)."""
        self.clock = clock
        self.bridges: Bridges | None = None

    def start(self, daemon: Daemon) -> Part:
        """Make the parts; the one that is returned is the bridges'."""
        ofprotos = Ofprotos(self.clock, daemon.commands)
        if self.routes:
            ofprotos.underlay.follow_kernel(ofprotos.poller)
        dummy.register_commands(daemon.commands)
        idl = Idl(f"unix:{self.directory}/db.sock", self.clock)
        self.bridges = Bridges(ofprotos, idl, self.clock, daemon.commands)
        assert daemon.mainloop is not None
        daemon.mainloop.add(ofprotos)
        return self.bridges

    def close(self) -> None:
        """Leave nothing behind."""
        if self.bridges is not None:
            self.bridges.exit(delete_datapaths=True)


def main(directory: Path, options: list[str]) -> None:
    """Run until SIGTERM."""
    clock = Clock()
    vlog.init("ovs-vswitchd", clock.wall)
    vlog_commands.set_levels_from_string("console:info")
    control = ""
    routes = False
    for option in options:
        name, _, value = option.partition("=")
        if name == "--unixctl":
            control = value
        elif name == "--routes":
            routes = True
        elif name == "--dummy":
            registry.enable_dummy(value)
            enable_dummy(value)
        else:
            vlog_commands.set_levels_from_string(option.removeprefix("-v"))
    daemon = Daemon(version="test", clock=clock, unixctl_path=control)
    ours = Ours(directory, clock, routes)
    daemon.run(ours.start, ours.close)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
