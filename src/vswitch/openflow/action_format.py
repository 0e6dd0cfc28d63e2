"""Actions to text, as ovs-ofctl prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vswitch.flow.values import (
    c_hex,
    format_ipv4,
    format_ipv6,
    format_mac,
    format_port,
    format_value,
    quoted_name,
)
from vswitch.openflow import actions as a
from vswitch.openflow.constants import (
    OFPP_CONTROLLER,
    OFPP_IN_PORT,
    OFPP_MAX,
    OFPR_ACTION,
    PACKET_IN_REASONS,
)
from vswitch.openflow.subfield import format_subfield, subfield_field_name

Ports = Mapping[int, str] | None


class Names(dict[int, str]):
    """Port number -> name; tables have names, too."""

    def __init__(self, ports: Mapping[int, str], tables: Mapping[int, str]) -> None:
        super().__init__(ports)
        self.tables = tables


def table_text(number: int, ports: Ports) -> str:
    """A table by its name, if `ports` knows one."""
    name = ports.tables.get(number) if isinstance(ports, Names) else None
    return str(number) if name is None else quoted_name(name)


def format_actions(actions: Iterable[a.Action], ports: Ports = None) -> str:
    """The actions as "output:1,NORMAL"; "drop" for none. `ports` names port numbers."""
    return ",".join(format_action(action, ports) for action in actions) or "drop"


def format_action(action: a.Action, ports: Ports = None) -> str:
    """One action."""
    return _FORMATTERS[type(action)](action, ports)


def _mask_text(value: int, mask: int, n_bits: int) -> str:
    text = c_hex(value)
    return text if mask == (1 << n_bits) - 1 else f"{text}/{c_hex(mask)}"


def _hex_bytes(data: bytes) -> str:
    return ".".join(f"{b:02x}" for b in data)


def _output(action: a.Output, ports: Ports) -> str:
    if action.port < OFPP_MAX:
        return f"output:{format_port(action.port, ports)}"
    name = format_port(action.port, ports)
    return f"{name}:{action.max_len}" if action.port == OFPP_CONTROLLER else name


def _controller(action: a.Controller, _ports: Ports) -> str:
    if action == a.Controller(action.max_len, told_as=action.told_as):
        return f"CONTROLLER:{action.max_len}"
    words = []
    if action.reason != OFPR_ACTION:
        words.append(f"reason={PACKET_IN_REASONS.get(action.reason, action.reason)}")
    if action.max_len != 0xFFFF:
        words.append(f"max_len={action.max_len}")
    if action.controller_id:
        words.append(f"id={action.controller_id}")
    if action.userdata:
        words.append(f"userdata={_hex_bytes(action.userdata)}")
    if action.pause:
        words.append("pause")
    if action.meter_id is not None:
        words.append(f"meter_id={action.meter_id}")
    return f"controller({','.join(words)})"


def _bundle(action: a.Bundle, ports: Ports) -> str:
    verb = "bundle" if action.dst is None else "bundle_load"
    dst = "" if action.dst is None else f"{format_subfield(action.dst)},"
    members = ",".join(format_port(p, ports) for p in action.members)
    return f"{verb}({action.fields},{action.basis},{action.algorithm},ofport,{dst}members:{members})"


def _set_field(action: a.SetField, _ports: Ports) -> str:
    field = action.field
    if action.load and action.mask:
        ofs = (action.mask & -action.mask).bit_length() - 1
        n_bits = (action.mask >> ofs).bit_length()
        if action.mask == ((1 << n_bits) - 1) << ofs:
            target = format_subfield(a.MfSubfield(field, ofs, n_bits))
            return f"load:{c_hex(action.value >> ofs)}->{target}"
    return f"set_field:{format_value(field, action.value, action.mask)}->{field.name}"


def _resubmit(action: a.Resubmit, ports: Ports) -> str:
    port = "" if action.in_port == OFPP_IN_PORT else format_port(action.in_port, ports)
    if action.table_id == 0xFF and port and not action.with_ct_orig:
        return f"resubmit:{port}"
    table = "" if action.table_id == 0xFF else table_text(action.table_id, ports)
    return f"resubmit({port},{table}{',ct' if action.with_ct_orig else ''})"


def _dec_ttl(action: a.DecTtl, _ports: Ports) -> str:
    return f"dec_ttl({','.join(map(str, action.ids))})" if action.ids_given else "dec_ttl"


def _fin_timeout(action: a.FinTimeout, _ports: Ports) -> str:
    words = []
    if action.idle:
        words.append(f"idle_timeout={action.idle}")
    if action.hard:
        words.append(f"hard_timeout={action.hard}")
    return f"fin_timeout({','.join(words)})"


def _nat(action: a.Nat, _ports: Ports) -> str:
    if not action.kind:
        return "nat"
    words = [action.kind]
    address = format_ipv6 if action.family == 6 else format_ipv4
    text = ""
    if action.min_addr is not None:
        text = address(action.min_addr)
        both = action.family == 6 and action.min_port
        if both:
            text = f"[{text}]"
        if action.max_addr is not None and action.max_addr != action.min_addr:
            upper = address(action.max_addr)
            text += f"-[{upper}]" if both else f"-{upper}"
    if action.min_port:
        text += f":{action.min_port}"
        if action.max_port and action.max_port != action.min_port:
            text += f"-{action.max_port}"
    if text:
        words[0] += f"={text}"
    words += [name for name in ("persistent", "hash", "random") if getattr(action, name)]
    return f"nat({','.join(words)})"


def _ct(action: a.Ct, ports: Ports) -> str:
    words = []
    if action.commit:
        words.append("commit")
    if action.force:
        words.append("force")
    if action.recirc_table is not None:
        words.append(f"table={table_text(action.recirc_table, ports)}")
    if action.zone_src is not None:
        words.append(f"zone={format_subfield(action.zone_src)}")
    elif action.zone:
        words.append(f"zone={action.zone}")
    nested = action.actions
    if nested and isinstance(nested[0], a.Nat):
        words.append(_nat(nested[0], ports))
        nested = nested[1:]
    if nested:
        words.append(f"exec({format_actions(nested, ports)})")
    if action.alg:
        words.append(f"alg={ {21: 'ftp', 69: 'tftp'}.get(action.alg, action.alg) }")
    return f"ct({','.join(words)})"


def _observer(value: int, source: a.MfSubfield | None) -> str:
    return str(value) if source is None else format_subfield(source)


def _sample(action: a.Sample, ports: Ports) -> str:
    words = [
        f"probability={action.probability}",
        f"collector_set_id={action.collector_set_id}",
        f"obs_domain_id={_observer(action.obs_domain_id, action.obs_domain_src)}",
        f"obs_point_id={_observer(action.obs_point_id, action.obs_point_src)}",
    ]
    if action.sampling_port != 0xFFFF:
        words.append(f"sampling_port={format_port(action.sampling_port, ports)}")
    if action.direction:
        words.append(action.direction)
    return f"sample({','.join(words)})"


def _learn(action: a.Learn, ports: Ports) -> str:
    words = [f"table={table_text(action.table_id, ports)}"]
    for name, value, default in (
        ("idle_timeout", action.idle_timeout, 0),
        ("hard_timeout", action.hard_timeout, 0),
        ("fin_idle_timeout", action.fin_idle_timeout, 0),
        ("fin_hard_timeout", action.fin_hard_timeout, 0),
        ("priority", action.priority, 32768),
    ):
        if value != default:
            words.append(f"{name}={value}")
    if action.send_flow_rem:
        words.append("send_flow_rem")
    if action.delete_learned:
        words.append("delete_learned")
    if action.cookie:
        words.append(f"cookie={c_hex(action.cookie)}")
    if action.limit:
        words.append(f"limit={action.limit}")
    if action.result_dst is not None:
        words.append(f"result_dst={format_subfield(action.result_dst)}")
    words += [_learn_spec(spec) for spec in action.specs]
    return f"learn({','.join(words)})"


def _learn_spec(spec: a.LearnSpec) -> str:
    if spec.kind == "output":
        assert spec.src is not None
        return f"output:{format_subfield(spec.src)}"
    assert spec.dst is not None
    dst = format_subfield(spec.dst)
    if spec.kind == "load":
        src = c_hex(spec.value) if spec.src is None else format_subfield(spec.src)
        return f"load:{src}->{dst}"
    if spec.src is None:
        if spec.dst.whole:
            return f"{spec.dst.field.name}={format_value(spec.dst.field, spec.value)}"
        return f"{dst}={c_hex(spec.value)}"
    return dst if spec.src == spec.dst else f"{dst}={format_subfield(spec.src)}"


def _multipath(action: a.Multipath, _ports: Ports) -> str:
    return (
        f"multipath({action.fields},{action.basis},{action.algorithm},{action.max_link + 1},"
        f"{action.arg},{format_subfield(action.dst)})"
    )


def _encap(action: a.Encap, _ports: Ports) -> str:
    words = []
    for p in action.properties:
        if p.type == "tlv":
            words.append(f"tlv(0x{p.tlv_class:04x},{p.tlv_type},0x{p.data.hex()})")
        else:
            words.append(f"{p.type}={p.value}")
    return f"encap({action.name}({','.join(words)}))" if words or action.parens else f"encap({action.name})"


def _decap(action: a.Decap, _ports: Ports) -> str:
    if action.packet_type is None:
        return "decap()"
    return f"decap(packet_type(ns={action.packet_type >> 16},type={_pt(action.packet_type & 0xFFFF)}))"


def _pt(number: int) -> str:
    return c_hex(number)


def _write_metadata(action: a.WriteMetadata, _ports: Ports) -> str:
    return f"write_metadata:{_mask_text(action.metadata, action.mask, 64)}"


def _delete_field(action: a.DeleteField, _ports: Ports) -> str:
    return f"delete_field:{action.field.name or subfield_field_name(action.field)}"


_FORMATTERS: dict[type[Any], Callable[[Any, Ports], str]] = {
    a.Output: _output,
    a.OutputReg: lambda x, _: f"output:{format_subfield(x.src)}",
    a.OutputTrunc: lambda x, p: f"output(port={format_port(x.port, p)},max_len={x.max_len})",
    a.Controller: _controller,
    a.Enqueue: lambda x, p: f"enqueue:{format_port(x.port, p)}:{x.queue}",
    a.Bundle: _bundle,
    a.Group: lambda x, _: f"group:{x.group_id}",
    a.SetVlanVid: lambda x, _: f"{'mod' if x.push else 'set'}_vlan_vid:{x.vid}",
    a.SetVlanPcp: lambda x, _: f"{'mod' if x.push else 'set'}_vlan_pcp:{x.pcp}",
    a.StripVlan: lambda x, _: "pop_vlan" if x.pop else "strip_vlan",
    a.PushVlan: lambda x, _: f"push_vlan:0x{x.ethertype:04x}",
    a.SetEthSrc: lambda x, _: f"mod_dl_src:{format_mac(x.mac)}",
    a.SetEthDst: lambda x, _: f"mod_dl_dst:{format_mac(x.mac)}",
    a.SetIpv4Src: lambda x, _: f"mod_nw_src:{format_ipv4(x.ipv4)}",
    a.SetIpv4Dst: lambda x, _: f"mod_nw_dst:{format_ipv4(x.ipv4)}",
    a.SetIpDscp: lambda x, _: f"mod_nw_tos:{x.tos}",
    a.SetIpEcn: lambda x, _: f"mod_nw_ecn:{x.ecn}",
    a.SetIpTtl: lambda x, _: f"mod_nw_ttl:{x.ttl}",
    a.SetL4SrcPort: lambda x, _: f"mod_tp_src:{x.port}",
    a.SetL4DstPort: lambda x, _: f"mod_tp_dst:{x.port}",
    a.SetField: _set_field,
    a.RegMove: lambda x, _: f"move:{format_subfield(x.src)}->{format_subfield(x.dst)}",
    a.StackPush: lambda x, _: f"push:{format_subfield(x.src)}",
    a.StackPop: lambda x, _: f"pop:{format_subfield(x.dst)}",
    a.DeleteField: _delete_field,
    a.DecTtl: _dec_ttl,
    a.PushMpls: lambda x, _: f"push_mpls:0x{x.ethertype:04x}",
    a.PopMpls: lambda x, _: f"pop_mpls:0x{x.ethertype:04x}",
    a.SetMplsLabel: lambda x, _: f"set_mpls_label({x.label})",
    a.SetMplsTc: lambda x, _: f"set_mpls_tc({x.tc})",
    a.SetMplsTtl: lambda x, _: f"set_mpls_ttl({x.ttl})",
    a.DecMplsTtl: lambda _x, _: "dec_mpls_ttl",
    a.DecNshTtl: lambda _x, _: "dec_nsh_ttl",
    a.Encap: _encap,
    a.Decap: _decap,
    a.SetTunnel: lambda x, _: f"set_tunnel{'64' if x.wide else ''}:{c_hex(x.tun_id)}",
    a.SetQueue: lambda x, _: f"set_queue:{x.queue}",
    a.PopQueue: lambda _x, _: "pop_queue",
    a.CheckPktLarger: lambda x, _: f"check_pkt_larger({x.pkt_len})->{format_subfield(x.dst)}",
    a.Multipath: _multipath,
    a.Resubmit: _resubmit,
    a.Clone: lambda x, p: f"clone({format_actions(x.actions, p)})",
    a.Exit: lambda _x, _: "exit",
    a.Conjunction: lambda x, _: f"conjunction({x.id},{x.clause + 1}/{x.n_clauses})",
    a.Learn: _learn,
    a.FinTimeout: _fin_timeout,
    a.Nat: _nat,
    a.Ct: _ct,
    a.CtClear: lambda _x, _: "ct_clear",
    a.Sample: _sample,
    a.Note: lambda x, _: f"note:{_hex_bytes(x.data)}",
    a.DebugRecirc: lambda _x, _: "debug_recirc",
    a.DebugSlow: lambda _x, _: "debug_slow",
    a.Meter: lambda x, _: f"meter:{x.meter_id}",
    a.ClearActions: lambda _x, _: "clear_actions",
    a.WriteActions: lambda x, p: f"write_actions({format_actions(x.actions, p)})",
    a.WriteMetadata: _write_metadata,
    a.GotoTable: lambda x, ports: f"goto_table:{table_text(x.table_id, ports)}",
}
