"""Encodings of `messages/meter.py` (OpenFlow 1.3 and later)."""

from __future__ import annotations

from typing import Final

from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import meter as m
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.messages_base import Layout, Row, Space, plain, void
from vswitch.openflow.wire.version import OFP13, OFP15


def _put_bands(w: Writer, bands: tuple[m.MeterBand, ...]) -> None:
    for band in bands:
        w.u16(band.type)
        w.u16(16)
        w.u32(band.rate)
        w.u32(band.burst_size)
        w.u8(band.prec_level)
        w.pad(3)


BAND_BYTES: Final = 16


def _get_bands(r: Reader) -> tuple[m.MeterBand, ...]:
    bands = []
    while r.left:
        kind = int(r.u16())
        length = r.u16()
        if length < BAND_BYTES or length - 4 > r.left:
            raise OfpError("OFPBRC_BAD_LEN", f"meter band of {length} bytes")
        if kind not in (m.OFPMBT_DROP, m.OFPMBT_DSCP_REMARK):
            raise OfpError("OFPMMFC_BAD_BAND", f"meter band {kind}")
        if length != BAND_BYTES:
            raise OfpError("OFPBRC_BAD_LEN", f"meter band of {length} bytes")
        rate, burst, level = int(r.u32()), int(r.u32()), int(r.u8())
        r.skip(3)
        bands.append(m.MeterBand(kind, rate, burst, level if kind == m.OFPMBT_DSCP_REMARK else 0))
    return tuple(bands)


def _put_mod(w: Writer, mod: m.MeterMod, version: int) -> None:
    w.u16(mod.command)
    w.u16(mod.meter.flags)
    w.u32(mod.meter.meter_id)
    _put_bands(w, mod.meter.bands)


def _get_mod(r: Reader, version: int) -> m.MeterMod:
    command = int(r.u16())
    flags = int(r.u16())
    meter_id = int(r.u32())
    if command > m.OFPMC_DELETE:
        raise OfpError("OFPMMFC_BAD_COMMAND", f"meter command {command}")
    if command == m.OFPMC_DELETE:
        r.rest()
        return m.MeterMod(command, m.MeterConfig(meter_id))
    if flags & m.OFPMF_KBPS and flags & m.OFPMF_PKTPS:
        raise OfpError("OFPMMFC_BAD_FLAGS", f"meter flags {flags:#x}")
    return m.MeterMod(command, m.MeterConfig(meter_id, flags, _get_bands(r)))


_STATS_HEAD: Final = Layout(
    "pad6 flow_count:u32 packet_in_count:u64 byte_in_count:u64 duration_sec:u32 duration_nsec:u32"
)


def _put_stats(w: Writer, reply: m.MeterStatsReply, version: int) -> None:
    for meter in reply.meters:
        w.u32(meter.meter_id)
        w.u16(40 + 16 * len(meter.bands))
        _STATS_HEAD.put(w, meter)
        for packets, octets in meter.bands:
            w.u64(packets)
            w.u64(octets)


def _get_stats(r: Reader, version: int) -> m.MeterStatsReply:
    found = []
    while r.left:
        meter_id = int(r.u32())
        length = r.u16()
        if length < 40:
            raise OfpError("OFPBRC_BAD_LEN", f"meter statistics of {length} bytes")
        body = r.sub(length - 6)
        head = _STATS_HEAD.get(body)
        bands = []
        while body.left:
            bands.append((body.u64(), body.u64()))
        found.append(m.MeterStats(meter_id=meter_id, bands=tuple(bands), **head))
    return m.MeterStatsReply(tuple(found))


def _put_configs(w: Writer, reply: m.MeterConfigReply, version: int) -> None:
    for meter in reply.meters:
        w.u16(8 + 16 * len(meter.bands))
        w.u16(meter.flags)
        w.u32(meter.meter_id)
        _put_bands(w, meter.bands)


def _get_configs(r: Reader, version: int) -> m.MeterConfigReply:
    found = []
    while r.left:
        length = r.u16()
        if length < 8:
            raise OfpError("OFPBRC_BAD_LEN", f"meter configuration of {length} bytes")
        body = r.sub(length - 2)
        flags = int(body.u16())
        found.append(m.MeterConfig(int(body.u32()), flags, _get_bands(body)))
    return m.MeterConfigReply(tuple(found))


_FEATURES: Final = "max_meters:u32 band_types:u32 capabilities:u32 max_bands:u8 max_color:u8 pad2"
_ONE: Final = "meter_id:u32 pad4"
_Q: Final = Space.OFPST_REQUEST
_A: Final = Space.OFPST_REPLY

ROWS: Final[tuple[Row, ...]] = (
    Row(Space.OFPT, OFP13, OFP15, 29, m.MeterMod, _get_mod, _put_mod),
    plain(_Q, OFP13, OFP15, 9, m.MeterStatsRequest, _ONE),
    Row(_A, OFP13, OFP15, 9, m.MeterStatsReply, _get_stats, _put_stats),
    plain(_Q, OFP13, OFP15, 10, m.MeterConfigRequest, _ONE),
    Row(_A, OFP13, OFP15, 10, m.MeterConfigReply, _get_configs, _put_configs),
    void(_Q, OFP13, OFP15, 11, m.MeterFeaturesRequest),
    plain(_A, OFP13, OFP15, 11, m.MeterFeaturesReply, _FEATURES),
)
