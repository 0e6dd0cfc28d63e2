"""All bridges of the database, made real: the `Part` that follows it and reports back.

`Bridges.run` lets the IDL talk with the server; when the configuration changed, and this process holds
the database's lock, the switches are made to match it, and `cur_cfg` then says up to which
`next_cfg` that is so.
"""

from __future__ import annotations

from typing import final

from vswitch.base.clock import Clock
from vswitch.base.unixctl import Commands
from vswitch.bridge.idl import Idl
from vswitch.ofproto_dpif.ofproto_dpif import Ofprotos


@final
class Bridges:
    """A `Part`. `ofprotos` is another one, run by whoever runs this: packets flow whatever the
    database does. `commands` gets the runtime commands that belong to bridges."""

    def __init__(self, ofprotos: Ofprotos, idl: Idl, clock: Clock, commands: Commands | None = None) -> None:
        self.ofprotos = ofprotos
        self.idl = idl
        self.clock = clock
        self.configured: bool = False
        """Whether the first configuration has been carried out and reported: a daemon serves."""

    def run(self, now: int) -> bool:
        """Follow the database and report to it, without waiting. True if there is more to do at once."""
        if self.idl.run(now) and self.idl.has_lock:
            self.configured = True
        return False

    def wakeup(self, now: int) -> int:
        """Clock ms of the next timer."""
        return self.idl.wakeup(now)

    def fds(self) -> list[int]:
        """Descriptors whose readability means that `run` has work."""
        return self.idl.fds()

    def write_fds(self) -> list[int]:
        """Descriptors whose writability means that `run` has work."""
        return self.idl.write_fds()

    def exit(self, delete_datapaths: bool) -> None:
        """The process ends: delete bridges and datapaths (`exit --cleanup`), or leave a kernel datapath
        forwarding. The IDL is closed."""
        self.ofprotos.close(destroy=delete_datapaths)
        self.idl.close()
