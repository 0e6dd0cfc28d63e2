"""The commands on groups, meters and tunnel option mappings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from vswitch.cli.ofctl.flows import read_lines, run_bundle, said
from vswitch.cli.ofctl.formats import (
    BUCKET_FORMATS,
    METER_FORMATS,
    TLV_FORMATS,
    of_versions,
    require,
    usable_list,
)
from vswitch.cli.ofctl.switch import OfctlError, Switch
from vswitch.dpif.ct_tuple import ICMP, ICMP_FIELDS, Address, TupleReader
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.flow_text import group_number
from vswitch.openflow.group_text import parse_group, parse_meter
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m
from vswitch.openflow.messages import nicira as n
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP15

Args: TypeAlias = Sequence[str]


# Groups.


def _change_groups(switch: Switch, texts: Sequence[tuple[str, str]], command: int) -> None:
    if command == g.OFPGC_INSERT_BUCKET and OFP10 < switch.version < OFP15:
        switch.needs("insert-bucket", OFP15)
    if command == g.OFPGC_REMOVE_BUCKET:
        require(BUCKET_FORMATS, of_versions((switch.version,)))
    mods: list[tuple[Any, Form]] = []
    for where, text in texts:
        try:
            mod = parse_group(text, command, switch.port_names)
            mods.append((mod, switch.extended))
        except FlowSyntaxError as error:
            raise OfctlError(f"{where}: {said(error)}" if where else said(error)) from error
        for bucket in mod.buckets:
            require(usable_list(bucket.actions), of_versions((switch.version,)))
    if switch.settings.bundle:
        run_bundle(switch, mods)
    else:
        switch.do(mods)


def _group_command(command: int) -> Callable[[Switch, Args], None]:
    def run(switch: Switch, args: Args) -> None:
        text = args[0] if args else ""
        texts = list(read_lines("-")) if text == "-" else [("", text)]
        kind = command
        if kind == g.OFPGC_MODIFY and switch.settings.may_create:
            kind = g.OFPGC_ADD_OR_MOD
        _change_groups(switch, texts, kind)

    return run


add_group: Final = _group_command(g.OFPGC_ADD)
mod_group: Final = _group_command(g.OFPGC_MODIFY)
del_groups: Final = _group_command(g.OFPGC_DELETE)
insert_buckets: Final = _group_command(g.OFPGC_INSERT_BUCKET)
remove_buckets: Final = _group_command(g.OFPGC_REMOVE_BUCKET)


def add_groups(switch: Switch, args: Args) -> None:
    """`add-groups SWITCH FILE`"""
    _change_groups(switch, list(read_lines(args[0])), g.OFPGC_ADD)


def dump_groups(switch: Switch, args: Args) -> None:
    """`dump-groups SWITCH [GROUP]`"""
    group = group_number(args[0]) if args else g.OFPG_ALL
    if switch.version < OFP15 and group != g.OFPG_ALL and switch.version != OFP10:
        # Before 1.5 all groups are told, whichever is asked for.
        group = g.OFPG_ALL
    switch.show(g.GroupDescRequest(group), switch.extended)


def dump_group_stats(switch: Switch, args: Args) -> None:
    """`dump-group-stats SWITCH [GROUP]`"""
    group = g.OFPG_ALL
    if args:
        try:
            group = parse_group(args[0], g.OFPGC_DELETE, switch.port_names).group_id
        except FlowSyntaxError as error:
            raise OfctlError(said(error)) from error
    switch.show(g.GroupStatsRequest(group), switch.extended)


def dump_group_features(switch: Switch, args: Args) -> None:
    """`dump-group-features SWITCH`"""
    switch.show(g.GroupFeaturesRequest(), switch.extended)


# Meters.


def _needs_meters(switch: Switch) -> None:
    require(METER_FORMATS, of_versions((switch.version,)))


def _meter(text: str, command: int) -> m.MeterMod:
    try:
        return parse_meter(text, command)
    except FlowSyntaxError as error:
        raise OfctlError(said(error)) from error


def _change_meters(command: int) -> Callable[[Switch, Args], None]:
    def run(switch: Switch, args: Args) -> None:
        mod = _meter(args[0], command) if args else m.MeterMod(command, m.MeterConfig(m.OFPM_ALL))
        _needs_meters(switch)
        switch.do([(mod, Form.OPENFLOW)])

    return run


add_meter: Final = _change_meters(m.OFPMC_ADD)
mod_meter: Final = _change_meters(m.OFPMC_MODIFY)
del_meters: Final = _change_meters(m.OFPMC_DELETE)


def _show_meters(request: Callable[[int], Any]) -> Callable[[Switch, Args], None]:
    def run(switch: Switch, args: Args) -> None:
        meter = _meter(args[0], m.OFPMC_DELETE).meter.meter_id if args else m.OFPM_ALL
        _needs_meters(switch)
        switch.show(request(meter))

    return run


dump_meters: Final = _show_meters(m.MeterConfigRequest)
meter_stats: Final = _show_meters(m.MeterStatsRequest)


def meter_features(switch: Switch, args: Args) -> None:
    """`meter-features SWITCH`"""
    _needs_meters(switch)
    switch.show(m.MeterFeaturesRequest())


# Tunnel options.

_TLV: Final = re.compile(r"\{([^{}]*)\}->tun_metadata(\d+)$")


def _tlv_map(text: str) -> tuple[n.TlvMap, ...]:
    """`{class=C,type=T,len=L}->tun_metadataN[,...]`. OfctlError."""
    found = []
    for part in re.split(r",\s*(?=\{)", text.strip()):
        cut = _TLV.match(part)
        if cut is None:
            raise OfctlError("invalid tlv mapping")
        words = dict(word.strip().partition("=")[::2] for word in cut[1].split(","))
        try:
            kind, number, length = (int(words.pop(name), 0) for name in ("class", "type", "len"))
        except (KeyError, ValueError):
            raise OfctlError("invalid tlv mapping") from None
        if words:
            raise OfctlError("invalid tlv mapping")
        found.append(n.TlvMap(kind, number, length, int(cut[2])))
    return tuple(found)


def add_tlv_map(switch: Switch, args: Args) -> None:
    """`add-tlv-map SWITCH MAP`"""
    require(TLV_FORMATS, of_versions((switch.version,)))
    mod = n.TlvTableMod(n.NXTTMC_ADD, _tlv_map(args[0]))
    switch.use_nxm()
    switch.do([(mod, Form.OPENFLOW)])


def del_tlv_map(switch: Switch, args: Args) -> None:
    """`del-tlv-map SWITCH [MAP]`"""
    require(TLV_FORMATS, of_versions((switch.version,)))
    if args:
        mod = n.TlvTableMod(n.NXTTMC_DELETE, _tlv_map(args[0]))
    else:
        mod = n.TlvTableMod(n.NXTTMC_CLEAR)
    switch.use_nxm()
    switch.do([(mod, Form.OPENFLOW)])


def dump_tlv_map(switch: Switch, args: Args) -> None:
    """`dump-tlv-map SWITCH`"""
    switch.show(n.TlvTableRequest())


def ct_flush_zone(switch: Switch, args: Args) -> None:
    """`ct-flush-zone SWITCH ZONE`"""
    if not args[0].isdigit() or int(args[0]) > 65535:
        raise OfctlError(f'invalid zone_id "{args[0]}"')
    switch.do([(n.CtFlushZone(int(args[0])), Form.OPENFLOW)])


def _ct_tuple(addresses: Mapping[str, Address], numbers: Mapping[str, int]) -> n.CtTuple:
    """A tuple as it was read; addresses get 128 bits."""
    sides = {side: int(a) | (0xFFFF << 32 if a.version == 4 else 0) for side, a in addresses.items()}
    names = {"ct_tp_src": "src_port", "ct_tp_dst": "dst_port"}
    return n.CtTuple(**sides, **{names.get(name, name): number for name, number in numbers.items()})


def ct_flush(switch: Switch, args: Args) -> None:
    """`ct-flush SWITCH [zone=N] [TUPLE [TUPLE]]`"""
    words = list(args)
    zone: int | None = None
    if words and words[0].startswith("zone="):
        text = words.pop(0).removeprefix("zone=")
        if not text.isdigit() or int(text) > 65535:
            raise OfctlError("Failed to parse zone")
        zone = int(text)
    if len(words) > 2:
        raise OfctlError("invalid arguments")
    reader = TupleReader()
    try:
        for word in words:
            reader.read(word)
    except ValueError as e:
        raise OfctlError(f"Failed to parse ct-tuple: {e}") from None
    if reader.proto in ICMP:
        # What ICMP has in place of ports is always said, of the answers too.
        reader.numbers += [{}] * (2 - len(reader.numbers))
        reader.addresses += [{}] * (2 - len(reader.addresses))
        reader.numbers = [{**dict.fromkeys(ICMP_FIELDS, 0), **numbers} for numbers in reader.numbers]
    tuples = [*map(_ct_tuple, reader.addresses, reader.numbers), n.CtTuple(), n.CtTuple()]
    switch.do([(n.CtFlush(reader.proto, tuples[0], tuples[1], zone), Form.OPENFLOW)])


def dump_ipfix_bridge(switch: Switch, args: Args) -> None:
    """`dump-ipfix-bridge SWITCH`"""
    switch.show(n.IpfixBridgeStatsRequest())


def dump_ipfix_flow(switch: Switch, args: Args) -> None:
    """`dump-ipfix-flow SWITCH`"""
    switch.show(n.IpfixFlowStatsRequest())
