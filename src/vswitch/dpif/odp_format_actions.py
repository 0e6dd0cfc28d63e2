"""Datapath actions as text, exactly as `ovs-dpctl dump-flows` prints them after "actions:"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vswitch.dpif.actions import (
    Action,
    Actions,
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    LbOutput,
    Meter,
    Nat,
    Output,
    PopEth,
    PopMpls,
    PopNsh,
    PopVlan,
    Psample,
    PushEth,
    PushMpls,
    PushNsh,
    PushVlan,
    Recirc,
    Sample,
    Set,
    SetMasked,
    TnlPop,
    TnlPush,
    Trunc,
    Userspace,
)
from vswitch.dpif.cookie import (
    DIRECTIONS,
    ControllerCookie,
    FlowSampleCookie,
    IpfixCookie,
    SflowCookie,
    SlowPathCookie,
    decode,
    format_slow_reasons,
)
from vswitch.dpif.odp_format_key import (
    ATTR_NAMES,
    PortNames,
    format_key_attrs,
    format_lse,
    format_nsh,
    format_tunnel,
)
from vswitch.dpif.odp_tunnel_text import format_push
from vswitch.flow import key_attr as key
from vswitch.flow.values import c_hex, format_ipv4, format_ipv6, format_mac
from vswitch.netlink.attrs import Builder, NlAttrError
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021Q

ALL_LABEL_BITS: Final = (1 << 128) - 1


def format_actions(actions: Actions, ports: PortNames = None) -> str:
    """The actions, separated by commas; "drop" for none. `ports` names datapath ports."""
    return ",".join(format_action(action, ports) for action in actions) or "drop"


def _port(port: int, ports: Mapping[int, str] | None) -> str:
    return str(port) if ports is None else ports.get(port, str(port))


def format_action(action: Action, ports: PortNames = None) -> str:
    """One action."""
    if isinstance(action, Output):
        return _port(action.port, ports)
    if isinstance(action, Userspace):
        return _userspace(action, ports)
    if isinstance(action, (Set, SetMasked)):
        return f"set({_set(action)})"
    if isinstance(action, PushVlan):
        return f"push_vlan({_vlan(action)})"
    if isinstance(action, Recirc):
        return f"recirc({c_hex(action.recirc_id)})"
    if isinstance(action, Hash):
        name = {0: "l4", 1: "sym_l4"}.get(action.algorithm, f"algorithm{action.algorithm}")
        return f"hash({name}({action.basis}))"
    if isinstance(action, LbOutput):
        return f"lb_output({action.bond_id})"
    if isinstance(action, Ct):
        return _ct(action)
    if isinstance(action, Trunc):
        return f"trunc({action.max_len})"
    if isinstance(action, Meter):
        return f"meter({action.meter_id})"
    if isinstance(action, PushMpls):
        return f"push_mpls({format_lse(action.lse)},eth_type=0x{action.ethertype:x})"
    if isinstance(action, AddMpls):
        return f"add_mpls({format_lse(action.lse)},eth_type=0x{action.ethertype:x})"
    if isinstance(action, PopMpls):
        return f"pop_mpls(eth_type=0x{action.ethertype:x})"
    if isinstance(action, PushEth):
        return f"push_eth(src={format_mac(action.src)},dst={format_mac(action.dst)})"
    if isinstance(action, PushNsh):
        return f"push_nsh({_push_nsh(action)})"
    if isinstance(action, TnlPush):
        outer = f"out_port({_port(action.out_port, ports)})"
        return f"tnl_push(tnl_port({_port(action.tnl_port, ports)}),{format_push(action)},{outer})"
    if isinstance(action, Psample):
        return f"psample(group={action.group}{f',cookie=0x{action.cookie.hex()}' if action.cookie else ''})"
    if isinstance(action, TnlPop):
        return f"tnl_pop({_port(action.port, ports)})"
    return _plain_or_nesting(action, ports)


def _plain_or_nesting(action: Action, ports: PortNames) -> str:
    if isinstance(action, Sample):
        percent = 100 * action.probability / 0xFFFFFFFF
        return f"sample(sample={percent:.1f}%,actions({format_actions(action.actions, ports)}))"
    if isinstance(action, Clone):
        return f"clone({format_actions(action.actions, ports)})"
    if isinstance(action, CheckPktLen):
        greater, less = format_actions(action.greater, ports), format_actions(action.less_equal, ports)
        return f"check_pkt_len(size={action.pkt_len},gt({greater}),le({less}))"
    if isinstance(action, DecTtl):
        return f"dec_ttl(le_1({format_actions(action.exceeded, ports)}))"
    names = {PopVlan: "pop_vlan", PopEth: "pop_eth", PopNsh: "pop_nsh()", CtClear: "ct_clear", Drop: "drop"}
    return names[type(action)]


def _vlan(action: PushVlan) -> str:
    words = [] if action.tpid == ETH_TYPE_VLAN_8021Q else [f"tpid=0x{action.tpid:04x}"]
    words += [f"vid={action.tci & 0xFFF}", f"pcp={action.tci >> 13}"]
    if not action.tci & 0x1000:
        words.append("cfi=0")
    return ",".join(words)


def _set(action: Set | SetMasked) -> str:
    attr, value = action.attr, action.value
    mask = action.mask if isinstance(action, SetMasked) else None
    try:
        if attr == key.TUNNEL:
            return f"tunnel({format_tunnel(value, mask)})"
        if attr == key.NSH:
            return f"nsh({format_nsh(value, mask)})"
        masked: bytes | None = None
        builder = Builder()
        builder.raw(attr, value)
        if mask is not None:
            masks = Builder()
            masks.raw(attr, mask)
            masked = masks.getvalue()
        text = format_key_attrs(builder.getvalue(), masked, masked is None)
    except NlAttrError:
        text = ""
    if not text and attr in ATTR_NAMES:
        return f"{ATTR_NAMES[attr]}()"
    return text or f"key{attr}({value.hex()}/{(mask or b'').hex()})"


def _push_nsh(action: PushNsh) -> str:
    words = [
        f"flags={action.flags}", f"ttl={action.ttl}", f"mdtype={action.mdtype}", f"np={action.np}",
        f"spi=0x{action.path_hdr >> 8:x}", f"si={action.path_hdr & 0xFF}",
    ]  # fmt: skip
    if action.mdtype == 1:
        context = action.metadata.ljust(16, b"\0")
        words += [f"c{n + 1}=0x{int.from_bytes(context[4 * n : 4 * n + 4], 'big'):x}" for n in range(4)]
    elif action.metadata:
        words.append(f"md2=0x{action.metadata.hex()}")
    return ",".join(words)


def _userspace(action: Userspace, ports: PortNames) -> str:
    words = [f"pid={action.pid}"]
    if action.userdata:
        words.append(_userdata(action.userdata))
    if action.include_actions:
        words.append("actions")
    if action.tunnel_out_port is not None:
        words.append(f"tunnel_out_port={_port(action.tunnel_out_port, ports)}")
    return f"userspace({','.join(words)})"


def _userdata(userdata: bytes) -> str:
    cookie = decode(userdata)
    if isinstance(cookie, SlowPathCookie):
        return f"slow_path({format_slow_reasons(cookie.reason)})"
    if isinstance(cookie, ControllerCookie):
        return (
            f"controller(reason={cookie.reason},dont_send={cookie.dont_send:d},"
            f"continuation={cookie.continuation:d},recirc_id={cookie.recirc_id},"
            f"rule_cookie={c_hex(cookie.rule_cookie)},controller_id={cookie.controller_id},"
            f"max_len={cookie.max_len})"
        )
    if isinstance(cookie, SflowCookie):
        return f"sFlow(vid={cookie.vlan_tci & 0xFFF},pcp={cookie.vlan_tci >> 13},output={cookie.output})"
    if isinstance(cookie, FlowSampleCookie):
        direction = f",{DIRECTIONS[cookie.direction]}" if cookie.direction else ""
        return (
            f"flow_sample(probability={cookie.probability},collector_set_id={cookie.collector_set_id},"
            f"obs_domain_id={cookie.obs_domain_id},obs_point_id={cookie.obs_point_id},"
            f"output_port={cookie.output_port}{direction})"
        )
    if isinstance(cookie, IpfixCookie):
        return f"ipfix(output_port={cookie.output_port})"
    return f"userdata({userdata.hex()})"


def _ct(action: Ct) -> str:
    words = []
    if action.commit:
        words.append("force_commit" if action.force else "commit")
    if action.zone:
        words.append(f"zone={action.zone}")
    if action.mark is not None:
        words.append(f"mark={c_hex(action.mark[0])}/{c_hex(action.mark[1])}")
    if action.label is not None:
        value, mask = action.label
        words.append(f"label={c_hex(value)}" + ("" if mask == ALL_LABEL_BITS else f"/{c_hex(mask)}"))
    if action.helper:
        words.append(f"helper={action.helper}")
    if action.timeout:
        words.append(f"timeout={action.timeout}")
    if action.nat is not None:
        words.append(_nat(action.nat))
    return f"ct({','.join(words)})" if words else "ct"


def _address(address: bytes, bracket: bool) -> str:
    if len(address) == 16:
        text = format_ipv6(int.from_bytes(address, "big"))
        return f"[{text}]" if bracket else text
    return format_ipv4(int.from_bytes(address, "big"))


def _nat(nat: Nat) -> str:
    if not nat.kind:
        return "nat"
    text = nat.kind
    if nat.min_addr or nat.min_port:
        text += "="
        bracket = bool(nat.min_port)
        if nat.min_addr:
            text += _address(nat.min_addr, bracket)
            if nat.max_addr and nat.max_addr != nat.min_addr:
                text += f"-{_address(nat.max_addr, bracket)}"
        if nat.min_port:
            text += f":{nat.min_port}"
            if nat.max_port and nat.max_port != nat.min_port:
                text += f"-{nat.max_port}"
    flags = "".join(f",{name}" for name in ("persistent", "hash", "random") if getattr(nat, name))
    return f"nat({text}{flags})"
