"""Flows and packets as `ovs-ofctl` prints their messages."""

from __future__ import annotations

from typing import Final

from vswitch.flow.fields import by_name
from vswitch.flow.packet_text import format_packet
from vswitch.openflow import constants as c
from vswitch.openflow.action_format import format_actions, table_text
from vswitch.openflow.continuation import format_continuation
from vswitch.openflow.flow_mod import COOKIE_NONE, FlowMod, FlowModCommand
from vswitch.openflow.flow_text import FLAGS
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import packet as p
from vswitch.openflow.print_base import Ports, duration, plain_dump, port_text
from vswitch.openflow.wire.version import OFP12

_COMMANDS: Final = ("ADD", "MOD", "MOD_STRICT", "DEL", "DEL_STRICT")
REMOVED: Final = ("idle", "hard", "delete", "group_delete", "meter_delete", "eviction")
_IN_PORT: Final = by_name("in_port")
_ALL: Final = 0xFFFFFFFFFFFFFFFF
UNSENT_TABLE: Final = 0xFF
DUMP_ABOVE: Final = 2
"""The verbosity above which packets' bytes are dumped."""


def _flags(flags: int) -> str:
    return "".join(f"{name} " for name, bit in FLAGS.items() if flags & bit)


def format_flow_mod(fm: FlowMod, version: int, ports: Ports, tables: bool = False) -> str:
    """A flow mod message's text; `tables`: what it says of a table, it does say, in each version."""
    out = f" {_COMMANDS[fm.command]} "
    if fm.table_id not in (0, UNSENT_TABLE) or (fm.table_id == UNSENT_TABLE and (tables or version >= OFP12)):
        out += f"table:{table_text(fm.table_id, ports)} "
    shown = fm.match.format(fm.priority, ports)
    out += f"{shown} " if shown else ""
    if fm.new_cookie not in (0, COOKIE_NONE):
        out += f"cookie:0x{fm.new_cookie:x} "
    if fm.cookie_mask:
        out += f"cookie:0x{fm.cookie:x}/0x{fm.cookie_mask:x} "
    if fm.idle_timeout:
        out += f"idle:{fm.idle_timeout} "
    if fm.hard_timeout:
        out += f"hard:{fm.hard_timeout} "
    if fm.importance and fm.command == FlowModCommand.ADD:
        out += f"importance:{fm.importance} "
    if fm.buffer_id != 0xFFFFFFFF:
        out += f"buf:0x{fm.buffer_id:x} "
    if fm.out_port != c.OFPP_ANY:
        out += f"out_port:{port_text(fm.out_port, ports)} "
    flags = fm.flags
    if version < OFP12 and fm.command == FlowModCommand.ADD:
        flags &= ~c.OFPFF_RESET_COUNTS
    return f"{out}{_flags(flags)}actions={format_actions(fm.actions, ports)}"


def format_flow_removed(m: f.FlowRemoved, version: int, ports: Ports) -> str:
    """A flow-removed message's text."""
    shown = m.match.format(m.priority, ports)
    reason = REMOVED[m.reason] if m.reason < len(REMOVED) else str(m.reason)
    out = f" {shown}{' ' if shown else ''}reason={reason}"
    if m.table_id != c.OFPTT_ALL:
        out += f" table_id={m.table_id}"
    if m.cookie:
        out += f" cookie:0x{m.cookie:x}"
    out += f" duration{duration(m.duration_sec, m.duration_nsec)} idle{m.idle_timeout}"
    if m.hard_timeout:
        out += f" hard{m.hard_timeout}"
    return f"{out} pkts{m.packet_count} bytes{m.byte_count}\n"


def format_flow_request(m: f.FlowStatsRequest | f.AggregateStatsRequest, version: int, ports: Ports) -> str:
    """A request for flows or their sums."""
    out = "" if m.table_id == c.OFPTT_ALL else f" table={m.table_id}"
    if m.out_port != c.OFPP_ANY:
        out += f" out_port={port_text(m.out_port, ports)}"
    shown = m.match.format(None, ports)
    return out + (f" {shown}" if shown else "")


def format_flow_line(s: f.FlowStats, ports: Ports, stats: bool = True) -> str:
    """One flow as `ovs-ofctl dump-flows` lists it; `stats` False as with --no-stats."""
    words = []
    if stats or s.cookie:
        words.append(f"cookie=0x{s.cookie:x}")
    if stats:
        words.append(f"duration={duration(s.duration_sec, s.duration_nsec)}")
    if stats or s.table_id:
        words.append(f"table={table_text(s.table_id, ports)}")
    if stats:
        words += [f"n_packets={s.packet_count}", f"n_bytes={s.byte_count}"]
    if s.idle_timeout:
        words.append(f"idle_timeout={s.idle_timeout}")
    if s.hard_timeout:
        words.append(f"hard_timeout={s.hard_timeout}")
    front = "".join(f"{word}, " for word in words) + _flags(s.flags)
    if s.importance:
        front += f"importance={s.importance}, "
    if stats and s.idle_age is not None:
        front += f"idle_age={s.idle_age}, "
    if stats and s.hard_age is not None and s.hard_age != s.duration_sec:
        front += f"hard_age={s.hard_age}, "
    shown = s.match.format(s.priority, ports)
    return f" {front}{shown}{' ' if shown else ''}actions={format_actions(s.actions, ports)}"


def format_flow_stats(m: f.FlowStatsReply, version: int, ports: Ports) -> str:
    """All flows, one a line."""
    return "".join(f"\n{format_flow_line(flow, ports)}" for flow in m.flows)


def format_aggregate(m: f.AggregateStatsReply, version: int, ports: Ports) -> str:
    """Sums over flows."""
    return f" packet_count={m.packet_count} byte_count={m.byte_count} flow_count={m.flow_count}"


# Monitors.

_MONITOR_FLAGS: Final = ("initial", "add", "delete", "modify", "actions", "", "own")
_EVENTS: Final = ("INITIAL", "ADDED", "DELETED", "MODIFIED")


def format_monitor_request(m: f.FlowMonitorRequest, version: int, ports: Ports) -> str:
    """Requests for flow monitors, one a line."""
    out = ""
    for monitor in m.monitors:
        flags = ",".join(name for i, name in enumerate(_MONITOR_FLAGS) if name and monitor.flags >> i & 1)
        out += f"\n id={monitor.monitor_id} flags={flags or '0'}"
        if monitor.out_port != c.OFPP_ANY:
            out += f" out_port={port_text(monitor.out_port, ports)}"
        if monitor.table_id != c.OFPTT_ALL:
            out += f" table={monitor.table_id}"
        shown = monitor.match.format(None, ports)
        out += f" {shown}" if shown else ""
    return out


def format_updates(m: f.FlowMonitorReply, version: int, ports: Ports) -> str:
    """Flow updates, one a line."""
    out = ""
    for update in m.updates:
        if update.event == f.OFPFME_ABBREV:
            out += f"\n event=ABBREV xid=0x{update.xid:x}"
            continue
        if update.event >= f.OFPFME_PAUSED:
            out += f"\n event={'PAUSED' if update.event == f.OFPFME_PAUSED else 'RESUMED'}"
            continue
        out += f"\n event={_EVENTS[update.event]}"
        if update.event == f.OFPFME_REMOVED:
            reason = REMOVED[update.reason] if update.reason < len(REMOVED) else str(update.reason)
            out += f" reason={reason}"
        out += f" table={update.table_id}"
        if update.idle_timeout:
            out += f" idle_timeout={update.idle_timeout}"
        if update.hard_timeout:
            out += f" hard_timeout={update.hard_timeout}"
        out += f" cookie={f'0x{update.cookie:x}' if update.cookie else '0'} "
        shown = update.match.format(None, ports)
        actions = f"actions={format_actions(update.actions, ports)}" if update.actions else ""
        out += " ".join(part for part in (shown, actions) if part)
    return out


# Packets.


def _packet(data: bytes, packet_type: int, verbosity: int) -> str:
    """As much of a packet as `verbosity` wants: nothing, its flow, or its bytes too."""
    text = format_packet(data, packet_type) if verbosity > 0 else ""
    return text + (plain_dump(data) if verbosity > DUMP_ABOVE else "")


def _metadata(m: p.PacketIn, ports: Ports) -> str:
    return m.metadata.format(None, ports)


def format_packet_in(m: p.PacketIn, version: int, ports: Ports, verbosity: int) -> str:
    """A packet-in's text: where it comes from and why, then the packet."""
    out = "" if not m.table_id else f" table_id={m.table_id}"
    if m.cookie is not None:
        out += f" cookie={f'0x{m.cookie:x}'}"
    reason = c.PACKET_IN_REASONS.get(m.reason, str(m.reason))
    out += f" total_len={m.total_len} {_metadata(m, ports)} (via {reason})"
    out += f" data_len={len(m.packet)}"
    if m.buffer_id is None:
        out += " (unbuffered)"
    else:
        out += f" buffer=0x{m.buffer_id:08x}"
    if m.buffer_id is None and m.total_len != len(m.packet):
        out += " (***total_len != data_len***)"
    elif m.total_len < len(m.packet):
        out += " (***total_len < data_len***)"
    out += "\n"
    if m.userdata:
        out += f" userdata={'.'.join(f'{byte:02x}' for byte in m.userdata)}\n"
    if m.continuation:
        out += format_continuation(m.continuation, ports)
    return out + _packet(m.packet, m.metadata.flow.packet_type, verbosity)


def format_packet_out(m: p.PacketOut, version: int, ports: Ports, verbosity: int) -> str:
    """A packet-out's text."""
    in_port = port_text(m.metadata.flow.get(_IN_PORT), ports)
    rest = m.metadata.copy()
    rest.wildcard(_IN_PORT)
    more = rest.format(None, ports)
    out = f" {more + ',' if more else ''}in_port={in_port} actions={format_actions(m.actions, ports)}"
    if m.buffer_id is not None:
        return f"{out} buffer=0x{m.buffer_id:08x}\n"
    out += f" data_len={len(m.packet)}"
    return f"{out}\n{_packet(m.packet, m.metadata.flow.packet_type, verbosity) if m.packet else ''}"
