"""Requests with a few bytes changed, from a seed, and what of the answers to them is compared.

The corpus has a message of every kind in every version: what `test_real_replies` asks, and flow mods with
every action of ovs-actions(7). A mutation changes bytes, makes the message shorter or longer, or doubles a
part of it; the header's version stays, and its length fits.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.ofproto.ends import UNREADABLE, End, encoded
from tests.ofproto.test_real_replies import TOPICS, steps_of
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.messages.flow import FlowMonitorRequest
from vswitch.openflow.messages.nicira import CtFlush
from vswitch.openflow.messages.packet import Resume
from vswitch.openflow.messages.table import TableFeaturesRequest
from vswitch.openflow.wire.codec import class_of, decode, encode
from vswitch.openflow.wire.messages_base import NotInVersion
from vswitch.openflow.wire.version import OFP15

HEADER: Final = 8
OFPT_ERROR: Final = 1
OFPT_FLOW_MOD: Final = 14
OFPT_GROUP_MOD: Final = 15
ACTIONS: Final = Path(__file__).parents[1] / "openflow" / "actions.txt"
INNER: Final = (16, 24)
"""Where the message within OFPT_BUNDLE_ADD_MESSAGE begins, and within the ONF's extension."""
NUMBERS_TO_TRY: Final = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF)


def corpus(version: int, end: End) -> list[bytes]:
    """Every kind of request that `version` has."""
    found: dict[bytes, None] = {}
    for steps in TOPICS.values():
        for step in steps:
            try:
                for request in steps_of(step, end):
                    found[encoded(request, version)] = None
            except NotInVersion:
                continue
    for line in ACTIONS.read_text().splitlines():
        text = line.partition(" => ")[0].strip()
        if not text or text.startswith("#"):
            continue
        fm: FlowMod = parse_flow_line("table=1,tcp,actions=drop")
        try:
            fm.actions = parse_actions(text)
            found[encode(fm, version, 7)] = None
        except (FlowSyntaxError, OfpError, NotInVersion):
            continue
    return list(found)


def mutated(rnd: random.Random, message: bytes) -> tuple[bytes, bool]:
    """`message` with something changed behind its header; whether that was one byte only."""
    data = bytearray(message)
    changes = rnd.choice((1, 1, 1, 2, 3))
    simple = changes == 1
    for _ in range(changes):
        kind = rnd.random()
        if kind < 0.2 or len(data) == HEADER:
            simple = False
            _change_shape(rnd, data, kind)
            continue
        at = rnd.randrange(HEADER, len(data))
        how = rnd.random()
        if how < 0.4:
            data[at] = rnd.choice(NUMBERS_TO_TRY)
        elif how < 0.7:
            data[at] ^= 1 << rnd.randrange(8)
        elif how < 0.85:
            data[at] = (data[at] + rnd.choice((1, -1))) & 0xFF
        else:
            data[at] = rnd.randrange(256)
    del data[0xFFF8:]
    struct.pack_into(">H", data, 2, len(data))
    return bytes(data), simple


def _change_shape(rnd: random.Random, data: bytearray, kind: float) -> None:
    """Cut, append, double, or take it for a message of another type."""
    if kind < 0.08:
        del data[rnd.randint(HEADER, len(data)) :]
    elif kind < 0.14 or len(data) < HEADER + 8:
        data += bytes(rnd.choice((1, 4, 8, 16))) if rnd.random() < 0.5 else rnd.randbytes(8)
    elif kind < 0.18:
        at = rnd.randrange(HEADER, len(data) - 7)
        data[at:at] = data[at : at + 8]
    else:
        data[1] = rnd.randrange(1, 36)


def with_xid(message: bytes, xid: int) -> bytes:
    """`message` with another transaction number; one within it in a bundle has the same."""
    data = bytearray(message)
    old = bytes(data[4:8])
    for inner in INNER:
        if len(data) >= inner + HEADER and data[inner + 4 : inner + 8] == old and data[1] in (4, 34):
            struct.pack_into(">I", data, inner + 4, xid)
    struct.pack_into(">I", data, 4, xid)
    return bytes(data)


def hangs_the_real_switch(data: bytes) -> bool:
    """Whether `data` may insert no buckets into a group, from which the real switch never comes back."""
    commands = [data[HEADER : HEADER + 2]] if data[1] == 15 else [data[at + 8 : at + 10] for at in INNER]
    return data[1] in (4, 15, 34) and b"\0\3" in commands


def error_name(reply: bytes) -> str:
    """An error by its name, where it has none by its numbers; UNREADABLE as in `ends`."""
    body = decode(reply).body
    if body.name:
        return str(body.name)
    numbers = struct.unpack_from(">HH", reply, HEADER)
    return UNREADABLE if len(body.data) > 60_000 else f"error {numbers[0]}:{numbers[1]} {body.data[:4].hex()}"


def answers(replies: Iterable[bytes]) -> list[str]:
    """What is said at once to a request: errors, and the kinds of the replies."""
    found: list[str] = []
    for reply in replies:
        if reply[1] == OFPT_ERROR:
            name = error_name(reply)
            if name not in LATE:
                found.append(name)
            continue
        cls = class_of(reply)
        name = cls.__name__ if cls is not None else f"type {reply[1]}"
        if name not in ASYNCHRONOUS and (not found or found[-1] != name):
            found.append(name)
    return found


LATE: Final = ("OFPBRC_MULTIPART_REQUEST_TIMEOUT", "OFPBFC_TIMEOUT")
"""Errors about requests of before."""
ASYNCHRONOUS: Final = (
    "PacketIn", "PortStatus", "FlowRemoved", "TableStatus", "RoleStatus", "FlowMonitorReply",
    "FlowMonitorPaused", "FlowMonitorResumed", "RequestForward",
)  # fmt: skip

LEARN: Final = (b"\0\0\x23\x20\0\x10", b"\0\0\x23\x20\0\x2d")
"""NXAST_LEARN and NXAST_LEARN2 behind their vendor."""


@dataclass(frozen=True)
class Difference:
    """Two answers to a mutation, which changed one byte (`simple`) or more."""

    data: bytes
    simple: bool
    real: frozenset[str]
    ours: frozenset[str]

    @property
    def both_refuse(self) -> bool:
        return all(name.startswith(("OFP", "NX", "error")) for name in (*self.real, *self.ours)) and bool(
            self.real and self.ours
        )


REASONS: Final[dict[str, Callable[[Difference], bool]]] = {
    "the real switch's errors about flow monitors are bytes of the request, or of nothing, and of several "
    "monitors in a request it keeps those before the bad one":
        lambda d: class_of(d.data) is FlowMonitorRequest,
    "bundle control of a type that there is not: the real one answers it with a reply of type 0":
        lambda d: d.ours == {"OFPBFC_BAD_TYPE"} and d.real == {"BundleControl"},
    "OpenFlow 1.3, 7.4.4, has OFPBAC_BAD_SET_TYPE for a field that there is not, and SET_LEN for a length":
        lambda d: d.real | d.ours in (
            {"OFPBAC_BAD_SET_TYPE", "OFPBAC_BAD_SET_LEN"}, {"OFPBMC_BAD_LEN", "OFPBAC_BAD_SET_LEN"}),
    "insert and remove bucket are of OpenFlow 1.5; the real one takes them earlier, and may hang":
        lambda d: d.ours <= {"OFPGMFC_BAD_COMMAND", "NXBRC_UNENCODABLE_ERROR"} and d.data[0] < OFP15
        and d.data[1] == OFPT_GROUP_MOD and d.data[9] in (3, 5),
    "two things are wrong, and one is an option that no TLV table maps: ours comes to it last":
        lambda d: "NXFMFC_INVALID_TLV_FIELD" in d.real | d.ours and d.both_refuse,
    "a packet-out of more than the pipeline's fields: ours says so after the rest":
        lambda d: "OFPBRC_PIPELINE_FIELDS_ONLY" in d.real and d.both_refuse,
    "OpenFlow 1.5 has no instruction for meters, whatever its length":
        lambda d: d.ours == {"OFPBIC_UNKNOWN_INST"} and d.real == {"OFPBIC_BAD_LEN"} and d.data[0] == OFP15,
    "there is no table 255 to go to":
        lambda d: d.ours == {"OFPBIC_BAD_TABLE_ID"} and b"\0\x01\0\x08\xff" in d.data,
    "an encapsulation with a property that it can't have: ours refuses":
        lambda d: d.ours == {"NXBAC_BAD_ED_PROP"},
    "learn's result beyond the end of its field: ours refuses":
        lambda d: d.ours == {"OFPBAC_BAD_SET_LEN"} and LEARN[1] in d.data,
    "what is wrong with a learn action is looked for in another order":
        lambda d: d.both_refuse and any(word in d.data for word in LEARN),
    "bundle_load of an algorithm or of fields that there are not: ours refuses it, as both do with bundle":
        lambda d: d.ours == {"OFPBAC_BAD_ARGUMENT"} and b"\0\0\x23\x20\0\x0d" in d.data,
    "a flush of connections by a property that there is not would flush more than was meant: ours refuses":
        lambda d: class_of(d.data) is CtFlush,
    "an address to translate to, but neither sources nor destinations to translate: ours refuses":
        lambda d: d.ours == {"OFPBAC_BAD_ARGUMENT"} and d.real <= {"OFPBAC_MATCH_INCONSISTENT"}
        and b"\0\0\x23\x20\0\x24" in d.data,
    "flows of the real switch keep their tunnel options for a while after they are gone":
        lambda d: d.real == {"NXTTMFC_INVALID_TLV_DEL"} and not d.ours,
    "replies are no requests: of the two errors that say so, one or the other":
        lambda d: d.real | d.ours == {"OFPBRC_BAD_LEN", "OFPBRC_BAD_TYPE"},
    "ours keeps at most 16 requests that are not whole, so that a client can't fill its memory":
        lambda d: "OFPBRC_MULTIPART_BUFFER_OVERFLOW" in d.ours,
    "a continuation with garbage in it is stale for the real one, broken for ours":
        lambda d: class_of(d.data) is Resume and d.both_refuse,
    "the features of tables can't be changed here: ours says so before it looks at each property":
        lambda d: class_of(d.data) is TableFeaturesRequest and d.both_refuse,
    "a traffic class of MPLS above 7 doesn't fit its bits: ours refuses":
        lambda d: d.ours == {"OFPBAC_BAD_ARGUMENT"} and d.real <= {"OFPBAC_MATCH_INCONSISTENT"}
        and (b"\0\0\x23\x20\0\x1f" in d.data or b"\0\x0e\0\x08" in d.data),
    "meters' bands that remark DSCP are carried out by ours":
        lambda d: "OFPMMFC_BAD_BAND" in d.real and b"\0\x02\0\x10" in d.data,
    "NXAST_SAMPLE4 is of Open vSwitch 3.4":
        lambda d: d.real == {"OFPBAC_BAD_VENDOR_TYPE"} and b"\0\0\x23\x20\0\x33" in d.data,
    "flows of the real one's hidden table have cookie 0: it finds them by that, and can't change them":
        lambda d: d.real == {"OFPBRC_EPERM"} and b"\0\x01\x3c\x08" in d.data,
    "several things are wrong, and both refuse, each for one of them":
        lambda d: d.both_refuse and not d.simple,
}  # fmt: skip
"""Why an answer may differ, and whether that is why it does."""
