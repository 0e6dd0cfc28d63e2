"""Port.bond_fake_iface: an internal device with the name of a bond, for old programs that look for one.

It is a port of the bridge that has no row of Interface, takes no part in forwarding and has no traffic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from vswitch.base.vlog import Vlog
from vswitch.bridge.config import PortConfig
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif

log = Vlog("bridge")


@final
class FakeInterfaces:
    """Those of one bridge."""

    def __init__(self, ofproto: OfprotoDpif) -> None:
        self._ofproto = ofproto
        self._made: set[str] = set()

    def _wanted(self, ports: Iterable[PortConfig]) -> set[str]:
        """The bonds that ask for one and can have it: no other interface has the name."""
        ports = list(ports)
        taken = {config.name for port in ports for config in port.interfaces} | {self._ofproto.name}
        return {p.name for p in ports if p.bond_fake_iface and len(p.interfaces) > 1} - taken

    def delete(self, ports: Iterable[PortConfig], numbers: set[int | None]) -> None:
        """Take out what `ports` don't ask for any more, and what has one of the OpenFlow `numbers`."""
        wanted = self._wanted(ports)
        for name in sorted(self._made):
            spec = self._ofproto.port_specs.get(name)
            if spec is None:
                self._made.discard(name)
            elif name not in wanted or spec.ofp_port in numbers:
                self._ofproto.port_del(name)
                self._made.discard(name)

    def add(self, ports: Iterable[PortConfig]) -> None:
        """Bring in what `ports` ask for."""
        for name in sorted(self._wanted(ports) - self._made):
            try:
                self._ofproto.port_add(name, "internal")
            except OSError as e:
                log.warn("port %s: could not create its fake interface (%s)", name, e.strerror or e)
            else:
                self._made.add(name)
