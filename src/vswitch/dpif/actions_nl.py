"""Datapath actions to `OVS_ACTION_ATTR_*` attributes and back (<linux/openvswitch.h>).

`decode_actions` takes whatever bytes a datapath sends: NlAttrError, nothing else, if they are no
actions. Compiled by mypyc.
"""

from __future__ import annotations

import struct
from typing import Final

from mypy_extensions import i64

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
    Trunc,
    Userspace,
)
from vswitch.flow import key_attr as key
from vswitch.netlink.attrs import Builder, NlAttrError, attributes, be16_at, be32_at, text, u32_at

OUTPUT: Final = 1
USERSPACE: Final = 2
SET: Final = 3
PUSH_VLAN: Final = 4
POP_VLAN: Final = 5
SAMPLE: Final = 6
RECIRC: Final = 7
HASH: Final = 8
PUSH_MPLS: Final = 9
POP_MPLS: Final = 10
SET_MASKED: Final = 11
CT: Final = 12
TRUNC: Final = 13
PUSH_ETH: Final = 14
POP_ETH: Final = 15
CT_CLEAR: Final = 16
PUSH_NSH: Final = 17
POP_NSH: Final = 18
METER: Final = 19
CLONE: Final = 20
CHECK_PKT_LEN: Final = 21
ADD_MPLS: Final = 22
DEC_TTL: Final = 23
DROP: Final = 24
"""`OVS_ACTION_ATTR_DROP`, since Linux 6.8 (not in older headers)."""

PSAMPLE: Final = 25
"""OVS_ACTION_ATTR_PSAMPLE, since Linux 6.11."""

NESTED: Final = 0x8000
MAX_DEPTH: Final = 16
"""Actions nested deeper than this are refused, as the kernel does."""

_CT_COMMIT: Final = 1
_CT_ZONE: Final = 2
_CT_MARK: Final = 3
_CT_LABELS: Final = 4
_CT_HELPER: Final = 5
_CT_NAT: Final = 6
_CT_FORCE_COMMIT: Final = 7
_CT_EVENTMASK: Final = 8
_CT_TIMEOUT: Final = 9

_PSAMPLE_GROUP: Final = 1
_PSAMPLE_COOKIE: Final = 2
MAX_PSAMPLE_COOKIE: Final = 16

_NAT_SRC: Final = 1
_NAT_DST: Final = 2
_NAT_IP_MIN: Final = 3
_NAT_IP_MAX: Final = 4
_NAT_PROTO_MIN: Final = 5
_NAT_PROTO_MAX: Final = 6
_NAT_PERSISTENT: Final = 7
_NAT_PROTO_HASH: Final = 8
_NAT_PROTO_RANDOM: Final = 9


def encode_actions(actions: Actions) -> bytes:
    """The nested attributes of OVS_FLOW_ATTR_ACTIONS. NlAttrError if they don't fit into one."""
    b = Builder()
    put_actions(b, actions)
    return b.getvalue()


def put_actions(b: Builder, actions: Actions) -> None:
    """Append each action's attribute to `b`."""
    for action in actions:
        if isinstance(action, Output):
            b.u32(OUTPUT, action.port)
        elif isinstance(action, Userspace):
            _put_userspace(b, action)
        elif isinstance(action, (SetMasked, Set)):
            _put_set(b, action)
        elif isinstance(action, PopVlan):
            b.flag(POP_VLAN)
        elif isinstance(action, PushVlan):
            b.raw(PUSH_VLAN, struct.pack(">HH", action.tpid, action.tci))
        elif isinstance(action, Recirc):
            b.u32(RECIRC, action.recirc_id)
        else:
            _put_other(b, action)


def _put_set(b: Builder, action: Set | SetMasked) -> None:
    if isinstance(action, SetMasked):
        nest = b.begin(SET_MASKED)
        b.raw(action.attr, action.value + action.mask)
    else:
        nest = b.begin(SET)
        # The kernel wants to see that a tunnel's or NSH header's value is nested.
        nested: i64 = NESTED if action.attr == key.TUNNEL or action.attr == key.NSH else 0
        b.raw(action.attr | nested, action.value)
    b.end(nest)


def _put_userspace(b: Builder, action: Userspace) -> None:
    nest = b.begin(USERSPACE)
    b.u32(1, action.pid)
    if action.userdata:
        b.raw(2, action.userdata)
    if action.tunnel_out_port is not None:
        b.u32(3, action.tunnel_out_port)
    if action.include_actions:
        b.flag(4)
    b.end(nest)


def _put_other(b: Builder, action: Action) -> None:
    if isinstance(action, Hash):
        b.raw(HASH, struct.pack("=II", action.algorithm, action.basis))
    elif isinstance(action, Trunc):
        b.u32(TRUNC, action.max_len)
    elif isinstance(action, Meter):
        b.u32(METER, action.meter_id)
    elif isinstance(action, CtClear):
        b.flag(CT_CLEAR)
    elif isinstance(action, Ct):
        _put_ct(b, action)
    elif isinstance(action, PushMpls):
        b.raw(PUSH_MPLS, struct.pack(">IH", action.lse, action.ethertype) + bytes(2))
    elif isinstance(action, AddMpls):
        fields = struct.pack(">IH", action.lse, action.ethertype)
        b.raw(ADD_MPLS, fields + struct.pack("=H", action.tun_flags))
    elif isinstance(action, PopMpls):
        b.be16(POP_MPLS, action.ethertype)
    elif isinstance(action, PushEth):
        b.raw(PUSH_ETH, action.src.to_bytes(6, "big") + action.dst.to_bytes(6, "big"))
    elif isinstance(action, PopEth):
        b.flag(POP_ETH)
    elif isinstance(action, PushNsh):
        _put_push_nsh(b, action)
    elif isinstance(action, PopNsh):
        b.flag(POP_NSH)
    elif isinstance(action, Drop):
        b.u32(DROP, action.reason)
    elif isinstance(action, Psample):
        nest = b.begin(PSAMPLE)
        b.u32(_PSAMPLE_GROUP, action.group)
        if action.cookie:
            b.raw(_PSAMPLE_COOKIE, action.cookie)
        b.end(nest)
    else:
        _put_nesting(b, action)


def _put_nesting(b: Builder, action: Action) -> None:
    if isinstance(action, Sample):
        nest = b.begin(SAMPLE)
        b.u32(1, action.probability)
        inner = b.begin(2)
        put_actions(b, action.actions)
        b.end(inner)
        b.end(nest)
    elif isinstance(action, Clone):
        nest = b.begin(CLONE)
        put_actions(b, action.actions)
        b.end(nest)
    elif isinstance(action, CheckPktLen):
        nest = b.begin(CHECK_PKT_LEN)
        b.u16(1, action.pkt_len)
        inner = b.begin(2)
        put_actions(b, action.greater)
        b.end(inner)
        inner = b.begin(3)
        put_actions(b, action.less_equal)
        b.end(inner)
        b.end(nest)
    elif isinstance(action, DecTtl):
        nest = b.begin(DEC_TTL)
        inner = b.begin(1)
        put_actions(b, action.exceeded)
        b.end(inner)
        b.end(nest)


def _put_push_nsh(b: Builder, action: PushNsh) -> None:
    nest = b.begin(PUSH_NSH)
    base = struct.pack(">BBBBI", action.flags, action.ttl, action.mdtype, action.np, action.path_hdr)
    b.raw(key.NSH_BASE, base)
    if action.mdtype == 1:
        b.raw(key.NSH_MD1, action.metadata)
    elif action.metadata:
        b.raw(key.NSH_MD2, action.metadata)
    b.end(nest)


def _put_ct(b: Builder, action: Ct) -> None:
    nest = b.begin(CT)
    if action.commit:
        b.flag(_CT_FORCE_COMMIT if action.force else _CT_COMMIT)
    if action.zone:
        b.u16(_CT_ZONE, action.zone)
    if action.mark is not None:
        b.raw(_CT_MARK, struct.pack("=II", action.mark[0], action.mark[1]))
    if action.label is not None:
        b.raw(_CT_LABELS, action.label[0].to_bytes(16, "big") + action.label[1].to_bytes(16, "big"))
    if action.helper:
        b.string(_CT_HELPER, action.helper)
    if action.timeout:
        b.string(_CT_TIMEOUT, action.timeout)
    if action.eventmask is not None:
        b.u32(_CT_EVENTMASK, action.eventmask)
    nat = action.nat
    if nat is not None:
        inner = b.begin(_CT_NAT)
        if nat.kind:
            b.flag(_NAT_SRC if nat.kind == "src" else _NAT_DST)
            if nat.min_addr:
                b.raw(_NAT_IP_MIN, nat.min_addr)
            if nat.max_addr and nat.max_addr != nat.min_addr:
                b.raw(_NAT_IP_MAX, nat.max_addr)
            if nat.min_port:
                b.u16(_NAT_PROTO_MIN, nat.min_port)
            if nat.max_port and nat.max_port != nat.min_port:
                b.u16(_NAT_PROTO_MAX, nat.max_port)
            if nat.persistent:
                b.flag(_NAT_PERSISTENT)
            if nat.hash:
                b.flag(_NAT_PROTO_HASH)
            if nat.random:
                b.flag(_NAT_PROTO_RANDOM)
        b.end(inner)
    b.end(nest)


def decode_actions(data: bytes) -> Actions:
    """The actions in nested attributes. NlAttrError if they are malformed or unknown."""
    return _decode(data, 0, len(data), 0)


def _decode(data: bytes, start: int, end: int, depth: int) -> Actions:
    if depth > MAX_DEPTH:
        raise NlAttrError(f"actions nested more than {MAX_DEPTH} deep")
    return tuple([_decode_one(data, t, at, size, depth) for t, at, size in attributes(data, start, end)])


def _need(size: int, wanted: int, what: str) -> None:
    if size != wanted:
        raise NlAttrError(f"{what} of {size} bytes, not {wanted}")


def _decode_one(data: bytes, t: int, at: int, size: int, depth: int) -> Action:
    if t == OUTPUT:
        _need(size, 4, "output")
        return Output(int(u32_at(data, at)))
    if t == USERSPACE:
        return _decode_userspace(data, at, size)
    if t in (SET, SET_MASKED):
        return _decode_set(data, t, at, size)
    if t == PUSH_VLAN:
        _need(size, 4, "push_vlan")
        return PushVlan(int(be16_at(data, at)), int(be16_at(data, at + 2)))
    if t == POP_VLAN:
        return PopVlan()
    if t == RECIRC:
        _need(size, 4, "recirc")
        return Recirc(int(u32_at(data, at)))
    if t == HASH:
        _need(size, 8, "hash")
        return Hash(int(u32_at(data, at)), int(u32_at(data, at + 4)))
    if t == TRUNC:
        _need(size, 4, "trunc")
        return Trunc(int(u32_at(data, at)))
    if t == METER:
        _need(size, 4, "meter")
        return Meter(int(u32_at(data, at)))
    if t in (PUSH_MPLS, ADD_MPLS):
        _need(size, 8, "push_mpls")
        lse, ethertype = int(be32_at(data, at)), int(be16_at(data, at + 4))
        if t == PUSH_MPLS:
            return PushMpls(lse, ethertype)
        return AddMpls(lse, ethertype, struct.unpack_from("=H", data, at + 6)[0])
    if t == POP_MPLS:
        _need(size, 2, "pop_mpls")
        return PopMpls(int(be16_at(data, at)))
    if t == PUSH_ETH:
        _need(size, 12, "push_eth")
        src, dst = data[at : at + 6], data[at + 6 : at + 12]
        return PushEth(int.from_bytes(src, "big"), int.from_bytes(dst, "big"))
    if t == DROP:
        _need(size, 4, "drop")
        return Drop(int(u32_at(data, at)))
    if t == PSAMPLE:
        return _decode_psample(data, at, size)
    return _decode_rest(data, t, at, size, depth)


def _decode_rest(data: bytes, t: int, at: int, size: int, depth: int) -> Action:
    if t == POP_ETH:
        return PopEth()
    if t == POP_NSH:
        return PopNsh()
    if t == CT_CLEAR:
        return CtClear()
    if t == CT:
        return _decode_ct(data, at, size)
    if t == PUSH_NSH:
        return _decode_push_nsh(data, at, size)
    if t == CLONE:
        return Clone(_decode(data, at, at + size, depth + 1))
    if t in (SAMPLE, CHECK_PKT_LEN, DEC_TTL):
        return _decode_nesting(data, t, at, size, depth)
    raise NlAttrError(f"unknown action {t}")


def _decode_nesting(data: bytes, t: int, at: int, size: int, depth: int) -> Action:
    number = 0
    one: Actions = ()
    other: Actions = ()
    for sub, where, length in attributes(data, at, at + size):
        if t == DEC_TTL:
            one = _decode(data, where, where + length, depth + 1)
        elif sub == 1:
            if t == SAMPLE:
                _need(length, 4, "sampling probability")
                number = int(u32_at(data, where))
            else:
                _need(length, 2, "packet length")
                number = struct.unpack_from("=H", data, where)[0]
        elif sub == 2:
            one = _decode(data, where, where + length, depth + 1)
        elif sub == 3:
            other = _decode(data, where, where + length, depth + 1)
    if t == SAMPLE:
        return Sample(number, one)
    if t == DEC_TTL:
        return DecTtl(one)
    return CheckPktLen(number, one, other)


def _decode_psample(data: bytes, at: int, size: int) -> Psample:
    group = 0
    cookie = b""
    for sub, where, length in attributes(data, at, at + size):
        if sub == _PSAMPLE_GROUP:
            _need(length, 4, "psample group")
            group = int(u32_at(data, where))
        elif sub == _PSAMPLE_COOKIE:
            if length > MAX_PSAMPLE_COOKIE:
                raise NlAttrError(f"psample cookie of {length} bytes")
            cookie = data[where : where + length]
    return Psample(group, cookie)


def _decode_userspace(data: bytes, at: int, size: int) -> Userspace:
    pid = 0
    userdata = b""
    port: int | None = None
    actions = False
    for sub, where, length in attributes(data, at, at + size):
        if sub == 1:
            _need(length, 4, "userspace pid")
            pid = int(u32_at(data, where))
        elif sub == 2:
            userdata = data[where : where + length]
        elif sub == 3:
            _need(length, 4, "userspace tunnel_out_port")
            port = int(u32_at(data, where))
        elif sub == 4:
            actions = True
    return Userspace(pid, userdata, port, actions)


def _decode_set(data: bytes, t: int, at: int, size: int) -> Action:
    inner = attributes(data, at, at + size)
    if len(inner) != 1:
        raise NlAttrError(f"set action with {len(inner)} keys, not one")
    attr, where, length = inner[0]
    payload = data[where : where + length]
    if t == SET:
        return Set(attr, payload)
    if length & 1:
        raise NlAttrError("masked set action of an odd length")
    half = length // 2
    return SetMasked(attr, payload[:half], payload[half:])


def _decode_push_nsh(data: bytes, at: int, size: int) -> PushNsh:
    flags = ttl = mdtype = np = path = 0
    metadata = b""
    for sub, where, length in attributes(data, at, at + size):
        if sub == key.NSH_BASE:
            _need(length, 8, "push_nsh base")
            flags, ttl, mdtype, np, path = struct.unpack_from(">BBBBI", data, where)
        elif sub in (key.NSH_MD1, key.NSH_MD2):
            if sub == key.NSH_MD1:
                _need(length, 16, "push_nsh context")
            metadata = data[where : where + length]
    return PushNsh(flags, ttl, mdtype, np, path, metadata)


def _decode_ct(data: bytes, at: int, size: int) -> Ct:
    commit = force = False
    zone = 0
    mark: tuple[int, int] | None = None
    label: tuple[int, int] | None = None
    helper = timeout = ""
    nat: Nat | None = None
    eventmask: int | None = None
    for sub, where, length in attributes(data, at, at + size):
        payload = data[where : where + length]
        if sub == _CT_COMMIT:
            commit = True
        elif sub == _CT_FORCE_COMMIT:
            commit = force = True
        elif sub == _CT_ZONE:
            _need(length, 2, "ct zone")
            zone = struct.unpack("=H", payload)[0]
        elif sub == _CT_MARK:
            _need(length, 8, "ct mark")
            mark = (int(u32_at(payload, 0)), int(u32_at(payload, 4)))
        elif sub == _CT_LABELS:
            _need(length, 32, "ct label")
            label = (int.from_bytes(payload[:16], "big"), int.from_bytes(payload[16:], "big"))
        elif sub == _CT_HELPER:
            helper = text(payload)
        elif sub == _CT_TIMEOUT:
            timeout = text(payload)
        elif sub == _CT_EVENTMASK:
            _need(length, 4, "ct eventmask")
            eventmask = int(u32_at(payload, 0))
        elif sub == _CT_NAT:
            nat = _decode_nat(data, where, length)
    return Ct(commit, force, zone, mark, label, helper, nat, eventmask, timeout)


def _decode_nat(data: bytes, at: int, size: int) -> Nat:
    kind = ""
    min_addr = max_addr = b""
    min_port = max_port = 0
    persistent = hashed = random = False
    for sub, where, length in attributes(data, at, at + size):
        payload = data[where : where + length]
        if sub == _NAT_SRC:
            kind = "src"
        elif sub == _NAT_DST:
            kind = "dst"
        elif sub in (_NAT_IP_MIN, _NAT_IP_MAX):
            if length != 4 and length != 16:
                raise NlAttrError(f"nat address of {length} bytes")
            if sub == _NAT_IP_MIN:
                min_addr = payload
            else:
                max_addr = payload
        elif sub in (_NAT_PROTO_MIN, _NAT_PROTO_MAX):
            _need(length, 2, "nat port")
            port = struct.unpack("=H", payload)[0]
            if sub == _NAT_PROTO_MIN:
                min_port = port
            else:
                max_port = port
        elif sub == _NAT_PERSISTENT:
            persistent = True
        elif sub == _NAT_PROTO_HASH:
            hashed = True
        elif sub == _NAT_PROTO_RANDOM:
            random = True
    return Nat(kind, min_addr, max_addr, min_port, max_port, persistent, hashed, random)
