"""A packet's Geneve options (RFC 8926 section 3.5) as tun_metadata fields, and back.

At the dpif interface and below, a flow has the options as they are in the packet, one after the other;
above it, each option that the bridge's TLV table maps lies in its field's place. These functions go
from one to the other, as `Backer` does for port numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vswitch.dpif.odp_nested import option_bytes, put_option_bytes
from vswitch.flow.field import Field
from vswitch.flow.flow import Flow
from vswitch.flow.layout import W_TUN_METADATA_PRESENT
from vswitch.ofproto.tlv import TlvTable

CRITICAL: Final = 0x80
"""The bit of an option's type that says: who doesn't know it drops the packet."""
HEADER: Final = 4
HEADER_MASK: Final = b"\xff\xff\xff\x1f"
"""Class, type and length, without the reserved bits."""
MAX_LENGTH: Final = 0x1F
"""An option's length in its header, in units of 4 bytes."""
MAX_BYTES: Final = 252


def _options(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(class, type, value) of each option; what is no whole option ends it."""
    at = 0
    while at + HEADER <= len(data):
        size = 4 * (data[at + 3] & MAX_LENGTH)
        yield int.from_bytes(data[at : at + 2], "big"), data[at + 2], data[at + HEADER : at + HEADER + size]
        at += HEADER + size


def _take(flow: Flow) -> bytes:
    """The options that `flow` has in the packet's form, which it loses."""
    words = flow.words
    data = option_bytes(words, words[W_TUN_METADATA_PRESENT])
    _clear(flow)
    return data


def _clear(flow: Flow) -> None:
    for word in range(W_TUN_METADATA_PRESENT + 1):
        flow.words[word] = 0


def _give(flow: Flow, data: bytes, length: int) -> None:
    _clear(flow)
    put_option_bytes(flow.words, data, 0, len(data))
    flow.words[W_TUN_METADATA_PRESENT] = length


def options_from_datapath(table: TlvTable, flow: Flow) -> bool:
    """Put the options of a datapath's `flow` into the places of their fields; the last of several counts.

    False if the packet is to be dropped: an option hasn't the mapped length, or a critical one is
    not mapped.
    """
    if flow.words[W_TUN_METADATA_PRESENT] == 0:
        return True
    for option_class, option_type, value in _options(_take(flow)):
        field = table.by_option.get((option_class, option_type))
        if field is None:
            if option_type & CRITICAL:
                return False
            continue
        if len(value) * 8 != field.n_bits:
            return False
        flow.set(field, int.from_bytes(value, "big"))
        flow.set_option(field.option)
    return True


def options_to_datapath(table: TlvTable, flow: Flow) -> None:
    """Give `flow` the options that it has in fields as a packet has them, by field number.

    More than a Geneve header can have are left out.
    """
    if flow.words[W_TUN_METADATA_PRESENT] == 0:
        return
    data = b""
    for index, mapping in table.by_index.items():
        field: Field = table.fields[index]
        if flow.has_option(field.option):
            head = mapping.option_class.to_bytes(2, "big") + bytes((mapping.option_type, field.n_bits // 32))
            option = head + flow.get(field).to_bytes(field.n_bits // 8, "big")
            if len(data) + len(option) <= MAX_BYTES:
                data += option
    _give(flow, data, len(data))


def mask_to_datapath(table: TlvTable, key: Flow, wc: Flow) -> Flow:
    """`wc`, a mask over fields, as a mask over the options of `key`, a datapath's flow.

    A mask that looks at any option has all headers exactly, so that the same bytes are the same option.
    """
    if wc.words[W_TUN_METADATA_PRESENT] == 0:
        return wc
    data = b""
    for option_class, option_type, value in _options(
        option_bytes(key.words, key.words[W_TUN_METADATA_PRESENT])
    ):
        field = table.by_option.get((option_class, option_type))
        bits = 0 if field is None or field.n_bits != 8 * len(value) else wc.bits(field)
        data += HEADER_MASK + bits.to_bytes(len(value), "big")
    mask = wc.copy()
    _give(mask, data, -1)
    return mask
