"""The options of a tunnel interface, from the database's text to values (ovs-vswitchd.conf.db(5), Interface:
Tunnel Options).

What the real switch refuses is refused, with its words. Where it takes a number for another one, or goes on
without, so does this, but says so: nothing is silent. Addresses are
128-bit numbers, IPv4 ones mapped (::ffff:a.b.c.d), 0 for none.
"""

from __future__ import annotations

import errno
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.netdev.provider import NetdevError
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_MIN, ETH_TYPE_MPLS
from vswitch.packet.tunnel import kinds

V4_MAPPED: Final = 0xFFFF << 32
DEFAULT_TTL: Final = 64

LEGACY_L2: Final = "legacy_l2"
LEGACY_L3: Final = "legacy_l3"
PTAP: Final = "ptap"

_CSUM: Final = frozenset(("gre", "ip6gre", "vxlan", "geneve", "bareudp"))
_SEQ: Final = frozenset(("gre", "ip6gre"))
_UDP: Final = frozenset(("vxlan", "geneve", "gtpu", "bareudp"))
_ERSPAN: Final = frozenset(("erspan", "ip6erspan"))
_L3_ONLY: Final = frozenset(("gtpu", "bareudp", "srv6"))
_LAYERS: Final = frozenset(("gre", "ip6gre", "vxlan", "geneve"))
"""Kinds that carry frames or packets, as `packet_type` says."""
_IPSEC: Final = frozenset(("psk", "remote_cert", "remote_name", "certificate", "private_key", "use_ssl_cert"))
"""Options for ovs-monitor-ipsec, which reads them itself."""
_PAYLOADS: Final = {"ip": ETH_TYPE_IP, "mpls": ETH_TYPE_MPLS}
_DP_NAMES: Final = {
    "gre": "gre_sys", "ip6gre": "ip6gre_sys", "erspan": "erspan_sys", "ip6erspan": "ip6erspan_sys",
    "vxlan": "vxlan_sys", "geneve": "genev_sys", "gtpu": "gtpu_sys", "bareudp": "bareudp_sys",
    "srv6": "srv6_sys",
}  # fmt: skip
GRE_DEVICES: Final = ("gre_sys", "gre_sys_l3")
"""The kernel's devices for GRE: for frames, and for packets of all kinds."""
_OVER_IPV6: Final = {"gre": "ip6gre", "erspan": "ip6erspan"}
FOREIGN_DP_NAMES: Final = ("lisp_sys", "stt_sys", "udp_sys")
"""What other versions of Open vSwitch call ports of the datapath for kinds of tunnels."""


def reserves(kind: str, name: str) -> bool:
    """Whether an interface can't be called `name`, as the datapath's ports for tunnels of `kind` are."""
    return name.startswith(_DP_NAMES[kind])


def is_tunnel_name(name: str) -> bool:
    """Whether `name` is that of a datapath's port for tunnels."""
    return any(reserves(kind, name) for kind in _DP_NAMES)


class TunnelConflict(NetdevError):
    """A tunnel that can't be beside one that is there; the text is for Interface.error."""


@dataclass(frozen=True)
class TunnelConfig:
    """What a tunnel interface is asked to be.

    `*_flow`: the value comes from the packet's tunnel fields (out), or any is taken (in). `in_key` and
    `out_key` None: no key. `packet_type`: "legacy_l2", "legacy_l3" or "ptap". `payload_type`: bareudp's
    Ethernet type.
    """

    type: str
    remote_ip: int = 0
    local_ip: int = 0
    remote_flow: bool = False
    local_flow: bool = False
    in_key: int | None = None
    out_key: int | None = None
    in_key_flow: bool = False
    out_key_flow: bool = False
    dst_port: int = 0
    tos: int = 0
    tos_inherit: bool = False
    ttl: int = DEFAULT_TTL
    ttl_inherit: bool = False
    df: bool = True
    csum: bool = False
    seq: bool = False
    egress_pkt_mark: int | None = None
    packet_type: str = LEGACY_L2
    gbp: bool = False
    gpe: bool = False
    payload_type: int = 0
    erspan_ver: int | None = 0
    erspan_idx: int | None = 0
    erspan_dir: int | None = 0
    erspan_hwid: int | None = 0
    """ERSPAN's fields; None: from the packet's tunnel fields."""
    segments: tuple[int, ...] = ()
    """SRv6: the addresses on the way, first to last."""
    shown: Mapping[str, str] = field(default_factory=dict)
    """The options as `dpif/show` prints them."""

    @property
    def kind(self) -> int:
        """The kind's number (`packet.tunnel.kinds`)."""
        return kinds.NUMBERS[self.type]

    @property
    def dp_name(self) -> str:
        """The datapath port that all tunnels of this kind and UDP port share."""
        name = _DP_NAMES[self.type]
        return f"{name}_{self.dst_port}" if self.type in _UDP else name

    @property
    def device_type(self) -> str:
        """As `type` where the port is a device of the kernel, which has other kinds for GRE over IPv6."""
        over_ipv6 = any(ip and ip >> 32 != V4_MAPPED >> 32 for ip in (self.remote_ip, self.local_ip))
        return _OVER_IPV6.get(self.type, self.type) if over_ipv6 else self.type

    @property
    def device_name(self) -> str:
        """As `dp_name` where the port is a device of the kernel: GRE has one for frames, and one for packets
        without Ethernet headers."""
        type = self.device_type
        if type != self.type:
            return _DP_NAMES[type]
        return GRE_DEVICES[self.packet_type != LEGACY_L2] if type == "gre" else self.dp_name

    def device_options(self) -> dict[str, str]:
        """As `dp_options` where the port is a device of the kernel, which carries frames or packets."""
        if self.type not in _LAYERS or self.packet_type == LEGACY_L2:
            return self.dp_options()
        return {**self.dp_options(), "packet_type": self.packet_type}

    def dp_options(self) -> dict[str, str]:
        """What the datapath needs to know to make that port."""
        options = {"dst_port": str(self.dst_port)} if self.dst_port else {}
        exts = [name for name, on in (("gbp", self.gbp), ("gpe", self.gpe)) if on]
        if exts:
            options["exts"] = ",".join(exts)
        if self.payload_type:
            options["payload_type"] = f"0x{self.payload_type:04x}"
        return options


def parse_address(text: str) -> int | None:
    """An IPv4 or IPv6 address; None if it is neither."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return int(address) | V4_MAPPED if address.version == 4 else int(address)


def format_address(address: int) -> str:
    """An address as the real switch writes it."""
    if address >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(address & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(address))


def is_v4(address: int) -> bool:
    """Whether `address` is a mapped IPv4 one."""
    return address >> 32 == 0xFFFF


def _number(text: str, base: int = 0) -> tuple[int, bool]:
    """What C's strtoll makes of `text` (base 0: as it is written), and whether that is all of it."""
    signed = text.lstrip(" \t\n\v\f\r")
    digits = signed.lstrip("+-") if signed[:2] not in ("++", "--", "+-", "-+") else ""
    if base in (0, 16) and re.match("0[xX][0-9a-fA-F]", digits):
        base, digits = 16, digits[2:]
    elif base == 0:
        base = 8 if digits.startswith("0") else 10
    found = re.match({8: "[0-7]*", 10: "[0-9]*", 16: "[0-9a-fA-F]*"}[base], digits)
    said = found[0] if found is not None else ""
    value = int(said, base) if said else 0
    whole = digits == said if said else text == ""
    return -value if signed.startswith("-") else value, whole


def _unsigned64(text: str) -> tuple[int, bool]:
    """What C's strtoull makes of it."""
    value, whole = _number(text)
    if abs(value) > 0xFFFFFFFFFFFFFFFF:
        return 0xFFFFFFFFFFFFFFFF, False
    return value & 0xFFFFFFFFFFFFFFFF, whole and value >= 0 and text != ""


class _Reader:
    """The options of one interface while they are read. `said` is what there is to say of them."""

    def __init__(self, name: str, type: str, options: Mapping[str, str]) -> None:
        self.name = name
        self.type = type
        self.options = options
        self.left = set(options)
        self.said: list[str] = []

    def take(self, option: str) -> str | None:
        self.left.discard(option)
        return self.options.get(option)

    def say(self, text: str) -> None:
        self.said.append(f"{self.name}: {text}")

    def refuse(self, why: str) -> NetdevError:
        """The error that ends it all, with what was said before."""
        self.say(why)
        return NetdevError(errno.EINVAL, "\n".join(self.said))

    def address(self, option: str) -> tuple[int, bool]:
        text = self.take(option)
        if text is None:
            return 0, False
        if text == "flow":
            return 0, True
        address = parse_address(text)
        if address is None:
            self.say(f"bad {self.type} '{option}'")
            return 0, False
        if option == "remote_ip" and (
            (is_v4(address) and (address >> 28 & 0xF) == 0xE) or address >> 120 == 0xFF
        ):
            raise self.refuse(f"multicast {option}={text} not allowed")
        return address, False

    def key(self, option: str) -> tuple[int | None, bool]:
        common, own = self.take("key"), self.take(option)
        text = own if own is not None else common
        if text is None:
            return None, False
        if text == "flow":
            return None, True
        value, whole = _unsigned64(text)
        if not whole:
            self.say(f"{option} '{text}' is taken for {value}")
        return value, False

    def tos(self) -> tuple[int, bool]:
        text = self.take("tos")
        if text is None or text == "inherit":
            return 0, text == "inherit"
        value, whole = _number(text)
        if not whole or value & ~0xFC:
            self.say(f"invalid TOS {text}")
            return 0, False
        return value, False

    def number(self, option: str, bits: int) -> int | None:
        """A decimal number, of which `bits` count."""
        text = self.take(option)
        if text is None:
            return None
        value, whole = _number(text, 10)
        taken = value & (1 << bits) - 1
        if not whole or taken != value or text == "":
            self.say(f"{option} '{text}' is taken for {taken}")
        return taken

    def flag(self, option: str, allowed: bool, default: bool = False) -> bool:
        text = self.take(option) if allowed else None
        if text is None:
            return default
        if text not in ("true", "false"):
            self.say(f"{option} '{text}' is taken for {'true' if default else 'false'}")
        return text == "true" if not default else text != "false"

    def erspan(self, option: str, base: int, bits: int, what: str) -> int | None:
        text = self.take(option)
        if text is None:
            return 0
        if text == "flow":
            return None
        value, whole = _number(text, base)
        if not 0 <= value < 1 << bits:
            raise self.refuse(f"invalid erspan {what}: {text}")
        if not whole or text == "":
            self.say(f"{option} '{text}' is taken for {value:#x}")
        return value

    def erspan_version(self) -> int | None:
        """0 if none is asked for."""
        text = self.take("erspan_ver")
        if text is None:
            return 0
        if text == "flow":
            return None
        value, _ = _number(text, 10)
        if value not in (1, 2):
            raise self.refuse(f"invalid erspan version: {text}")
        return value

    def packet_type(self, gpe: bool) -> str:
        """What the tunnel carries. NetdevError: its kind can't."""
        wanted = self.take("packet_type")
        l3_only = self.type in _L3_ONLY
        if wanted is None:
            return LEGACY_L3 if l3_only else LEGACY_L2
        if wanted not in (LEGACY_L2, LEGACY_L3, PTAP):
            raise self.refuse(f"unknown packet_type '{wanted}'")
        called = "VXLAN (without GPE)" if self.type == "vxlan" and not gpe else self.type
        if wanted == LEGACY_L2 and l3_only:
            raise self.refuse(f"legacy_l2 configured on {called} tunnel that cannot carry L2 traffic")
        if wanted == LEGACY_L3 and not (gpe if self.type == "vxlan" else l3_only or self.type in _LAYERS):
            raise self.refuse(f"legacy_l3 configured on {called} tunnel that cannot carry L3 traffic")
        return wanted


def parse_tunnel(
    name: str, type: str, options: Mapping[str, str], warn: Callable[[str], None] = lambda text: None
) -> TunnelConfig:
    """What `options` of interface `name` ask for. NetdevError says what can't be; `warn` gets what is not
    acted on, a line each."""
    r = _Reader(name, type, options)
    remote, remote_flow = r.address("remote_ip")
    local, local_flow = r.address("local_ip")
    tos, tos_inherit = r.tos()
    ttl_inherit = options.get("ttl") == "inherit"
    ttl = DEFAULT_TTL
    if ttl_inherit:
        r.take("ttl")
    else:
        ttl = r.number("ttl", 8) or DEFAULT_TTL
    dst_port = kinds.UDP_PORTS.get(type, 0)
    if type in _UDP:
        port = r.number("dst_port", 16)
        dst_port = dst_port if port is None else port
    mark = r.number("egress_pkt_mark", 32)
    gbp = gpe = False
    if type == "vxlan":
        for ext in filter(None, (r.take("exts") or "").split(",")):
            gbp, gpe = gbp or ext == "gbp", gpe or ext == "gpe"
            if ext not in ("gbp", "gpe"):
                r.say(f"unknown extension '{ext}'")
    payload = 0
    if type == "bareudp":
        text = r.take("payload_type") or ""
        payload = _PAYLOADS.get(text) or _number(text)[0]
        if not ETH_TYPE_MIN <= payload <= 0xFFFF:
            raise r.refuse(f"bareudp type requires valid 'payload_type' argument, not '{text}'")
    # ERSPAN's are looked at in any tunnel, as by the real switch.
    version = r.erspan_version()
    index = r.erspan("erspan_idx", 16, 20, "index")
    direction = r.erspan("erspan_dir", 16, 1, "direction")
    hwid = r.erspan("erspan_hwid", 16, 6, "hardware ID")
    if version is None:
        index = direction = hwid = None
    if type not in _ERSPAN:
        version, index, direction, hwid = 0, 0, 0, 0
    csum, seq = r.flag("csum", type in _CSUM), r.flag("seq", type in _SEQ)
    df = r.flag("df_default", True, True)
    packet_type = r.packet_type(gpe)
    segments: tuple[int, ...] = ()
    if type == "srv6":
        segments = _segments(r, remote)
    in_key, in_key_flow = r.key("in_key")
    out_key, out_key_flow = r.key("out_key")
    for option in sorted(r.left - _IPSEC):
        r.say(f"unknown {type} argument '{option}'")
    if not remote and not remote_flow:
        raise r.refuse(f"{type} type requires valid 'remote_ip' argument")
    if local_flow and not remote_flow:
        raise r.refuse(f"{type} type requires 'remote_ip=flow' with 'local_ip=flow'")
    if local and remote and is_v4(local) != is_v4(remote):
        raise r.refuse("'remote_ip' and 'local_ip' has to be of the same address family")
    for text in r.said:
        warn(text)
    return _with_shown(TunnelConfig(
        type, remote, local, remote_flow, local_flow, in_key, out_key, in_key_flow, out_key_flow, dst_port,
        tos, tos_inherit, ttl, ttl_inherit, df, csum, seq, mark, packet_type, gbp, gpe, payload,
        version, index, direction, hwid, segments,
    ))  # fmt: skip


def _segments(r: _Reader, remote: int) -> tuple[int, ...]:
    text = r.take("srv6_segs")
    if text is None:
        if remote and is_v4(remote):
            raise r.refuse("srv6 type requires an IPv6 'remote_ip'")
        return (remote,) if remote else ()
    found = []
    for word in text.split(","):
        address = parse_address(word.strip())
        if address is None or is_v4(address):
            raise r.refuse(f"srv6_segs: '{word}' is no IPv6 address")
        found.append(address)
    if remote and found[0] != remote:
        raise r.refuse("srv6_segs: the first segment has to be remote_ip")
    return tuple(found)


def _shown(address: int) -> str:
    return "::ffff:0.0.0.0" if address == V4_MAPPED else format_address(address)


def _with_shown(c: TunnelConfig) -> TunnelConfig:
    shown: dict[str, str] = {}
    if c.remote_ip or c.remote_flow:
        shown["remote_ip"] = "flow" if c.remote_flow else _shown(c.remote_ip)
    if c.local_ip or c.local_flow:
        shown["local_ip"] = "flow" if c.local_flow else _shown(c.local_ip)
    in_key = "flow" if c.in_key_flow else "" if c.in_key is None else str(c.in_key)
    out_key = "flow" if c.out_key_flow else "" if c.out_key is None else str(c.out_key)
    if in_key == out_key:
        if in_key:
            shown["key"] = in_key
    else:
        shown.update({k: v for k, v in (("in_key", in_key), ("out_key", out_key)) if v})
    if c.ttl_inherit:
        shown["ttl"] = "inherit"
    elif c.ttl != DEFAULT_TTL:
        shown["ttl"] = str(c.ttl)
    if c.tos_inherit:
        shown["tos"] = "inherit"
    elif c.tos:
        shown["tos"] = f"0x{c.tos:x}"
    if c.dst_port and c.dst_port != kinds.UDP_PORTS.get(c.type, 0):
        shown["dst_port"] = str(c.dst_port)
    if c.csum:
        shown["csum"] = "true"
    if c.seq:
        shown["seq"] = "true"
    default = LEGACY_L3 if c.type in _L3_ONLY else LEGACY_L2
    if c.packet_type != default:
        shown["packet_type"] = c.packet_type
    if not c.df:
        shown["df_default"] = "false"
    if c.egress_pkt_mark is not None:
        shown["egress_pkt_mark"] = str(c.egress_pkt_mark)
    if c.type in _ERSPAN:
        shown["erspan_ver"] = "flow" if c.erspan_ver is None else str(c.erspan_ver)
        if c.erspan_ver in (1, None):
            shown["erspan_idx"] = "flow" if c.erspan_idx is None else f"0x{c.erspan_idx:x}"
        if c.erspan_ver in (2, None):
            shown["erspan_dir"] = "flow" if c.erspan_dir is None else str(c.erspan_dir)
            shown["erspan_hwid"] = "flow" if c.erspan_hwid is None else f"0x{c.erspan_hwid:x}"
    if c.segments and c.segments != (c.remote_ip,):
        shown["srv6_segs"] = ",".join(map(format_address, c.segments))
    return replace(c, shown=shown)

