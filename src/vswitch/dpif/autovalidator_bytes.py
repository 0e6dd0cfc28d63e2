"""What pushes, pops and sets of tags, labels, Ethernet and NSH headers make of a packet's plain bytes: the
second way of `autovalidator.py`, which shares nothing with the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vswitch.dpif import odp_step as op
from vswitch.dpif.odp_step import Step
from vswitch.packet.checksum import fold, partial_sum, pseudo_sum6
from vswitch.packet.headers import Nsh
from vswitch.packet.numbers import (
    ETH_TYPE_IPV6,
    ETH_TYPE_MIN,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
    ETH_TYPE_TEB,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
    IPPROTO_ICMPV6,
)

TAGS: Final = (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD)
MAX_TAGS: Final = 2
LABELS: Final = (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)

IPV6_HEADER: Final = 40
ND_MESSAGE: Final = 24
"""Bytes of a neighbor solicitation or advertisement before its options."""
ND_TYPES: Final = (135, 136)
LINK_LAYER_OPTIONS: Final = (1, 2)
"""The source's and the target's link-layer address (RFC 4861, 4.6.1)."""

Made = Callable[[list[int], bytes, bytes, int], bytes | None]
"""(arguments, data, packet, packet type) -> packet."""


def _u16(frame: bytes, at: int) -> int:
    return int.from_bytes(frame[at : at + 2], "big")


def _masked(frame: bytes, at: int, size: int, value: int, mask: int) -> bytes:
    """`frame` with the bits of `mask` of the `size` bytes at `at` as in `value`."""
    old = int.from_bytes(frame[at : at + size], "big")
    return frame[:at] + (old & ~mask | value & mask).to_bytes(size, "big") + frame[at + size :]


def _behind_ethernet(frame: bytes, packet_type: int) -> tuple[int, int] | None:
    """(where labels stand or would, the Ethernet type there); None for what has more tags than two, or no
    such type."""
    if packet_type:
        return 0, packet_type & 0xFFFF
    at = 12
    for _ in range(MAX_TAGS):
        if _u16(frame, at) in TAGS:
            at += 4
    eth_type = _u16(frame, at)
    return None if eth_type in TAGS or eth_type < ETH_TYPE_MIN else (at + 2, eth_type)


def _push_vlan(a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    return None if packet_type else (
        frame[:12] + a[0].to_bytes(2, "big") + (a[1] & 0xEFFF).to_bytes(2, "big") + frame[12:]
    )


def _pop_vlan(_a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    return frame[:12] + frame[16:] if not packet_type and _u16(frame, 12) in TAGS else frame


def _set_vlan(a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    tagged = not packet_type and _u16(frame, 12) in TAGS
    return _masked(frame, 14, 2, a[0], a[1] & 0xEFFF) if tagged else frame


def _push_mpls(a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    found = _behind_ethernet(frame, packet_type)
    if found is None:
        return None
    at = found[0]
    label = (a[0] & 0xFFFFFFFF).to_bytes(4, "big")
    return frame[: at - 2] + a[1].to_bytes(2, "big") + label + frame[at:] if at else label + frame


def _pop_mpls(a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    found = _behind_ethernet(frame, packet_type)
    if found is None or (a[0] == ETH_TYPE_TEB and not packet_type):
        return None
    at, eth_type = found
    if eth_type not in LABELS:
        return frame
    return frame[: at - 2] + a[0].to_bytes(2, "big") + frame[at + 4 :] if at else frame[4:]


def _set_mpls(a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    found = _behind_ethernet(frame, packet_type)
    if found is None:
        return None
    return _masked(frame, found[0], 4, a[0], a[1]) if found[1] in LABELS else frame


def _add_mpls(a: list[int], data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    return _push_mpls(a, data, frame, packet_type) if a[2] else (a[0] & 0xFFFFFFFF).to_bytes(4, "big") + frame


def _push_eth(a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    addresses = a[1].to_bytes(6, "big") + a[0].to_bytes(6, "big")
    return addresses + (packet_type & 0xFFFF).to_bytes(2, "big") + frame if packet_type else None


def _pop_eth(_a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    untagged = not packet_type and _u16(frame, 12) not in TAGS and _u16(frame, 12) >= ETH_TYPE_MIN
    return frame[14:] if untagged else None


def _push_nsh(a: list[int], data: bytes, frame: bytes, _packet_type: int) -> bytes | None:
    flags, ttl, md_type, np, path = a[:5]
    return Nsh(np, md_type, flags, ttl, path & 0xFFFFFFFF, data).pack() + frame


def _nsh_at(frame: bytes, packet_type: int) -> int:
    """Where the NSH header is; -1 if there is none."""
    found = _behind_ethernet(frame, packet_type)
    return found[0] if found is not None and found[1] == ETH_TYPE_NSH and len(frame) >= found[0] + 8 else -1


def _pop_nsh(_a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    return frame[(_u16(frame, 0) & 0x3F) * 4 :] if packet_type & 0xFFFF == ETH_TYPE_NSH else None


def _set_nsh(a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    at = _nsh_at(frame, packet_type)
    if at < 0:
        return frame
    bits, mask = ((a[n] & 3) << 12 | (a[n + 2] & 0x3F) << 6 for n in (0, 1))
    made = _masked(_masked(frame, at, 2, bits, mask), at + 4, 4, a[4], a[5])
    if made[at + 2] & 0xF == 1 and len(made) >= at + 24:
        for n in range(4):
            made = _masked(made, at + 8 + 4 * n, 4, a[6 + 2 * n], a[7 + 2 * n])
    return made


def _set_nd_ext(a: list[int], _data: bytes, frame: bytes, packet_type: int) -> bytes | None:
    """RFC 4861, 4.3, 4.4 and 4.6: a word behind the checksum, the target, options of units of 8 bytes."""
    found = _behind_ethernet(frame, packet_type)
    if found is None or found[1] != ETH_TYPE_IPV6:
        return frame
    at = found[0] + IPV6_HEADER
    if len(frame) < at or frame[found[0] + 6] != IPPROTO_ICMPV6:
        return None
    end = at + _u16(frame, found[0] + 4)
    body = frame[at:end]
    if len(body) < ND_MESSAGE or body[0] not in ND_TYPES or end > len(frame):
        return None
    addresses = frame[found[0] + 8 : at]
    start = pseudo_sum6(addresses[:16], addresses[16:], IPPROTO_ICMPV6, len(body))
    if fold(start + partial_sum(body, 0, len(body))) != 0xFFFF:
        return None  # it stays as wrong as it was
    body = _masked(body, 4, 4, a[0], a[1])
    option = ND_MESSAGE
    while a[3] and len(body) >= option + 8 and body[option + 1]:
        if body[option + 1] == 1 and body[option] in LINK_LAYER_OPTIONS:
            body = _masked(body, option, 1, a[2], a[3])
            break
        option += 8 * body[option + 1]
    sum_of = int(fold(start + partial_sum(body[:2] + bytes(2) + body[4:], 0, len(body)))) ^ 0xFFFF
    return frame[:at] + body[:2] + sum_of.to_bytes(2, "big") + body[4:] + frame[end:]


MADE: Final[dict[int, Made]] = {
    op.STEP_PUSH_VLAN: _push_vlan, op.STEP_POP_VLAN: _pop_vlan, op.STEP_SET_VLAN: _set_vlan,
    op.STEP_PUSH_MPLS: _push_mpls, op.STEP_POP_MPLS: _pop_mpls, op.STEP_SET_MPLS: _set_mpls,
    op.STEP_ADD_MPLS: _add_mpls, op.STEP_PUSH_ETH: _push_eth, op.STEP_POP_ETH: _pop_eth,
    op.STEP_PUSH_NSH: _push_nsh, op.STEP_POP_NSH: _pop_nsh, op.STEP_SET_NSH: _set_nsh,
    op.STEP_SET_ND_EXT: _set_nd_ext,
}  # fmt: skip


def made_of(step: Step, frame: bytes, packet_type: int) -> bytes | None:
    """The packet that `step` makes of `frame`, which begins with an Ethernet header if `packet_type` is 0;
    None: this is for the first way alone."""
    made = MADE.get(step.op)
    if made is None or len(frame) < (8 if packet_type else 18):
        return None
    return made([int(arg) for arg in step.args], bytes(step.data), frame, packet_type)
