"""Encodings of `messages/port.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vswitch.openflow import constants as c
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import port as p
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.messages_base import (
    OFPPROP_EXPERIMENTER,
    Layout,
    Row,
    Space,
    begin_property,
    done,
    end_property,
    get_port,
    get_properties,
    plain,
    put_port,
    put_u32_property,
)
from vswitch.openflow.wire.version import OFP10, OFP11, OFP13, OFP14, OFP15

INTEL_VENDOR_ID: Final = 0x0000AA01
INTEL_PORT_STATS_RFC2819: Final = 1
INTEL_PORT_STATS_CUSTOM: Final = 2
N_RFC2819: Final = 21

_PORT10 = Layout(
    "port_no:port16 hw_addr:mac name:s16 config:u32 state:u32 curr:u32 advertised:u32 supported:u32 peer:u32"
)
_PORT11 = Layout(
    "port_no:port32 pad4 hw_addr:mac pad2 name:s16 config:u32 state:u32 "
    "curr:u32 advertised:u32 supported:u32 peer:u32 curr_speed:u32 max_speed:u32"
)
_PORT14 = Layout("hw_addr:mac pad2 name:s16 config:u32 state:u32")
_ETHERNET14 = Layout("pad4 curr:u32 advertised:u32 supported:u32 peer:u32 curr_speed:u32 max_speed:u32")

_CONFIG11: Final = c.OFPPC_PORT_DOWN | c.OFPPC_NO_RECV | c.OFPPC_NO_FWD | c.OFPPC_NO_PACKET_IN
_CONFIG10: Final = 0x7F
_STATE11: Final = c.OFPPS_LINK_DOWN | c.OFPPS_BLOCKED | c.OFPPS_LIVE
_STATE10: Final = c.OFPPS_LINK_DOWN | 0x300


def features_to_10(features: int) -> int:
    """Link features (OFPPF_*) as 1.0 numbers them."""
    return features & 0x7F | (features & 0xF800) >> 4


def features_from_10(features: int) -> int:
    """And back."""
    return features & 0x7F | (features & 0xF80) << 4


class _Port10:
    """A port with the numbers of 1.0."""

    def __init__(self, port: p.Port) -> None:
        self.port_no = port.port_no
        self.hw_addr = port.hw_addr
        self.name = port.name
        self.config = port.config & _CONFIG10
        self.state = port.state & _STATE10
        self.curr = features_to_10(port.curr)
        self.advertised = features_to_10(port.advertised)
        self.supported = features_to_10(port.supported)
        self.peer = features_to_10(port.peer)


def put_port_desc(w: Writer, port: p.Port, version: int) -> None:
    """ofp_port or ofp_phy_port, without the bits that the version lacks."""
    if version == OFP10:
        _PORT10.put(w, _Port10(port))
        return
    if port.config & ~_CONFIG11 or port.state & ~_STATE11:
        port = replace(port, config=port.config & _CONFIG11, state=port.state & _STATE11)
    if version < OFP14:
        _PORT11.put(w, port)
    else:
        start = w.position()
        put_port(w, port.port_no, version)
        w.u32(0)
        _PORT14.put(w, port)
        ethernet = begin_property(w, 0)
        _ETHERNET14.put(w, port)
        end_property(w, ethernet)
        w.patch_u16(start + 4, w.position() - start)


def get_port_desc(r: Reader, version: int) -> p.Port:
    """And back."""
    if version == OFP10:
        found = _PORT10.get(r)
        for name in ("curr", "advertised", "supported", "peer"):
            found[name] = features_from_10(found[name])
        found["config"] &= _CONFIG10
        found["state"] &= _STATE10
        return p.Port(**found)
    if version < OFP14:
        found = _PORT11.get(r)
    else:
        port_no = get_port(r, version)
        length = r.u16()
        r.skip(2)
        if length < 40:
            raise OfpError("OFPBRC_BAD_LEN", f"port of {length} bytes")
        body = r.sub(length - 8)
        found = {"port_no": port_no, **_PORT14.get(body)}
        for kind, value in get_properties(body):
            if kind == 0:
                found.update(_ETHERNET14.get(value))
                done(value)
    found["config"] &= _CONFIG11
    found["state"] &= _STATE11
    return p.Port(**found)


def _put_status(w: Writer, m: p.PortStatus, version: int) -> None:
    w.u8(m.reason)
    w.pad(7)
    put_port_desc(w, m.port, version)


def _get_status(r: Reader, version: int) -> p.PortStatus:
    reason = r.u8()
    if reason > p.OFPPR_MODIFY:
        raise OfpError("NXBRC_BAD_REASON", f"port status of reason {reason}")
    r.skip(7)
    return p.PortStatus(int(reason), get_port_desc(r, version))


_MOD10 = Layout("port_no:port16 hw_addr:mac config:u32 mask:u32")
_MOD11 = Layout("port_no:port32 pad4 hw_addr:mac pad2 config:u32 mask:u32")


def _put_mod(w: Writer, m: p.PortMod, version: int) -> None:
    # What the version has no bit for (NO_FLOOD, NO_STP of 1.0) can't be said.
    valid = _CONFIG10 if version == OFP10 else _CONFIG11
    m = replace(m, config=m.config & valid, mask=m.mask & valid)
    (_MOD10 if version == OFP10 else _MOD11).put(w, m)
    if version >= OFP14:
        if m.advertise:
            put_u32_property(w, 0, m.advertise)
        return
    w.u32(features_to_10(m.advertise) if version == OFP10 else m.advertise)
    w.pad(4)


def _get_mod(r: Reader, version: int) -> p.PortMod:
    found = (_MOD10 if version == OFP10 else _MOD11).get(r)
    valid = _CONFIG10 if version == OFP10 else _CONFIG11
    advertise = 0
    if version < OFP14:
        advertise = int(r.u32())
        r.skip(4)
        if version == OFP10:
            advertise = features_from_10(advertise)
    else:
        for kind, body in get_properties(r):
            if kind != 0:
                raise OfpError("OFPBPC_BAD_TYPE", f"port mod property {kind}")
            advertise = int(body.u32())
            done(body)
    if found["mask"] & ~valid or found["config"] & ~valid:
        found["config"] &= valid
        found["mask"] &= valid
    return p.PortMod(advertise=advertise, **found)


_COUNTERS = (
    "rx_packets:u64 tx_packets:u64 rx_bytes:u64 tx_bytes:u64 "
    "rx_dropped:u64 tx_dropped:u64 rx_errors:u64 tx_errors:u64"
)
_ETHERNET = "rx_frame_err:u64 rx_over_err:u64 rx_crc_err:u64 collisions:u64"
_STATS10 = Layout(f"port_no:port16 pad6 {_COUNTERS} {_ETHERNET}")
_STATS11 = Layout(f"port_no:port32 pad4 {_COUNTERS} {_ETHERNET}")
_STATS13 = Layout(f"port_no:port32 pad4 {_COUNTERS} {_ETHERNET} duration_sec:u32 duration_nsec:u32")
_STATS14 = Layout(f"port_no:port32 duration_sec:u32 duration_nsec:u32 {_COUNTERS}")
_STATS14_ETHERNET = Layout(f"pad4 {_ETHERNET}")


def _timed_stats(stats: p.PortStats) -> p.PortStats:
    """Statistics whose duration is told."""
    return stats if stats.duration_sec is not None else replace(stats, duration_sec=0)


def _put_stats(w: Writer, m: p.PortStatsReply, version: int) -> None:
    for stats in m.stats:
        if version == OFP10:
            _STATS10.put(w, stats)
        elif version < OFP13:
            _STATS11.put(w, stats)
        elif version == OFP13:
            _STATS13.put(w, _timed_stats(stats))
        else:
            _put_stats14(w, stats)


def _put_stats14(w: Writer, stats: p.PortStats) -> None:
    start = w.position()
    w.u32(0)
    _STATS14.put(w, _timed_stats(stats))
    at = begin_property(w, 0)
    _STATS14_ETHERNET.put(w, stats)
    end_property(w, at)
    if stats.rfc2819 is not None:
        at = begin_property(w, OFPPROP_EXPERIMENTER)
        w.u32(INTEL_VENDOR_ID)
        w.u32(INTEL_PORT_STATS_RFC2819)
        w.pad(4)
        for counter in stats.rfc2819.counters:
            w.u64(counter)
        end_property(w, at)
    if stats.custom:
        at = begin_property(w, OFPPROP_EXPERIMENTER)
        w.u32(INTEL_VENDOR_ID)
        w.u32(INTEL_PORT_STATS_CUSTOM)
        w.pad(2)
        w.u16(len(stats.custom))
        for custom in stats.custom:
            name = custom.name.encode("utf-8", "surrogateescape")[:255]
            w.u8(len(name))
            w.raw(name)
            w.u64(custom.value)
        end_property(w, at)
    w.patch_u16(start, w.position() - start)


def _get_stats(r: Reader, version: int) -> p.PortStatsReply:
    found = []
    while r.left:
        if version == OFP10:
            found.append(p.PortStats(**_STATS10.get(r)))
        elif version < OFP13:
            found.append(p.PortStats(**_STATS11.get(r)))
        elif version == OFP13:
            found.append(p.PortStats(**_STATS13.get(r)))
        else:
            found.append(_get_stats14(r))
    return p.PortStatsReply(tuple(found))


def _get_stats14(r: Reader) -> p.PortStats:
    length = r.u16()
    r.skip(2)
    if length < 80:
        raise OfpError("OFPBRC_BAD_LEN", f"port statistics of {length} bytes")
    body = r.sub(length - 4)
    found = _STATS14.get(body)
    for name in ("rx_frame_err", "rx_over_err", "rx_crc_err", "collisions"):
        found[name] = p.UNKNOWN
    for kind, value in get_properties(body):
        if kind == 0:
            found.update(_STATS14_ETHERNET.get(value))
            done(value)
        elif kind == OFPPROP_EXPERIMENTER and value.u32() == INTEL_VENDOR_ID:
            subtype = value.u32()
            if subtype == INTEL_PORT_STATS_RFC2819:
                value.skip(4)
                found["rfc2819"] = p.RFC2819(tuple(value.u64() for _ in range(N_RFC2819)))
            elif subtype == INTEL_PORT_STATS_CUSTOM:
                value.skip(2)
                found["custom"] = tuple(_get_custom(value) for _ in range(value.u16()))
    return p.PortStats(**found)


def _get_custom(r: Reader) -> p.CustomStat:
    name = r.raw(r.u8()).decode("utf-8", "surrogateescape")
    return p.CustomStat(name, r.u64())


def _put_ports(w: Writer, m: p.PortDescReply, version: int) -> None:
    for port in m.ports:
        put_port_desc(w, port, version)


def _get_ports(r: Reader, version: int) -> p.PortDescReply:
    found = []
    while r.left:
        found.append(get_port_desc(r, version))
    return p.PortDescReply(tuple(found))


_Q: Final = Space.OFPST_REQUEST
_A: Final = Space.OFPST_REPLY

ROWS: Final[tuple[Row, ...]] = (
    Row(Space.OFPT, OFP10, OFP15, 12, p.PortStatus, _get_status, _put_status),
    Row(Space.OFPT, OFP10, OFP10, 15, p.PortMod, _get_mod, _put_mod),
    Row(Space.OFPT, OFP11, OFP15, 16, p.PortMod, _get_mod, _put_mod),
    plain(_Q, OFP10, OFP10, 4, p.PortStatsRequest, "port_no:port16 pad6"),
    plain(_Q, OFP11, OFP15, 4, p.PortStatsRequest, "port_no:port32 pad4"),
    Row(_A, OFP10, OFP15, 4, p.PortStatsReply, _get_stats, _put_stats),
    Row(_Q, OFP10, OFP14, 13, p.PortDescRequest, lambda r, v: p.PortDescRequest(), lambda w, m, v: None),
    plain(_Q, OFP15, OFP15, 13, p.PortDescRequest, "port_no:port32 pad4"),
    Row(_A, OFP10, OFP15, 13, p.PortDescReply, _get_ports, _put_ports),
)
