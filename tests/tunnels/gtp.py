"""`python -m tests.tunnels.gtp DEVICE PEER STATION TEID`: tell the kernel's GTP device of a station behind
PEER, whose packets have TEID in both directions (<linux/gtp.h>; gtp-tunnel of libgtpnl does this)."""

from __future__ import annotations

import ipaddress
import socket
import sys

from vswitch.netlink.attrs import Builder
from vswitch.netlink.genl import lookup_family
from vswitch.netlink.socket import NETLINK_GENERIC, NlSocket

GTP_CMD_NEWPDP = 0
GTPA_LINK, GTPA_VERSION, GTPA_PEER_ADDRESS, GTPA_MS_ADDRESS, GTPA_I_TEI, GTPA_O_TEI = 1, 2, 4, 5, 8, 9


def add_station(device: str, peer: str, station: str, teid: int) -> None:
    """One PDP context of GTP version 1. NlError."""
    sock = NlSocket(NETLINK_GENERIC)
    b = Builder()
    b.genl_header(GTP_CMD_NEWPDP, 0)
    b.u32(GTPA_LINK, socket.if_nametoindex(device))
    b.u32(GTPA_VERSION, 1)
    b.be32(GTPA_PEER_ADDRESS, int(ipaddress.IPv4Address(peer)))
    b.be32(GTPA_MS_ADDRESS, int(ipaddress.IPv4Address(station)))
    b.u32(GTPA_I_TEI, teid)
    b.u32(GTPA_O_TEI, teid)
    sock.transact(lookup_family("gtp", sock).id, 0, b.getvalue(), "add a station")
    sock.close()


if __name__ == "__main__":
    add_station(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
