"""Groups and meters as `ovs-ofctl` prints them."""

from __future__ import annotations

from typing import Final

from vswitch.flow.values import format_value
from vswitch.openflow.action_format import format_actions
from vswitch.openflow.constants import OFPG_ANY, OFPP_ANY
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m
from vswitch.openflow.print_base import Ports, bits, duration, port_text
from vswitch.openflow.wire.version import OFP10, OFP11, OFP15

TYPES: Final = ("all", "select", "indirect", "ff")
COMMANDS: Final = {
    g.OFPGC_ADD: "ADD",
    g.OFPGC_MODIFY: "MOD",
    g.OFPGC_ADD_OR_MOD: "ADD_OR_MOD",
    g.OFPGC_DELETE: "DEL",
    g.OFPGC_INSERT_BUCKET: "INSERT_BUCKET",
    g.OFPGC_REMOVE_BUCKET: "REMOVE_BUCKET",
}
_BUCKET_IDS: Final = {g.OFPG_BUCKET_FIRST: "first", g.OFPG_BUCKET_LAST: "last", g.OFPG_BUCKET_ALL: "all"}
_ACTIONS10: Final = (
    "output",
    "set_vlan_vid",
    "set_vlan_pcp",
    "strip_vlan",
    "mod_dl_src",
    "mod_dl_dst",
    "mod_nw_src",
    "mod_nw_dst",
    "mod_nw_tos",
    "mod_tp_src",
    "mod_tp_dst",
    "enqueue",
)
_ORDER10: Final = (0, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
_ACTIONS11: Final = {
    0: "output",
    22: "group",
    1: "set_vlan_vid",
    2: "set_vlan_pcp",
    18: "strip_vlan",
    17: "push_vlan",
    3: "mod_dl_src",
    4: "mod_dl_dst",
    5: "mod_nw_src",
    6: "mod_nw_dst",
    7: "mod_nw_tos",
    8: "mod_nw_ecn",
    23: "mod_nw_ttl",
    9: "mod_tp_src",
    10: "mod_tp_dst",
    24: "dec_ttl",
    13: "set_mpls_label",
    14: "set_mpls_tc",
    15: "set_mpls_ttl",
    16: "dec_mpls_ttl",
    19: "push_mpls",
    20: "pop_mpls",
    21: "set_queue",
}
_ACTIONS12: Final = {
    0: "output",
    22: "group",
    25: "set_field",
    18: "strip_vlan",
    17: "push_vlan",
    23: "mod_nw_ttl",
    24: "dec_ttl",
    15: "set_mpls_ttl",
    16: "dec_mpls_ttl",
    19: "push_mpls",
    20: "pop_mpls",
    21: "set_queue",
}


def action_names(bitmap: int, version: int) -> str:
    """The names of the action types in a switch's or group's bitmap, in Open vSwitch's order."""
    if version == OFP10:
        words = [_ACTIONS10[i] for i in _ORDER10 if bitmap >> i & 1]
    else:
        table = _ACTIONS11 if version == OFP11 else _ACTIONS12
        words = [name for i, name in table.items() if bitmap >> i & 1]
    return " ".join(words) if words else "(none)"


def format_bucket(bucket: g.Bucket, group_type: int, version: int, ports: Ports) -> str:
    """ "bucket=weight:10,actions=output:1"."""
    words = []
    if bucket.bucket_id != g.OFPG_BUCKET_NONE and version in (OFP10, OFP15):
        words.append(f"bucket_id:{bucket.bucket_id}")
    if group_type == g.OFPGT_SELECT and bucket.weight != 1:
        words.append(f"weight:{bucket.weight}")
    if bucket.watch_port != OFPP_ANY:
        words.append(f"watch_port:{port_text(bucket.watch_port, ports)}")
    if bucket.watch_group != OFPG_ANY:
        words.append(f"watch_group:{bucket.watch_group}")
    words.append(f"actions={format_actions(bucket.actions, ports)}")
    return "bucket=" + ",".join(words)


def _selection(selection: g.SelectionMethod | None) -> str:
    if selection is None or not selection.method:
        return ""
    out = f",selection_method={selection.method}"
    if selection.param:
        out += f",selection_method_param={selection.param}"
    words = []
    for field, mask in selection.fields:
        whole = mask == (1 << field.n_bits) - 1
        words.append(field.name if whole else f"{field.name}={format_value(field, mask)}")
    if len(words) == 1:
        out += f",fields={words[0]}"
    elif words:
        out += f",fields({','.join(words)})"
    return out


def format_group(
    group: g.GroupDesc, version: int, ports: Ports, with_type: bool = True, command_bucket: str = ""
) -> str:
    """ "group_id=1,type=all,bucket=...", as groups are given and listed."""
    out = f"{command_bucket}group_id={group.group_id}"
    if with_type:
        out += f",type={TYPES[group.type]}" if group.type < len(TYPES) else f",type={group.type}"
    out += _selection(group.selection)
    return out + "".join("," + format_bucket(b, group.type, version, ports) for b in group.buckets)


def format_group_mod(mod: g.GroupMod, version: int, ports: Ports) -> str:
    """A group mod message's text."""
    by_bucket = mod.command in (g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)
    bucket = ""
    if by_bucket:
        bucket = f"command_bucket_id:{_BUCKET_IDS.get(mod.command_bucket_id, mod.command_bucket_id)},"
    group = g.GroupDesc(mod.group_id, mod.type, mod.buckets, mod.selection)
    return f"\n {COMMANDS[mod.command]} {format_group(group, version, ports, not by_bucket, bucket)}"


def format_group_desc(reply: g.GroupDescReply, version: int, ports: Ports) -> str:
    """All groups, one a line."""
    return "\n" + "".join(f" {format_group(group, version, ports)}\n" for group in reply.groups)


def format_group_stats(reply: g.GroupStatsReply, version: int, ports: Ports) -> str:
    """Group statistics, one group a line."""
    out = "\n"
    for s in reply.groups:
        words = [f"group_id={s.group_id}"]
        if s.duration_sec is not None:
            words.append(f"duration={duration(s.duration_sec, s.duration_nsec)}")
        words += [f"ref_count={s.ref_count}", f"packet_count={s.packet_count}", f"byte_count={s.byte_count}"]
        for i, (packets, octets) in enumerate(s.buckets):
            words.append(f"bucket{i}:packet_count={packets},byte_count={octets}")
        out += f" {','.join(words)}\n"
    return out


def format_group_features(f: g.GroupFeaturesReply, version: int, ports: Ports) -> str:
    """What groups can do, by type."""
    out = f"\n Group table:\n    Types:  0x{f.types:x}\n    Capabilities:  0x{f.capabilities:x}\n"
    for i, name in enumerate(("all", "select", "indirect", "fast failover")):
        if f.types >> i & 1:
            out += f"    {name} group:\n       max_groups={c_hash(f.max_groups[i])}\n"
            out += f"       actions: {action_names(f.actions[i], version).replace('(none)', '<none>')}\n"
    return out


def c_hash(value: int) -> str:
    """Hexadecimal as C's %#x prints it: 0 has no prefix."""
    return f"0x{value:x}" if value else "0"


def group_id_text(group_id: int) -> str:
    """A group's number, or "ALL"."""
    return "ALL" if group_id == g.OFPG_ALL else str(group_id)


# Meters.

_FLAGS: Final = ("kbps", "pktps", "burst", "stats")
_METERS: Final = {m.OFPM_CONTROLLER: "controller", m.OFPM_SLOWPATH: "slowpath", m.OFPM_ALL: "all"}


def meter_text(meter_id: int) -> str:
    """A meter's number or name."""
    return _METERS.get(meter_id, str(meter_id))


def format_meter_config(meter: m.MeterConfig) -> str:
    """ "meter=1 kbps bands=", then a line a band."""
    known = (1 << len(_FLAGS)) - 1
    words = [bits(meter.flags & known, _FLAGS)] if meter.flags & known else []
    words += [f"flags:{meter.flags & ~known:#x}"] if meter.flags & ~known else []
    out = f"meter={meter_text(meter.meter_id)} {''.join(f'{word} ' for word in words)}bands=\n"
    for band in meter.bands:
        out += f"type={'drop' if band.type == m.OFPMBT_DROP else 'dscp_remark'} rate={band.rate}"
        if meter.flags & m.OFPMF_BURST:
            out += f" burst_size={band.burst_size}"
        if band.type == m.OFPMBT_DSCP_REMARK:
            out += f" prec_level={band.prec_level}"
        out += "\n"
    return out


def format_meter_mod(mod: m.MeterMod, version: int, ports: Ports) -> str:
    """A meter mod message's text."""
    return f" {('ADD', 'MOD', 'DEL')[mod.command]} {format_meter_config(mod.meter)}"


def format_meter_configs(reply: m.MeterConfigReply, version: int, ports: Ports) -> str:
    """All meters."""
    return "\n" + "\n".join(format_meter_config(meter) for meter in reply.meters)


def format_meter_stats(reply: m.MeterStatsReply, version: int, ports: Ports) -> str:
    """Meter statistics."""
    out = ""
    for s in reply.meters:
        out += (
            f"\nmeter:{meter_text(s.meter_id)} flow_count:{s.flow_count} packet_in_count:{s.packet_in_count} "
        )
        out += (
            f"byte_in_count:{s.byte_in_count} duration:{duration(s.duration_sec, s.duration_nsec)} bands:\n"
        )
        for i, (packets, octets) in enumerate(s.bands):
            out += f"{i}: packet_count:{packets} byte_count:{octets}\n"
    return out or "\n"


def format_meter_features(f: m.MeterFeaturesReply, version: int, ports: Ports) -> str:
    """What meters can do."""
    types = bits(f.band_types, ("", "drop", "dscp_remark"), "0")
    return (
        f"\nmax_meter:{f.max_meters} max_bands:{f.max_bands} max_color:{f.max_color}\n"
        f"band_types: {types}\ncapabilities: {bits(f.capabilities, _FLAGS, '0')}\n"
    )
