"""The one datapath that all bridges of a type share.

Bridges of type "system" are all parts of datapath "ovs-system", those of type "netdev" of
"ovs-netdev": so a patch port costs nothing in the datapath, and `ovs-dpctl` finds what it
expects. The backer alone translates between datapath and OpenFlow port numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vswitch.base.clock import Clock
    from vswitch.base.tags import TagSet
    from vswitch.dpif.probe import Support
    from vswitch.dpif.provider import Dpif
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
    from vswitch.ofproto_dpif.bundle import OfportDpif
    from vswitch.ofproto_dpif.recirc import RecircIds


class Backer:
    """An open datapath and the bridges on it."""

    type: str
    """"system" or "netdev"."""
    name: str
    """The datapath's name: "ovs-system", "ovs-netdev"."""
    clock: Clock
    dpif: Dpif
    support: Support
    """What the datapath can do, as probed when it was opened."""
    ofprotos: dict[str, OfprotoDpif]
    """The bridges on this datapath, by name."""
    odp_to_ofport: dict[int, OfportDpif]
    """Datapath port number -> the port of the bridge that has it."""
    recirc_ids: RecircIds
    """Recirculation ids and the frozen states they stand for (`recirc.py`)."""
    max_ports: int
    """How many ports the datapath can have."""
    need_revalidate: int
    """`RevReason` of the next full revalidation, 0 for none."""
    revalidate_set: TagSet
    """Tags of the facets that the next revalidation must look at."""

    def port_pid(self, odp_port: int) -> int:
        """The upcall pid for `Userspace` actions of flows that come in at `odp_port` (cached)."""
        return self.dpif.port_get_pid(odp_port)
