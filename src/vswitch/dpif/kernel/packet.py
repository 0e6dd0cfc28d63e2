"""Messages of family ovs_packet: packets sent up by the kernel, and packets sent down to it.

Every upcall passes through `UpcallParser.parse`. Compiled by mypyc; works interpreted.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from vswitch.dpif.actions import Actions
from vswitch.dpif.actions_nl import decode_actions, put_actions
from vswitch.dpif.odp_key import KEY_CT_IF_SET, decode_key, encode_key
from vswitch.dpif.odp_nested import get_tunnel
from vswitch.dpif.ops import Upcall
from vswitch.dpif.types import Fitness, UpcallType
from vswitch.flow.flow import Flow
from vswitch.netlink.attrs import AttrIndex, Builder, NlAttrError, u16_at, u32_at

OVS_PACKET_CMD_MISS: Final = 1
OVS_PACKET_CMD_ACTION: Final = 2
OVS_PACKET_CMD_EXECUTE: Final = 3

OVS_PACKET_ATTR_PACKET: Final = 1
OVS_PACKET_ATTR_KEY: Final = 2
OVS_PACKET_ATTR_ACTIONS: Final = 3
OVS_PACKET_ATTR_USERDATA: Final = 4
OVS_PACKET_ATTR_EGRESS_TUN_KEY: Final = 5
OVS_PACKET_ATTR_PROBE: Final = 8
OVS_PACKET_ATTR_MRU: Final = 9
OVS_PACKET_ATTR_LEN: Final = 10
OVS_PACKET_ATTR_HASH: Final = 11

OVS_VERSION: Final = 1
ETH_HEADER_LEN: Final = 14
_MISS: Final = UpcallType.MISS
_ACTION: Final = UpcallType.ACTION


@final
class UpcallParser:
    """Turns the datagrams of a channel into upcalls of one datapath. Reusable.

    `family` is the number of family ovs_packet, `dp_ifindex` the datapath's.
    """

    def __init__(self, family: i64, dp_ifindex: i64) -> None:
        self.family: i64 = family
        self.dp_ifindex: i64 = dp_ifindex
        self.malformed = False
        """Whether the last `parse` gave None because the message made no sense."""
        self._attrs = AttrIndex(OVS_PACKET_ATTR_HASH)

    def parse(self, data: bytes) -> Upcall | None:
        """The upcall in one datagram; None if it is malformed, or not for this datapath."""
        self.malformed = False
        size: i64 = len(data)
        # struct nlmsghdr, genlmsghdr, ovs_header: 16 + 4 + 4 bytes.
        if size < 24:
            self.malformed = True
            return None
        length = u32_at(data, 0)
        if length < 24 or length > size:
            self.malformed = True
            return None
        if u16_at(data, 4) != self.family or u32_at(data, 20) != self.dp_ifindex:
            return None
        cmd: i64 = data[16]
        if cmd != OVS_PACKET_CMD_MISS and cmd != OVS_PACKET_CMD_ACTION:
            return None
        attrs = self._attrs
        self.malformed = True
        if not attrs.index(data, 24, length):
            return None
        if not attrs.has(OVS_PACKET_ATTR_PACKET) or not attrs.has(OVS_PACKET_ATTR_KEY):
            return None
        if attrs.lengths[OVS_PACKET_ATTR_PACKET] < ETH_HEADER_LEN:
            return None
        raw_key = attrs.payload(data, OVS_PACKET_ATTR_KEY)
        key = Flow()
        fitness = decode_key(raw_key, key)
        if fitness is Fitness.ERROR:
            return None
        self.malformed = False
        upcall = Upcall(
            _MISS if cmd == OVS_PACKET_CMD_MISS else _ACTION,
            attrs.payload(data, OVS_PACKET_ATTR_PACKET),
            key,
            fitness,
            raw_key,
        )
        if attrs.has(OVS_PACKET_ATTR_HASH):
            upcall.hash = int(attrs.s64(data, OVS_PACKET_ATTR_HASH, 0)) & 0xFFFFFFFFFFFFFFFF
        if attrs.has(OVS_PACKET_ATTR_MRU):
            upcall.mru = int(attrs.u16(data, OVS_PACKET_ATTR_MRU, 0))
        if cmd == OVS_PACKET_CMD_ACTION and not self._parse_action(data, upcall):
            self.malformed = True
            return None
        return upcall

    def _parse_action(self, data: bytes, upcall: Upcall) -> bool:
        """What only OVS_PACKET_CMD_ACTION has; False if it is malformed."""
        attrs = self._attrs
        upcall.userdata = attrs.payload(data, OVS_PACKET_ATTR_USERDATA)
        if attrs.has(OVS_PACKET_ATTR_ACTIONS):
            try:
                upcall.actions = decode_actions(attrs.payload(data, OVS_PACKET_ATTR_ACTIONS))
            except NlAttrError:
                return False
        if attrs.has(OVS_PACKET_ATTR_EGRESS_TUN_KEY):
            tunnel = Flow()
            start = attrs.offsets[OVS_PACKET_ATTR_EGRESS_TUN_KEY]
            end = start + attrs.lengths[OVS_PACKET_ATTR_EGRESS_TUN_KEY]
            if get_tunnel(data, start, end, tunnel.words, False) < 0:
                return False
            upcall.out_tun_key = tunnel
        return True


def compose_execute(
    b: Builder, dp_ifindex: i64, packet: bytes, key: Flow, actions: Actions, mru: i64, hash: int, probe: bool
) -> None:
    """OVS_PACKET_CMD_EXECUTE, after `struct nlmsghdr`. NlAttrError if something is too long."""
    b.genl_header(OVS_PACKET_CMD_EXECUTE, OVS_VERSION)
    b.append_u32(dp_ifindex)
    b.raw(OVS_PACKET_ATTR_PACKET, packet)
    b.raw(OVS_PACKET_ATTR_KEY, encode_key(key, KEY_CT_IF_SET))
    nest = b.begin(OVS_PACKET_ATTR_ACTIONS)
    put_actions(b, actions)
    b.end(nest)
    if probe:
        b.flag(OVS_PACKET_ATTR_PROBE)
    if mru:
        b.u16(OVS_PACKET_ATTR_MRU, mru)
    if hash:
        b.u64(OVS_PACKET_ATTR_HASH, hash)
