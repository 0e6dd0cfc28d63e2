"""From datapath actions to `Step`s: every operand checked and unpacked once, when a flow is put."""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif import actions as act
from vswitch.dpif import odp_step as op
from vswitch.dpif.key_struct import N_ATTRS, struct_fields
from vswitch.dpif.odp_nested import tunnel_into
from vswitch.dpif.odp_step import Step
from vswitch.flow import key_attr as attr
from vswitch.flow.field import Field
from vswitch.flow.flow import Flow
from vswitch.packet.numbers import (
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
)
from vswitch.packet.tunnel.outer import Encap

MAX_DEPTH = 16
"""Deepest nesting of action lists."""


class ActionError(Exception):
    """Actions that this datapath refuses: `errno` EINVAL if malformed, EOPNOTSUPP if unknown here."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno


def compile_actions(actions: act.Actions) -> list[Step]:
    """The steps of `actions`. ActionError says what is wrong with them."""
    return _compile(actions, actions, 0)


def single_output(actions: act.Actions) -> int:
    """The port, if output to it is all that `actions` do, else -1."""
    if len(actions) == 1:
        first = actions[0]
        if isinstance(first, act.Output) and first.port < 0x10000:
            return first.port
    return -1


def _compile(actions: act.Actions, whole: act.Actions, depth: int) -> list[Step]:
    if depth > MAX_DEPTH:
        raise ActionError(errno.EINVAL, "actions are nested too deeply")
    steps = [_step(action, whole, depth) for action in actions]
    if steps:
        steps[-1].last = True
    for i, step in enumerate(steps):
        if step.op == op.STEP_TNL_PUSH:
            # One packet may become several, and what follows is for each of them.
            step.then = steps[i + 1 :]
            step.last = True
            return steps[: i + 1]
    return steps


def _step(action: act.Action, whole: act.Actions, depth: int) -> Step:
    def nested(actions: act.Actions) -> list[Step]:
        return _compile(actions, whole, depth + 1)

    if isinstance(action, act.Set):
        return _set(action.attr, action.value, b"\xff" * len(action.value))
    if isinstance(action, act.SetMasked):
        if len(action.mask) != len(action.value):
            raise ActionError(errno.EINVAL, "a set action's mask and value differ in length")
        return _set(action.attr, action.value, action.mask)
    if isinstance(action, act.Output):
        return _make(op.STEP_OUTPUT, action.port)
    if isinstance(action, act.Userspace):
        step = _make(op.STEP_USERSPACE, int(action.include_actions), data=action.userdata)
        step.whole = whole
        return step
    if isinstance(action, act.PushVlan):
        if action.tpid not in (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD) or not action.tci & 0x1000:
            raise ActionError(errno.EINVAL, f"push_vlan of type {action.tpid:#x}, tci {action.tci:#x}")
        return _make(op.STEP_PUSH_VLAN, action.tpid, action.tci)
    if isinstance(action, act.PopVlan):
        return _make(op.STEP_POP_VLAN)
    if isinstance(action, act.PushMpls):
        return _make(op.STEP_PUSH_MPLS, action.lse, _mpls_type(action.ethertype))
    if isinstance(action, act.PopMpls):
        return _make(op.STEP_POP_MPLS, action.ethertype)
    if isinstance(action, act.AddMpls):
        return _make(op.STEP_ADD_MPLS, action.lse, _mpls_type(action.ethertype), action.tun_flags & 1)
    if isinstance(action, act.PushNsh):
        return _make(op.STEP_PUSH_NSH, action.flags, action.ttl, action.mdtype, action.np, action.path_hdr,
                     data=action.metadata)
    if isinstance(action, act.PopNsh):
        return _make(op.STEP_POP_NSH)
    if isinstance(action, act.PushEth):
        return _make(op.STEP_PUSH_ETH, action.src, action.dst)
    if isinstance(action, act.PopEth):
        return _make(op.STEP_POP_ETH)
    if isinstance(action, act.Sample):
        step = _make(op.STEP_SAMPLE, action.probability)
        step.then = nested(action.actions)
        return step
    if isinstance(action, act.Recirc):
        return _make(op.STEP_RECIRC, action.recirc_id)
    if isinstance(action, act.Hash):
        if action.algorithm not in (0, 1):
            raise ActionError(errno.EOPNOTSUPP, f"hash algorithm {action.algorithm}")
        return _make(op.STEP_HASH, action.algorithm, action.basis)
    if isinstance(action, act.LbOutput):
        return _make(op.STEP_LB_OUTPUT, action.bond_id)
    if isinstance(action, act.Trunc):
        if action.max_len < 14:
            raise ActionError(errno.EINVAL, f"truncation to {action.max_len} bytes")
        return _make(op.STEP_TRUNC, action.max_len)
    if isinstance(action, act.Clone):
        step = _make(op.STEP_CLONE)
        step.then = nested(action.actions)
        return step
    if isinstance(action, act.CheckPktLen):
        step = _make(op.STEP_CHECK_PKT_LEN, action.pkt_len)
        step.then = nested(action.greater)
        step.other = nested(action.less_equal)
        return step
    if isinstance(action, act.Meter):
        return _make(op.STEP_METER, action.meter_id)
    if isinstance(action, act.DecTtl):
        step = _make(op.STEP_DEC_TTL)
        step.then = nested(action.exceeded)
        return step
    if isinstance(action, act.Drop):
        return _make(op.STEP_DROP, action.reason)
    if isinstance(action, act.Ct):
        return _ct(action)
    if isinstance(action, act.CtClear):
        return _make(op.STEP_CT_CLEAR)
    if isinstance(action, act.TnlPush):
        return _tnl_push(action)
    if isinstance(action, act.TnlPop):
        return _make(op.STEP_TNL_POP, action.port)
    raise ActionError(errno.EOPNOTSUPP, f"this datapath has no action {type(action).__name__.lower()}")


def _tnl_push(action: act.TnlPush) -> Step:
    step = _make(op.STEP_TNL_PUSH, action.tnl_port)
    try:
        step.encap = Encap(action.header, action.kind)
    except ValueError as e:
        raise ActionError(errno.EINVAL, str(e)) from None
    return step


def _make(number: int, *args: int, data: bytes = b"") -> Step:
    return Step(number, vec[i64](args), data)


_HELPERS = {"": op.CT_HELPER_NONE, "ftp": op.CT_HELPER_FTP, "tftp": op.CT_HELPER_TFTP}


def _ct(action: act.Ct) -> Step:
    """`op.CT_*`. The event mask is for listeners of the kernel's tracker."""
    helper = _HELPERS.get(action.helper)
    if helper is None:
        raise ActionError(errno.EINVAL, f"there is no connection tracking helper {action.helper!r}")
    if action.force and not action.commit:
        raise ActionError(errno.EINVAL, "ct cannot force what it does not commit")
    flags = (op.CT_COMMIT if action.commit else 0) | (op.CT_FORCE if action.force else 0)
    mark, mark_mask = action.mark or (0, 0)
    label, label_mask = action.label or (0, 0)
    args = [0, action.zone, mark & mark_mask, mark_mask]
    args += [*_halves(label & label_mask), *_halves(label_mask), helper]
    nat = action.nat or act.Nat()
    if action.nat is not None:
        flags |= op.CT_NAT | _NAT_KINDS[nat.kind]
        flags |= op.CT_NAT_PERSISTENT if nat.persistent else 0
        flags |= op.CT_NAT_HASH if nat.hash else 0
        flags |= op.CT_NAT_RANDOM if nat.random else 0
        flags |= op.CT_NAT_V6 if len(nat.min_addr) == 16 else 0
    low, high = (int.from_bytes(a, "big") for a in (nat.min_addr, nat.max_addr or nat.min_addr))
    max_port = nat.max_port or nat.min_port
    if high < low or max_port < nat.min_port or len(nat.max_addr) not in (0, len(nat.min_addr)):
        raise ActionError(errno.EINVAL, "a range of NAT ends before it begins")
    if len(nat.min_addr) not in (0, 4, 16):
        raise ActionError(errno.EINVAL, f"a NAT address of {len(nat.min_addr)} bytes")
    args[op.CT_FLAGS] = flags
    args += [*_halves(low), *_halves(high), nat.min_port, max_port]
    return _make(op.STEP_CT, *args, data=action.timeout.encode())


_NAT_KINDS = {"": 0, "src": op.CT_NAT_SRC, "dst": op.CT_NAT_DST}


def _mpls_type(ethertype: int) -> int:
    if ethertype not in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        raise ActionError(errno.EINVAL, f"{ethertype:#x} is not an MPLS Ethernet type")
    return ethertype


# Set actions: the structs of <linux/openvswitch.h>, cut into fields as the registry says.

_LAYOUTS: Final = {key_attr: struct_fields(key_attr) for key_attr in range(N_ATTRS)}


def _cut(key_attr: int, value: bytes, mask: bytes) -> dict[str, tuple[int, int]]:
    """(value, mask) of each field of an attribute's struct, by name."""
    return _cut_into(_LAYOUTS[key_attr], value, mask)


def _cut_into(
    layout: list[tuple[int, int, Field]], value: bytes, mask: bytes
) -> dict[str, tuple[int, int]]:
    size = layout[-1][0] + layout[-1][1]
    if len(value) < size:
        raise ActionError(errno.EINVAL, f"a set action has {len(value)} bytes, not {size}")
    return {
        field.name: (int.from_bytes(value[at : at + n], "big"), int.from_bytes(mask[at : at + n], "big"))
        for at, n, field in layout
    }


def _numbers(key_attr: int, value: bytes, mask: bytes) -> list[int]:
    """Value and mask of each field of an attribute's struct, in order."""
    return _flat(list(_cut(key_attr, value, mask).values()))


def _host32(value: bytes, mask: bytes) -> tuple[int, int]:
    if len(value) != 4:
        raise ActionError(errno.EINVAL, f"a set action has {len(value)} bytes, not 4")
    return int.from_bytes(value, sys.byteorder), int.from_bytes(mask, sys.byteorder)


def _halves(value: int) -> tuple[int, int]:
    """A 128-bit value as signed 64-bit halves."""
    high, low = struct.unpack(">qq", value.to_bytes(16, "big"))
    return high, low


def _wide(pair: tuple[int, int]) -> tuple[int, int, int, int]:
    """Halves of a value and of its mask."""
    return (*_halves(pair[0]), *_halves(pair[1]))


def _flat(fields: Sequence[tuple[int, int]]) -> list[int]:
    return [number for pair in fields for number in pair]


def _ports(key_attr: int, proto: int) -> Callable[[bytes, bytes], Step]:
    return lambda value, mask: _make(op.STEP_SET_PORTS, proto, *_numbers(key_attr, value, mask))


def _ipv4(value: bytes, mask: bytes) -> Step:
    f = _cut(attr.IPV4, value, mask)
    return _make(op.STEP_SET_IPV4, *f["ip_src"], *f["ip_dst"], *f["nw_tos"], *f["nw_ttl"])


def _ipv6(value: bytes, mask: bytes) -> Step:
    f = _cut(attr.IPV6, value, mask)
    return _make(op.STEP_SET_IPV6, *_wide(f["ipv6_src"]), *_wide(f["ipv6_dst"]), *f["ipv6_label"],
                 *f["nw_tos"], *f["nw_ttl"])


def _arp(value: bytes, mask: bytes) -> Step:
    f = _cut(attr.ARP, value, mask)
    return _make(op.STEP_SET_ARP, *f["arp_op"], *f["arp_spa"], *f["arp_tpa"], *f["arp_sha"], *f["arp_tha"])


def _nd(value: bytes, mask: bytes) -> Step:
    f = _cut(attr.ND, value, mask)
    return _make(op.STEP_SET_ND, *_wide(f["nd_target"]), *f["nd_sll"], *f["nd_tll"])


def _nested(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of a nested attribute's payload."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4 or at + length > len(data):
            raise ActionError(errno.EINVAL, "a set action's nested attribute is cut off")
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


_NSH_MASK_SIZES = {attr.NSH_BASE: 8, attr.NSH_MD1: 16}


def _nsh(value: bytes, mask: bytes) -> Step:
    """OVS_NSH_KEY_ATTR_BASE and _MD1. The mask is of the same shape, or all ones for a plain set."""
    values = dict(_nested(value))
    masks = {kind: b"\xff" * size for kind, size in _NSH_MASK_SIZES.items()}
    if mask != b"\xff" * len(mask):
        masks = dict(_nested(mask))
    zeros = {kind: bytes(size) for kind, size in _NSH_MASK_SIZES.items()}

    def fields(kind: int) -> dict[str, tuple[int, int]]:
        layout = struct_fields(attr.NSH, kind)
        if kind not in values:
            return _cut_into(layout, zeros[kind], zeros[kind])
        return _cut_into(layout, values[kind], masks.get(kind, zeros[kind]))

    f = fields(attr.NSH_BASE)
    (spi, spi_mask), (si, si_mask) = f["nsh_spi"], f["nsh_si"]
    context = _flat(list(fields(attr.NSH_MD1).values()))
    return _make(op.STEP_SET_NSH, *f["nsh_flags"], *f["nsh_ttl"], spi << 8 | si, spi_mask << 8 | si_mask,
                 *context)


def _mpls(value: bytes, mask: bytes) -> tuple[int, int]:
    """The outermost label stack entry."""
    if len(value) < 4:
        raise ActionError(errno.EINVAL, f"a set action has {len(value)} bytes, not 4")
    return int.from_bytes(value[:4], "big"), int.from_bytes(mask[:4], "big")


_SETTERS: dict[int, Callable[[bytes, bytes], Step]] = {
    attr.PRIORITY: lambda v, m: _make(op.STEP_SET_PRIORITY, *_host32(v, m)),
    attr.SKB_MARK: lambda v, m: _make(op.STEP_SET_MARK, *_host32(v, m)),
    attr.DP_HASH: lambda v, m: _make(op.STEP_SET_DP_HASH, *_host32(v, m)),
    attr.ETHERNET: lambda v, m: _make(op.STEP_SET_ETHERNET, *_numbers(attr.ETHERNET, v, m)),
    attr.VLAN: lambda v, m: _make(op.STEP_SET_VLAN, *_numbers(attr.VLAN, v, m)),
    attr.IPV4: _ipv4,
    attr.IPV6: _ipv6,
    attr.TCP: _ports(attr.TCP, 6),
    attr.UDP: _ports(attr.UDP, 17),
    attr.SCTP: _ports(attr.SCTP, 132),
    attr.TCP_FLAGS: lambda v, m: _make(op.STEP_SET_TCP_FLAGS, *_numbers(attr.TCP_FLAGS, v, m)),
    attr.ICMP: lambda v, m: _make(op.STEP_SET_ICMP, *_numbers(attr.ICMP, v, m), 1),
    attr.ICMPV6: lambda v, m: _make(op.STEP_SET_ICMP, *_numbers(attr.ICMPV6, v, m), 58),
    attr.ARP: _arp,
    attr.ND: _nd,
    attr.ND_EXTENSIONS: lambda v, m: _make(op.STEP_SET_ND_EXT, *_numbers(attr.ND_EXTENSIONS, v, m)),
    attr.MPLS: lambda v, m: _make(op.STEP_SET_MPLS, *_mpls(v, m)),
    attr.NSH: _nsh,
}


def _set(key_attr: int, value: bytes, mask: bytes) -> Step:
    if key_attr == attr.TUNNEL:
        step = _make(op.STEP_SET_TUNNEL)
        step.tunnel = Flow()
        if not tunnel_into(value, step.tunnel):
            raise ActionError(errno.EINVAL, "a tunnel to be set is malformed")
        return step
    setter = _SETTERS.get(key_attr)
    if setter is None:
        raise ActionError(errno.EOPNOTSUPP, f"this datapath cannot set key attribute {key_attr}")
    return setter(value, mask)
