"""Tunnels' devices of the kernel that collect metadata, by rtnetlink(7).

Such a device says of each packet which tunnel it came out of, and is told for each packet which one it goes
into; attached to a datapath as any device it is the port that all tunnels of a kind share. Kernels since 4.3
have them; on older ones the module's own vports are all there is. What is asked of a device is a list of
attributes, which a device that is there already must have as well (<linux/if_link.h>, <linux/if_tunnel.h>).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping
from typing import Final

from vswitch.base.records import dataclass
from vswitch.netdev.links import IFLA_IFNAME, IFLA_MTU, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK
from vswitch.netdev.tunnel_options import LEGACY_L2, PTAP
from vswitch.netlink.attrs import Builder, NlAttrError, parse, text
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import NLM_F_CREATE, NLM_F_EXCL
from vswitch.netlink.socket import NETLINK_ROUTE, NlSocket
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_MPLS
from vswitch.packet.tunnel.kinds import UDP_PORTS

IFLA_MASTER: Final = 10
IFLA_LINKINFO: Final = 18
IFLA_IFALIAS: Final = 20
IFLA_INFO_KIND: Final = 1
IFLA_INFO_DATA: Final = 2
IFLA_VXLAN_LEARNING: Final = 7
IFLA_VXLAN_PORT: Final = 15
IFLA_VXLAN_UDP_ZERO_CSUM6_RX: Final = 20
IFLA_VXLAN_GBP: Final = 23
IFLA_VXLAN_COLLECT_METADATA: Final = 25
IFLA_VXLAN_GPE: Final = 27
IFLA_GENEVE_PORT: Final = 5
IFLA_GENEVE_COLLECT_METADATA: Final = 6
IFLA_GENEVE_UDP_ZERO_CSUM6_RX: Final = 10
IFLA_GENEVE_INNER_PROTO_INHERIT: Final = 14
"""Since Linux 5.19: the device carries packets without Ethernet."""
IFLA_GRE_COLLECT_METADATA: Final = 18
IFLA_BAREUDP_PORT: Final = 1
IFLA_BAREUDP_ETHERTYPE: Final = 2
IFLA_BAREUDP_MULTIPROTO_MODE: Final = 4

TUNNEL_MTU: Final = 65000
"""What passes is decided by the way to the remote, not by the device."""
_IFINFOMSG: Final = struct.Struct("=BxHiII")
_IFF_UP: Final = 1
_FLAG: Final = b""


def _be16(value: int) -> bytes:
    return struct.pack(">H", value)


@dataclass(frozen=True)
class TunnelLink:
    """A device: its `kind` (IFLA_INFO_KIND), the attributes that it has and the flags that it hasn't."""

    kind: str
    attrs: Mapping[int, bytes]
    absent: tuple[int, ...] = ()


_OF_KIND: Final = {
    "vxlan": "vxlan", "geneve": "geneve", "bareudp": "bareudp", "gretap": "gre", "gre": "gre",
    "ip6gretap": "ip6gre", "erspan": "erspan", "ip6erspan": "ip6erspan",
}  # fmt: skip
"""Kind of device -> type of the port that it is."""
_FRAMES: Final = {"gre": "gretap", "ip6gre": "ip6gretap", "erspan": "erspan", "ip6erspan": "ip6erspan"}


def link_for(type: str, options: Mapping[str, str]) -> TunnelLink:
    """The device for a tunnel port of `type` with `options` as `TunnelConfig.device_options` writes them.
    NlError(EOPNOTSUPP): the kernel has none such."""
    port = _be16(int(options.get("dst_port") or UDP_PORTS.get(type, 0)))
    exts = options.get("exts", "").split(",")
    layers = options.get("packet_type", LEGACY_L2)
    frames = layers == LEGACY_L2
    if type == "vxlan":
        asked = {IFLA_VXLAN_GBP: "gbp" in exts, IFLA_VXLAN_GPE: "gpe" in exts}
        if not frames and "gpe" not in exts:
            raise NlError(errno.EOPNOTSUPP, "add port", "VXLAN without exts=gpe carries Ethernet frames only")
        attrs = {
            IFLA_VXLAN_LEARNING: b"\0", IFLA_VXLAN_COLLECT_METADATA: b"\1",
            IFLA_VXLAN_UDP_ZERO_CSUM6_RX: b"\1", IFLA_VXLAN_PORT: port,
        }  # fmt: skip
        attrs |= {number: _FLAG for number, on in asked.items() if on}
        # Who has no group policy can share a device with who has.
        return TunnelLink("vxlan", attrs, () if "gpe" in exts else (IFLA_VXLAN_GPE,))
    if type == "geneve":
        if layers == PTAP:
            raise NlError(errno.EOPNOTSUPP, "add port", "a Geneve device carries frames, or packets only")
        attrs = {
            IFLA_GENEVE_COLLECT_METADATA: _FLAG, IFLA_GENEVE_UDP_ZERO_CSUM6_RX: b"\1", IFLA_GENEVE_PORT: port,
        }  # fmt: skip
        if frames:
            return TunnelLink("geneve", attrs, (IFLA_GENEVE_INNER_PROTO_INHERIT,))
        return TunnelLink("geneve", attrs | {IFLA_GENEVE_INNER_PROTO_INHERIT: _FLAG})
    if type == "bareudp":
        payload = int(options.get("payload_type", "0"), 0)
        attrs = {IFLA_BAREUDP_PORT: port, IFLA_BAREUDP_ETHERTYPE: _be16(payload)}
        # With IPv4 goes IPv6, with MPLS its multicast.
        multiproto = payload in (ETH_TYPE_IP, ETH_TYPE_MPLS)
        attrs |= {IFLA_BAREUDP_MULTIPROTO_MODE: _FLAG} if multiproto else {}
        return TunnelLink("bareudp", attrs, () if multiproto else (IFLA_BAREUDP_MULTIPROTO_MODE,))
    if type in _FRAMES:
        if frames:
            return TunnelLink(_FRAMES[type], {IFLA_GRE_COLLECT_METADATA: _FLAG})
        if type == "gre":
            # Without a link layer of its own it takes frames, too, where no gretap takes them.
            return TunnelLink("gre", {IFLA_GRE_COLLECT_METADATA: _FLAG})
        raise NlError(errno.EOPNOTSUPP, "add port", f"the kernel's {type} carries Ethernet frames only")
    raise NlError(errno.EOPNOTSUPP, "add port", f"the kernel has no tunnels of type {type}")


def _request(name: str, flags: int = 0) -> Builder:
    b = Builder()
    b.append(_IFINFOMSG.pack(0, 0, 0, flags, flags))
    b.string(IFLA_IFNAME, name)
    return b


def compose(name: str, link: TunnelLink, mtu: int = TUNNEL_MTU) -> bytes:
    """The payload of an RTM_NEWLINK that makes device `name` and brings it up; `mtu` 0: the kernel's."""
    b = _request(name, _IFF_UP)
    if mtu:
        b.u32(IFLA_MTU, mtu)
    info = b.begin(IFLA_LINKINFO)
    b.string(IFLA_INFO_KIND, link.kind)
    data = b.begin(IFLA_INFO_DATA)
    for number, payload in link.attrs.items():
        b.raw(number, payload)
    b.end(data)
    b.end(info)
    return b.getvalue()


def _info(reply: bytes) -> tuple[str, dict[int, bytes]]:
    """Kind and attributes of the device of an RTM_NEWLINK. NlAttrError."""
    info = parse(parse(reply, _IFINFOMSG.size).get(IFLA_LINKINFO, b""))
    return text(info.get(IFLA_INFO_KIND, b"")), parse(info.get(IFLA_INFO_DATA, b""))


def fits(reply: bytes, link: TunnelLink) -> bool:
    """Whether the device of an RTM_NEWLINK is `link`."""
    try:
        kind, attrs = _info(reply)
    except NlAttrError:
        return False
    return (
        kind == link.kind
        and all(attrs.get(number) == payload for number, payload in link.attrs.items())
        and not any(number in attrs for number in link.absent)
    )


class TunnelLinks:
    """The devices, over one socket. OSError where there is no rtnetlink."""

    def __init__(self) -> None:
        self._sock = NlSocket(NETLINK_ROUTE)

    def close(self) -> None:
        self._sock.close()

    def _get(self, name: str) -> bytes | None:
        try:
            return self._sock.transact(RTM_GETLINK, 0, _request(name).getvalue(), "query interface", True)
        except NlError as e:
            if e.errno == errno.ENODEV:
                return None
            raise

    def type_of(self, name: str) -> str | None:
        """The port type of tunnel's device `name`; None if it is none, or none there."""
        reply = self._get(name)
        if reply is None:
            return None
        try:
            return _OF_KIND.get(_info(reply)[0])
        except NlAttrError:
            return None

    def fits(self, name: str, type: str, options: Mapping[str, str]) -> bool:
        """Whether device `name`, if there is one, is as a port of `type` needs it. NlError."""
        reply = self._get(name)
        return reply is None or fits(reply, link_for(type, options))

    def create(self, name: str, type: str, options: Mapping[str, str]) -> None:
        """Have device `name`; what an earlier life left is taken over if it fits, else made anew.
        NlError(EOPNOTSUPP): this kernel hasn't the kind, or it collects no metadata."""
        link = link_for(type, options)
        reply = self._get(name)
        if reply is not None:
            if fits(reply, link):
                return
            self.delete(name)
        self._make(name, link)

    def create_marked(self, name: str, type: str, options: Mapping[str, str], mark: str) -> None:
        """Make device `name` with `mark` as its alias, by which `left` knows whose it is. NlError: as
        `create`; EEXIST if somebody has such a device in use."""
        reply = self._get(name)
        if reply is not None:
            attrs = parse(reply, _IFINFOMSG.size)
            if IFLA_IFALIAS in attrs or IFLA_MASTER in attrs:
                raise NlError(errno.EEXIST, "add port", f"device {name} is somebody else's")
            self.delete(name)
        self._make(name, link_for(type, options))
        # A device that is being made takes no alias.
        alias = _request(name)
        alias.string(IFLA_IFALIAS, mark)
        self._sock.transact(RTM_NEWLINK, 0, alias.getvalue(), "mark interface")

    def left(self, is_left: Callable[[str], bool]) -> list[str]:
        """The names of all tunnels' devices whose alias `is_left`. NlError."""
        found: list[str] = []
        for message in self._sock.dump_all(RTM_GETLINK, _IFINFOMSG.pack(0, 0, 0, 0, 0), "listing interfaces"):
            try:
                attrs = parse(message.payload(), _IFINFOMSG.size)
                alias = text(attrs.get(IFLA_IFALIAS, b""))
                if alias and is_left(alias) and _info(message.payload())[0] in _OF_KIND:
                    found.append(text(attrs.get(IFLA_IFNAME, b"")))
            except NlAttrError:
                continue
        return found

    def _make(self, name: str, link: TunnelLink) -> None:
        self._new(name, link)
        reply = self._get(name)
        if reply is None or not fits(reply, link):
            # An old kernel passes over attributes that it doesn't know.
            self.delete(name)
            raise NlError(errno.EOPNOTSUPP, "add port", f"this kernel's {link.kind} collects no metadata")

    def _new(self, name: str, link: TunnelLink) -> None:
        flags = NLM_F_CREATE | NLM_F_EXCL
        try:
            self._sock.transact(RTM_NEWLINK, flags, compose(name, link), "add port")
        except NlError as e:
            if e.errno == errno.EEXIST:
                said = f"another {link.kind} device collects the metadata of these tunnels"
                raise NlError(errno.EEXIST, "add port", said) from e
            if e.errno != errno.EINVAL:
                raise
            # Kernels before 4.9 don't take such an MTU.
            self._sock.transact(RTM_NEWLINK, flags, compose(name, link, 0), "add port")

    def delete(self, name: str) -> None:
        """Take device `name` away; it may be gone already."""
        try:
            self._sock.transact(RTM_DELLINK, 0, _request(name).getvalue(), "delete port")
        except NlError as e:
            if e.errno != errno.ENODEV:
                raise
