"""The openvswitch module's Generic Netlink families, and the header that all their messages share.

Constants are <linux/openvswitch.h>'s.
"""

from __future__ import annotations

import errno
from typing import Final

from vswitch.base.records import dataclass
from vswitch.dpif.types import DpifError
from vswitch.netlink.errors import NlError
from vswitch.netlink.genl import lookup_family
from vswitch.netlink.socket import NETLINK_GENERIC, NlSocket

OVS_DATAPATH_FAMILY: Final = "ovs_datapath"
OVS_VPORT_FAMILY: Final = "ovs_vport"
OVS_FLOW_FAMILY: Final = "ovs_flow"
OVS_PACKET_FAMILY: Final = "ovs_packet"
OVS_METER_FAMILY: Final = "ovs_meter"
OVS_CT_LIMIT_FAMILY: Final = "ovs_ct_limit"

OVS_DATAPATH_VERSION: Final = 2
"""Version 2 is what knows user features: with version 1 the kernel would drop them all."""
OVS_VERSION: Final = 1
"""The version of all the other families."""

OVS_DATAPATH_MCGROUP: Final = "ovs_datapath"
OVS_VPORT_MCGROUP: Final = "ovs_vport"

OVS_HEADER_OFFSET: Final = 4
"""`struct ovs_header` (one 32-bit dp_ifindex) follows the 4 bytes of `struct genlmsghdr`."""
OVS_ATTRS_OFFSET: Final = 8
"""Attributes follow `struct ovs_header`."""

NO_DATAPATH: Final = (
    "the kernel has no openvswitch datapath (modprobe openvswitch, or use the "
    'userspace datapath: type "netdev", vswitch run --datapath netdev)'
)


@dataclass(frozen=True)
class Families:
    """The families' numbers in this kernel; 0 for those that it lacks (meters, limits)."""

    datapath: int
    vport: int
    flow: int
    packet: int
    meter: int
    ct_limit: int
    vport_group: int
    datapath_group: int = 0


def lookup_families(obj: str) -> Families:
    """Ask the kernel for them all, which loads the module where that is possible.

    DpifError(EOPNOTSUPP), naming `obj` and what to use instead, if there is no such module.
    """
    numbers: dict[str, int] = {}
    groups: dict[str, int] = {}
    try:
        sock = NlSocket(NETLINK_GENERIC)
    except OSError as e:
        raise DpifError(e.errno or errno.EIO, "open", obj, "Generic Netlink") from e
    try:
        for name in (OVS_DATAPATH_FAMILY, OVS_VPORT_FAMILY, OVS_FLOW_FAMILY, OVS_PACKET_FAMILY,
                     OVS_METER_FAMILY, OVS_CT_LIMIT_FAMILY):  # fmt: skip
            try:
                family = lookup_family(name, sock)
            except NlError as e:
                if e.errno != errno.ENOENT:
                    raise DpifError(e.errno or errno.EIO, "open", obj, str(e)) from e
                if name not in (OVS_METER_FAMILY, OVS_CT_LIMIT_FAMILY):
                    raise DpifError(errno.EOPNOTSUPP, "open", obj, NO_DATAPATH) from e
                continue
            numbers[name] = family.id
            groups |= family.groups
    finally:
        sock.close()
    return Families(
        datapath=numbers[OVS_DATAPATH_FAMILY],
        vport=numbers[OVS_VPORT_FAMILY],
        flow=numbers[OVS_FLOW_FAMILY],
        packet=numbers[OVS_PACKET_FAMILY],
        meter=numbers.get(OVS_METER_FAMILY, 0),
        ct_limit=numbers.get(OVS_CT_LIMIT_FAMILY, 0),
        vport_group=groups.get(OVS_VPORT_MCGROUP, 0),
        datapath_group=groups.get(OVS_DATAPATH_MCGROUP, 0),
    )
