"""Messages of family ovs_meter: rate limiters inside the datapath."""

from __future__ import annotations

import errno
from typing import Final

from vswitch.dpif.kernel.family import OVS_ATTRS_OFFSET, OVS_VERSION
from vswitch.dpif.types import MeterConfig, MeterFeatures, MeterStats
from vswitch.netlink.attrs import Builder, NlAttrError, attributes, parse, u32_at, u64_at
from vswitch.netlink.errors import NlError
from vswitch.netlink.socket import NlSocket

OVS_METER_CMD_FEATURES: Final = 1
OVS_METER_CMD_SET: Final = 2
OVS_METER_CMD_DEL: Final = 3
OVS_METER_CMD_GET: Final = 4

OVS_METER_ATTR_ID: Final = 1
OVS_METER_ATTR_KBPS: Final = 2
OVS_METER_ATTR_STATS: Final = 3
OVS_METER_ATTR_BANDS: Final = 4
OVS_METER_ATTR_CLEAR: Final = 6
OVS_METER_ATTR_MAX_METERS: Final = 7
OVS_METER_ATTR_MAX_BANDS: Final = 8

OVS_BAND_ATTR_TYPE: Final = 1
OVS_BAND_ATTR_RATE: Final = 2
OVS_BAND_ATTR_BURST: Final = 3
OVS_BAND_ATTR_STATS: Final = 4

BAND_TYPES: Final = {1: "drop"}
"""`enum ovs_meter_band_type`: the kernel knows but this one."""
_BAND_NUMBERS: Final = {name: number for number, name in BAND_TYPES.items()}


def _begin(cmd: int, dp_ifindex: int, meter_id: int | None = None) -> Builder:
    b = Builder()
    b.genl_header(cmd, OVS_VERSION)
    b.append_u32(dp_ifindex)
    if meter_id is not None:
        b.u32(OVS_METER_ATTR_ID, meter_id)
    return b


def _u32(attrs: dict[int, bytes], attr: int) -> int:
    value = attrs.get(attr, b"")
    return int(u32_at(value, 0)) if len(value) == 4 else 0


def _parse(reply: bytes, request: str) -> dict[int, bytes]:
    try:
        return parse(reply, OVS_ATTRS_OFFSET)
    except NlAttrError as e:
        raise NlError(errno.EPROTO, request, str(e)) from e


def _pair(counters: bytes) -> tuple[int, int]:
    return (u64_at(counters, 0), u64_at(counters, 8)) if len(counters) >= 16 else (0, 0)


def _parse_stats(reply: bytes, request: str) -> MeterStats:
    attrs = _parse(reply, request)
    stats = MeterStats()
    stats.packets_in, stats.bytes_in = _pair(attrs.get(OVS_METER_ATTR_STATS, b""))
    try:
        bands = attrs.get(OVS_METER_ATTR_BANDS, b"")
        for _, offset, length in attributes(bands):
            band = parse(bands, offset, offset + length)
            stats.bands.append(_pair(band.get(OVS_BAND_ATTR_STATS, b"")))
    except NlAttrError as e:
        raise NlError(errno.EPROTO, request, str(e)) from e
    return stats


def features(sock: NlSocket, family: int, dp_ifindex: int) -> MeterFeatures:
    """How many meters of which kind the datapath takes. NlError."""
    payload = _begin(OVS_METER_CMD_FEATURES, dp_ifindex).getvalue()
    reply = sock.transact(family, 0, payload, "get meter features", want_reply=True)
    attrs = _parse(reply, "get meter features")
    try:
        bands = attrs.get(OVS_METER_ATTR_BANDS, b"")
        types = {_u32(parse(bands, o, o + n), OVS_BAND_ATTR_TYPE) for _, o, n in attributes(bands)}
    except NlAttrError as e:
        raise NlError(errno.EPROTO, "get meter features", str(e)) from e
    return MeterFeatures(
        max_meters=_u32(attrs, OVS_METER_ATTR_MAX_METERS),
        band_types=tuple(BAND_TYPES[t] for t in sorted(types) if t in BAND_TYPES),
        max_bands=_u32(attrs, OVS_METER_ATTR_MAX_BANDS),
    )


def set_meter(sock: NlSocket, family: int, dp_ifindex: int, meter_id: int, config: MeterConfig) -> None:
    """Create or replace a meter. NlError: EINVAL for bands that the kernel hasn't, EFBIG."""
    b = _begin(OVS_METER_CMD_SET, dp_ifindex, meter_id)
    if config.unit == "kbps":
        b.flag(OVS_METER_ATTR_KBPS)
    nest = b.begin(OVS_METER_ATTR_BANDS)
    for band in config.bands:
        number = _BAND_NUMBERS.get(band.type)
        if number is None:
            raise NlError(errno.EINVAL, "set meter", f"the kernel has no {band.type} bands")
        one = b.begin(0)
        b.u32(OVS_BAND_ATTR_TYPE, number)
        b.u32(OVS_BAND_ATTR_RATE, band.rate)
        # Without a burst a bucket holds what the rate gives in one second.
        b.u32(OVS_BAND_ATTR_BURST, band.burst if config.burst else band.rate)
        b.end(one)
    b.end(nest)
    sock.transact(family, 0, b.getvalue(), "set meter", want_reply=True)


def get_meter(sock: NlSocket, family: int, dp_ifindex: int, meter_id: int) -> MeterStats:
    """A meter's counters. NlError: ENOENT."""
    payload = _begin(OVS_METER_CMD_GET, dp_ifindex, meter_id).getvalue()
    return _parse_stats(sock.transact(family, 0, payload, "get meter", want_reply=True), "get meter")


def del_meter(sock: NlSocket, family: int, dp_ifindex: int, meter_id: int) -> MeterStats:
    """Delete a meter; its last counters. NlError: ENOENT."""
    payload = _begin(OVS_METER_CMD_DEL, dp_ifindex, meter_id).getvalue()
    reply = sock.transact(family, 0, payload, "delete meter", want_reply=True)
    if OVS_METER_ATTR_ID not in _parse(reply, "delete meter"):
        # The kernel answers the deletion of a meter that it hasn't with an empty message.
        raise NlError(errno.ENOENT, "delete meter")
    return _parse_stats(reply, "delete meter")
