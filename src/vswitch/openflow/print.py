"""OpenFlow messages as text, as `ovs-ofctl ofp-print` and the dump commands print them.

`format_message` prints all messages of `wire/codec.py`; of table features and IPFIX statistics only that they
are there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from vswitch.openflow import print_flow as pf
from vswitch.openflow import print_group as pg
from vswitch.openflow import print_nicira as pn
from vswitch.openflow import print_port as pp
from vswitch.openflow import print_table as pt
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.messages import (
    bundle,
    flow,
    group,
    meter,
    nicira,
    packet,
    port,
    queue,
    session,
    switch,
    table,
)
from vswitch.openflow.print_base import Ports, bits, port_text
from vswitch.openflow.wire.codec import (
    ANY_VERSION,
    Message,
    check_head,
    decodable_length,
    decode,
    row_of_body,
    row_of_bytes,
)
from vswitch.openflow.wire.messages_base import Row, Space
from vswitch.openflow.wire.version import OFP10, OFP13, OFP15, VERSIONS

_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAMES: Final = {
    (Space.NXT, 17): "NXT_PACKET_IN",
    (Space.NXT, 30): "NXT_PACKET_IN2",
    (Space.NXT, 19): "NXT_SET_ASYNC_CONFIG",
    (Space.NXT, 27): "NXT_SET_ASYNC_CONFIG2",
    (Space.OFPST_REQUEST, 15): "OFPST_QUEUE_DESC request",
    (Space.OFPST_REPLY, 15): "OFPST_QUEUE_DESC reply",
    (Space.OFPT, 32): "OFPT_REQUESTFORWARD",
    (Space.ONFT, 2350): "ONFT_REQUESTFORWARD",
    (Space.NXT, 132): "NXT_REQUESTFORWARD",
    (Space.OFPT, 34): "OFPT_BUNDLE_ADD_MESSAGE",
    (Space.ONFT, 2301): "ONFT_BUNDLE_ADD_MESSAGE",
    (Space.NXT, 24): "NXT_TLV_TABLE_MOD",
}


def message_name(m: Message) -> str:
    """ "OFPT_HELLO", "NXST_FLOW reply"."""
    return _name_of_row(row_of_body(m.body, m.version, m.form))


def name_of_bytes(data: bytes) -> str:
    """The name of a message by its header alone; a number for a type that there is not."""
    row = row_of_bytes(data)
    return f"type {data[1]}" if row is None else _name_of_row(row)


def _version_text(version: int) -> str:
    if version not in VERSIONS:
        return f" (OF 0x{version:02x})"
    return f" (OF1.{version - 1})" if version > OFP10 else ""


def _name_of_row(row: Row) -> str:
    name = _NAMES.get((row.space, row.number))
    if name is not None:
        return name
    words = _WORDS.sub("_", row.cls.__name__).upper()
    prefix, _, kind = row.space.value.partition(" ")
    if not kind:
        return f"{prefix}_{words}"
    words = words.removesuffix("_REQUEST").removesuffix("_REPLY").removesuffix("_STATS")
    return f"{prefix}_{words} {kind}"


def format_message(m: Message, verbosity: int = 1, ports: Ports = None, tables: bool = False) -> str:
    """The message with its name, version and xid, ending with a newline.

    `verbosity` 0 leaves out packets, above 1 dumps what echoes carry, above 2 packets' bytes too. `tables`:
    flow mods name a table (they don't in OpenFlow 1.0 by itself).
    """
    head = f"{message_name(m)}{_version_text(m.version)} (xid=0x{m.xid:x}):"
    if getattr(m.body, "more", False):
        head += " flags=[more]"
    if isinstance(m.body, (packet.PacketIn, packet.Resume)):
        body = m.body if isinstance(m.body, packet.PacketIn) else m.body.packet_in
        text = pf.format_packet_in(body, m.version, ports, verbosity)
    elif isinstance(m.body, packet.PacketOut):
        text = pf.format_packet_out(m.body, m.version, ports, verbosity)
    elif isinstance(m.body, (session.EchoRequest, session.EchoReply)):
        text = f" {len(m.body.data)} bytes of payload\n{hex_dump(m.body.data) if verbosity > 1 else ''}"
    elif isinstance(m.body, FlowMod):
        text = pf.format_flow_mod(m.body, m.version, ports, tables)
    else:
        function = _TEXTS.get(type(m.body))
        text = function(m.body, m.version, ports) if function else ""
    out = head + text
    return out if out.endswith("\n") else out + "\n"


HEADER_SIZE: Final = 8


def format_bytes(data: bytes, verbosity: int = 1, ports: Ports = None) -> str:
    """The message that `data` is; if none, the error and the bytes, as ofp-print shows them."""
    size = int.from_bytes(data[2:4])
    if not data:
        return "OpenFlow message is empty\n"
    if len(data) < HEADER_SIZE:
        said = f"OpenFlow packet too short (only {len(data)} bytes):\n"
    elif size > len(data):
        said = f"{_head_of(data)}(***truncated to {len(data)} bytes from {size}***)\n"
    elif size < len(data):
        said = f"(***only uses {size} bytes out of {len(data)}***)\n"
    else:
        try:
            message = decode(data, flow_mod_table_id=True)
            if isinstance(message.body, session.Error) and not (message.body.name and data[0] in VERSIONS):
                raise OfpError("OFPBRC_BAD_LEN", "an error that there is not")
            text = format_message(message, verbosity, ports, tables=True)  # continuations are read there
        except OfpError as error:
            head = _head_of(data).rstrip("\n") if decodable_length(data) else ""
            if head:
                flags = _unknown_flags(data)
                head += f"{flags}\n" if flags else " "
            said = f"{head}***decode error: {_error_name(data, error)}***\n"
        else:
            if unknown := _unknown_flags(data):
                text = text.replace("):", f"):{unknown}", 1).replace("] flags=[more]", "]", 1)
            if isinstance(message.body, session.Hello) and message.body.unknown:
                text += f" unknown data in hello:\n{hex_dump(data)}"
            return text
    return said + hex_dump(data)


def _error_name(data: bytes, error: OfpError) -> str:
    """What is wrong with `data`; of a version that there is not, the first thing that is unknown."""
    if data[0] in VERSIONS or error.name != "OFPBRC_BAD_VERSION":
        return error.name
    try:
        check_head(data)
    except OfpError as unknown:
        named = {"OFPBRC_BAD_STAT": "OFPBRC_BAD_TYPE", "OFPBRC_BAD_VENDOR": "OFPBRC_BAD_SUBTYPE"}
        return named.get(unknown.name, unknown.name)
    return error.name


def _unknown_flags(data: bytes) -> str:
    """The flags of statistics' request or reply, if there are some that mean nothing."""
    kinds = (16, 17) if data[0] == OFP10 else (18, 19)
    flags = int.from_bytes(data[HEADER_SIZE + 2 : HEADER_SIZE + 4]) if data[1] in kinds else 0
    if not flags & ~1:
        return ""
    return f" flags={'[more]' if flags & 1 else ''}[***unknown flags 0x{flags & ~1:04x}***]"


def _head_of(data: bytes) -> str:
    """Name, version and xid of a message that can't be read further, if its header says what it is."""
    later = data[0] > OFP15 and data[1] < ANY_VERSION
    row = row_of_bytes(bytes((OFP15,)) + data[1:] if later else data)
    if row is None:
        return ""
    return f"{_name_of_row(row)}{_version_text(data[0])} (xid=0x{int.from_bytes(data[4:8]):x}):\n"


def hex_dump(data: bytes) -> str:
    """16 bytes a line: the offset, the bytes, their characters."""
    out = ""
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        pairs = [f"{byte:02x}" for byte in row] + ["  "] * (16 - len(row))
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        middle = "-" if len(row) > 8 else ("-" if len(row) == 8 else " ")
        out += f"{at:08x}  {' '.join(pairs[:8])}{middle}{' '.join(pairs[8:])} |{text:<16}|\n"
    return out


def _hello(m: session.Hello, version: int, ports: Ports) -> str:
    known = m.bitmap or (1 << version + 1) - 2
    return "\n version bitmap: " + ", ".join(f"0x{n:02x}" for n in range(1, 32) if known >> n & 1)


def _error(m: session.Error, version: int, ports: Ports) -> str:
    if not m.name:
        vendor, type_, code = m.numbers
        where = f" vendor {vendor:#x}," if vendor else ""
        return f"***decode error: ***{where} type {type_}, code {code}\n"
    if m.name.startswith("OFPHFC_"):
        text = "".join(chr(n) if 32 <= n < 127 and n not in b'"\\' else f"\\{n:03o}" for n in m.data)
        return f" {m.name}\n{text}"
    return f" {m.name}\n{format_bytes(m.data)}"


def _features(m: session.FeaturesReply, version: int, ports: Ports) -> str:
    names = (
        "FLOW_STATS",
        "TABLE_STATS",
        "PORT_STATS",
        "GROUP_STATS",
        "",
        "IP_REASM",
        "QUEUE_STATS",
        "ARP_MATCH_IP",
        "PORT_BLOCKED",
        "BUNDLES",
        "FLOW_MONITORING",
    )
    out = f" dpid:{m.datapath_id:016x}\nn_tables:{m.n_tables}, n_buffers:{m.n_buffers}"
    if m.auxiliary_id:
        out += f", auxiliary_id:{m.auxiliary_id}"
    capabilities = bits(m.capabilities & ~session.OFPC_STP, names)
    if m.capabilities & session.OFPC_STP:
        capabilities = "STP" if capabilities == "0" else f"{capabilities} STP"
    out += f"\ncapabilities: {capabilities}\n"
    if version == OFP10:
        out += f"actions: {pg.action_names(m.actions, version)}\n"
    if version < OFP13:
        out += "".join(pp.format_port_desc(p, version) for p in sorted(m.ports, key=lambda p: p.port_no))
    return out


def _config(m: session.SetConfig | session.GetConfigReply, version: int, ports: Ports) -> str:
    frags = ("normal", "drop", "reassemble", "nx-match")[m.flags & 3]
    known = version < OFP13 or isinstance(m, session.SetConfig)
    said = known and m.flags & session.OFPC_INVALID_TTL_TO_CONTROLLER
    ttl = " invalid_ttl_to_controller" if said else ""
    return f" frags={frags}{ttl} miss_send_len={m.miss_send_len}\n"


_ROLES: Final = ("nochange", "equal", "primary", "secondary")


def _role(m: session.RoleRequest | session.RoleReply, version: int, ports: Ports) -> str:
    generation = "" if m.generation_id is None else f" generation_id={m.generation_id}"
    return f" role={_ROLES[m.role]}{generation}\n"


def _role_status(m: session.RoleStatus, version: int, ports: Ports) -> str:
    generation = "" if m.generation_id is None else f" generation_id={m.generation_id}"
    reason = ("primary_request", "configuration_changed", "experimenter_data_changed")[m.reason]
    return f" role={_ROLES[m.role]}{generation} reason={reason}\n"


_ASYNC: Final = (
    (0, "PACKET_IN", ("no_match", "action", "invalid_ttl", "action_set", "group", "packet_out", "", "")),
    (2, "PORT_STATUS", ("add", "delete", "modify")),
    (4, "FLOW_REMOVED", ("idle", "hard", "delete", "group_delete", "meter_delete", "eviction")),
    (6, "ROLE_STATUS", ("primary_request", "configuration_changed", "experimenter_data_changed")),
    (8, "TABLE_STATUS", ("", "", "", "vacancy_down", "vacancy_up")),
    (10, "REQUESTFORWARD", ("group_mod_request", "meter_mod_request")),
)


def _async(m: session.SetAsync | session.GetAsyncReply, version: int, ports: Ports) -> str:
    masks = dict(m.properties)
    out = ""
    for name, offset in (("primary", 1), ("secondary", 0)):
        out += f"\n {name}:\n"
        for kind, title, reasons in _ASYNC:
            mask = masks.get(kind + offset, 0)
            words = " ".join(reason for i, reason in enumerate(reasons) if reason and mask >> i & 1)
            out += f"{title:>16}: {words or '(off)'}\n"
    return out


def _desc(m: switch.DescReply, version: int, ports: Ports) -> str:
    return (
        f"\nManufacturer: {m.mfr_desc}\nHardware: {m.hw_desc}\nSoftware: {m.sw_desc}\n"
        f"Serial Num: {m.serial_num}\nDP Description: {m.dp_desc}\n"
    )


_BUNDLE: Final = (
    "OPEN_REQUEST",
    "OPEN_REPLY",
    "CLOSE_REQUEST",
    "CLOSE_REPLY",
    "COMMIT_REQUEST",
    "COMMIT_REPLY",
    "DISCARD_REQUEST",
    "DISCARD_REPLY",
)


def _bundle_control(m: bundle.BundleControl, version: int, ports: Ports) -> str:
    kind = _BUNDLE[m.type] if m.type < len(_BUNDLE) else f"{m.type}"
    return f"\n bundle_id={m.bundle_id:#x} type={kind} flags={bits(m.flags, ('atomic', 'ordered'))}".replace(
        "=0x0 ", "=0 "
    )


def _bundle_add(m: bundle.BundleAdd, version: int, ports: Ports) -> str:
    head = f"\n bundle_id={pg.c_hash(m.bundle_id)} flags={bits(m.flags, ('atomic', 'ordered'))}\n"
    return head + format_bytes(m.message, 1, ports)


def _forward(m: bundle.RequestForward, version: int, ports: Ports) -> str:
    reason = "meter_mod" if len(m.message) > 1 and m.message[1] == 29 else "group_mod"
    return f" reason={reason}" + format_bytes(m.message, 1, ports).partition(":")[2]


def _tlv_map(mappings: tuple[nicira.TlvMap, ...]) -> str:
    out = " mapping table:\n  class  type  length  match field\n ------  ----  ------  --------------\n"
    for m in mappings:
        out += (
            f" {m.option_class:#6x}  {m.option_type:#4x}  {m.option_len:6}  tun_metadata{m.index}\n".replace(
                " 0x0  ", "   0  "
            )
        )
    return out


def _tlv_mod(m: nicira.TlvTableMod, version: int, ports: Ports) -> str:
    out = f"\n {('ADD', 'DEL', 'CLEAR')[m.command]}"
    return out + _tlv_map(m.mappings) if m.command != nicira.NXTTMC_CLEAR else out + "\n"


def _tlv_reply(m: nicira.TlvTableReply, version: int, ports: Ports) -> str:
    used = sum(mapping.option_len for mapping in m.mappings)
    head = f"\n max option space={m.max_option_space} max fields={m.max_fields}\n"
    return f"{head} allocated option space={used}\n\n{_tlv_map(m.mappings)}"


def _format(names: tuple[str, ...]) -> Callable[[Any, int, Ports], str]:
    return lambda m, version, ports: f" format={names[m.format]}\n"


_TEXTS: Final[dict[type, Callable[[Any, int, Ports], str]]] = {
    session.Hello: _hello,
    session.Error: _error,
    session.FeaturesReply: _features,
    session.SetConfig: _config,
    session.GetConfigReply: _config,
    session.RoleRequest: _role,
    session.RoleReply: _role,
    session.RoleStatus: _role_status,
    session.SetAsync: _async,
    session.GetAsyncReply: _async,
    switch.DescReply: _desc,
    flow.FlowRemoved: pf.format_flow_removed,
    flow.FlowStatsRequest: pf.format_flow_request,
    flow.AggregateStatsRequest: pf.format_flow_request,
    flow.FlowStatsReply: pf.format_flow_stats,
    flow.AggregateStatsReply: pf.format_aggregate,
    flow.FlowMonitorRequest: pf.format_monitor_request,
    flow.FlowMonitorReply: pf.format_updates,
    flow.FlowMonitorCancel: lambda m, v, p: f" id={m.monitor_id}\n",
    port.PortStatus: pp.format_port_status,
    port.PortMod: pp.format_port_mod,
    port.PortDescRequest: lambda m, v, p: f" port={port_text(m.port_no, p)}\n",
    port.PortDescReply: lambda m, v, p: (
        "\n" + "".join(pp.format_port_desc(d, v, p) for d in sorted(m.ports, key=lambda d: d.port_no))
    ),
    port.PortStatsRequest: lambda m, v, p: f" port_no={port_text(m.port_no, p)}\n",
    port.PortStatsReply: pp.format_port_stats,
    queue.QueueGetConfigRequest: pp.format_queue_request,
    queue.QueueGetConfigReply: pp.format_queue_config,
    queue.QueueStatsRequest: pp.format_queue_stats_request,
    queue.QueueStatsReply: pp.format_queue_stats,
    table.TableMod: pp.format_table_mod,
    table.TableStatus: pp.format_table_status,
    table.TableDescReply: pp.format_table_desc,
    table.TableStatsReply: pt.format_table_stats,
    table.TableFeaturesReply: pt.format_table_features,
    table.TableFeaturesRequest: lambda m, v, p: pt.format_table_features(m, v, p) if m.tables else "\n",
    group.GroupMod: pg.format_group_mod,
    group.GroupStatsRequest: lambda m, v, p: f" group_id={pg.group_id_text(m.group_id)}\n",
    group.GroupStatsReply: pg.format_group_stats,
    group.GroupDescRequest: lambda m, v, p: f" group_id={pg.group_id_text(m.group_id)}\n",
    group.GroupDescReply: pg.format_group_desc,
    group.GroupFeaturesReply: pg.format_group_features,
    meter.MeterMod: pg.format_meter_mod,
    meter.MeterStatsRequest: lambda m, v, p: f" meter={pg.meter_text(m.meter_id)}\n",
    meter.MeterStatsReply: pg.format_meter_stats,
    meter.MeterConfigRequest: lambda m, v, p: f" meter={pg.meter_text(m.meter_id)}\n",
    meter.MeterConfigReply: pg.format_meter_configs,
    meter.MeterFeaturesReply: pg.format_meter_features,
    bundle.BundleControl: _bundle_control,
    bundle.BundleAdd: _bundle_add,
    bundle.RequestForward: _forward,
    nicira.SetFlowFormat: _format(("openflow10", "", "nxm")),
    nicira.SetPacketInFormat: _format(("standard", "nxt_packet_in", "nxt_packet_in2")),
    nicira.FlowModTableId: lambda m, v, p: f" {'enable' if m.enable else 'disable'}\n",
    nicira.SetControllerId: lambda m, v, p: f" id={m.controller_id}\n",
    nicira.TlvTableMod: _tlv_mod,
    nicira.TlvTableReply: _tlv_reply,
    nicira.IpfixBridgeStatsReply: pn.format_ipfix_bridge,
    nicira.IpfixFlowStatsReply: pn.format_ipfix_flow,
    nicira.CtFlush: pn.format_ct_flush,
    nicira.CtFlushZone: lambda m, v, p: f" zone_id={m.zone_id}\n",
}
