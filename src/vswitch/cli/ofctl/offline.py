"""The commands that need no switch: what a text means, and what messages say that were captured.

`ofp-parse-pcap` puts each TCP stream together by its sequence numbers, whatever the order of the packets.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from vswitch.base.records import dataclass, field
from vswitch.cli.ofctl.flows import aloud, read_lines
from vswitch.cli.ofctl.formats import (
    ANY,
    NXM,
    OPENFLOW10,
    OPENFLOW11,
    Formats,
    allowed,
    format_formats,
    usable,
)
from vswitch.cli.ofctl.switch import OfctlError, Settings
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.constants import OFPTT_ALL
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.print import format_bytes
from vswitch.openflow.wire.codec import encode
from vswitch.openflow.wire.errors import ERRORS, encodable, to_numbers
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP15, VERSIONS
from vswitch.packet.parse import Parser

HEADER: Final = 8
PORTS: Final = (6633, 6653)
PCAP_HEADER, PCAP_RECORD = 24, 16
PCAP_ORDERS: Final = {
    b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\x3c\x4d": ">",
}  # fmt: skip
"""A file's first bytes -> its byte order (pcap-savefile(5)); times are in us or ns."""
SYN: Final = 0x02


@dataclass(frozen=True)
class Offline:
    """A command: its arguments, how many, and what it does."""

    usage: str
    least: int
    most: int
    run: Callable[[Settings, Sequence[str]], None]


# Messages.


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise OfctlError("trailing garbage following hex bytes") from None


def ofp_print(settings: Settings, args: Sequence[str]) -> None:
    """`ofp-print HEXSTRING [VERBOSITY]`; "-" is standard input, a message a line."""
    text, verbosity = args[0], int(args[1]) if args[1:] and args[1].isdigit() else 2
    for line in sys.stdin.read().splitlines() if text == "-" else [text]:
        data = _hex(line)
        if not data and text == "-":
            continue
        sys.stdout.write(settings.shown(format_bytes(data, verbosity)))


def ofp_parse(settings: Settings, args: Sequence[str]) -> None:
    """`ofp-parse FILE`"""
    (name,) = args
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise OfctlError(f"{name}: open ({error.strerror})") from error
    while data:
        size = int.from_bytes(data[2:4])
        if len(data) >= HEADER > size:
            raise OfctlError(f"{name}: {size}-byte message is too short for OpenFlow")
        if len(data) < max(size, HEADER):
            raise OfctlError(f"{name}: unexpected end of file mid-message")
        sys.stdout.write(settings.shown(format_bytes(data[:size], settings.verbosity + 2)))
        data = data[size:]


@dataclass
class _Stream:
    """One direction of a connection: bytes that wait for the rest of a message, or for those before them."""

    next_seq: int
    data: bytes = b""
    later: dict[int, bytes] = field(default_factory=dict)

    def add(self, seq: int, payload: bytes) -> None:
        self.later[seq] = max(payload, self.later.get(seq, b""), key=len)
        while self.later:
            first = min(self.later, key=lambda s: (s - self.next_seq + (1 << 31)) & 0xFFFFFFFF)
            seen = (self.next_seq - first) & 0xFFFFFFFF
            if seen >= 1 << 31:
                return
            new = self.later.pop(first)[seen:]
            self.data += new
            self.next_seq = (self.next_seq + len(new)) & 0xFFFFFFFF

    def messages(self) -> Iterator[bytes]:
        while len(self.data) >= HEADER:
            size = max(int.from_bytes(self.data[2:4]), HEADER)
            if len(self.data) < size:
                return
            yield self.data[:size]
            self.data = self.data[size:]


def packets_of(name: str) -> Iterator[bytes]:
    """The packets of a pcap file. OfctlError."""
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise OfctlError(f"{name}: open failed ({error.strerror})") from error
    order = PCAP_ORDERS.get(data[:4])
    if order is None or len(data) < PCAP_HEADER:
        raise OfctlError(f"{name}: open failed (this is no pcap file)")
    at = PCAP_HEADER
    while at + PCAP_RECORD <= len(data):
        size = struct.unpack_from(f"{order}IIII", data, at)[2]
        at += PCAP_RECORD
        yield data[at : at + size]
        at += size


def ofp_parse_pcap(settings: Settings, args: Sequence[str]) -> None:
    """`ofp-parse-pcap FILE [PORT...]`"""
    ports = [int(word) if word.isdigit() else 0 for word in args[1:]] or PORTS
    streams: dict[tuple[str, int, str, int], _Stream] = {}
    shown = False
    for packet in packets_of(args[0]):
        tcp = _tcp(packet)
        if tcp is None or not {tcp[0][1], tcp[0][3]} & set(ports):
            continue
        key, seq, flags, payload = tcp
        if flags & SYN:
            streams[key] = _Stream((seq + 1) & 0xFFFFFFFF)
            continue
        stream = streams.setdefault(key, _Stream(seq))
        if payload:
            stream.add(seq, payload)
        for message in stream.messages():
            if shown:
                print()
            shown = True
            print("{}.{} > {}.{}:".format(*key))
            sys.stdout.write(settings.shown(format_bytes(message, settings.verbosity + 1)))


def _tcp(packet: bytes) -> tuple[tuple[str, int, str, int], int, int, bytes] | None:
    """(addresses and ports, sequence number, flags, payload) of a TCP segment over IPv4."""
    parser = Parser()
    parser.parse(packet)
    at, tcp = int(parser.l3_ofs), int(parser.l4_ofs)
    if parser.dl_type != 0x0800 or parser.nw_proto != 6 or tcp < 0 or len(packet) < tcp + 20:
        return None
    end = at + int.from_bytes(packet[at + 2 : at + 4])
    source, destination = (".".join(map(str, packet[at + n : at + n + 4])) for n in (12, 16))
    sport, dport, seq = struct.unpack_from(">HHI", packet, tcp)
    data = packet[tcp + 4 * (packet[tcp + 12] >> 4) : end]
    return (source, sport, destination, dport), seq, packet[tcp + 13], data


# Text.


def _chosen(can: Formats, may: Formats, with_table: bool) -> tuple[str, int, Form]:
    """The format in which flows are sent that `can` be said so: its name, version and form. OfctlError."""
    sign = "+" if with_table else "-"
    for name, version in ((OPENFLOW10, OFP10), (NXM, OFP10), (OPENFLOW11, OFP11)):
        # OpenFlow 1.0's own flow mods have no table.
        if name in can & may:
            shown = f"{name}{sign}table_id" if version == OFP10 else name
            return shown, version, Form.EXTENSION if name == NXM else Form.OPENFLOW
    for version in range(OFP12, OFP15 + 1):
        name = f"OXM-OpenFlow1{version - 1}"
        if name in can & may:
            return name, version, Form.OPENFLOW
    raise OfctlError("no usable protocol")


def _show_flows(settings: Settings, mods: Sequence[FlowMod]) -> None:
    can = ANY
    for mod in mods:
        can &= usable(mod)
    with_table = any(mod.table_id != OFPTT_ALL for mod in mods)
    print(f"usable protocols: {'any' if can == ANY and not with_table else format_formats(can, with_table)}")
    name, version, form = _chosen(can, allowed(settings.versions, settings.formats), with_table)
    print(f"chosen protocol: {name}")
    for xid, mod in enumerate(mods, 1):
        data = encode(mod, version, xid, form, with_table and version == OFP10)
        sys.stdout.write(settings.shown(format_bytes(data, settings.verbosity)))


def parse_flow_command(settings: Settings, args: Sequence[str]) -> None:
    """`parse-flow FLOW`"""
    _show_flows(settings, [aloud(parse_flow(args[0], as_said=True))])


def parse_flows(settings: Settings, args: Sequence[str]) -> None:
    """`parse-flows FILE`"""
    mods: list[Any] = []
    for where, text in read_lines(args[0]):
        try:
            mods.append(aloud(parse_flow(text, as_said=True)))
        except FlowSyntaxError as error:
            raise OfctlError(f"{where}: {error.message}") from error
    _show_flows(settings, mods)


def print_error(settings: Settings, args: Sequence[str]) -> None:
    """`print-error NAME`"""
    (name,) = args
    if name not in ERRORS:
        raise OfctlError(f'unknown error "{name}"')
    for version in VERSIONS:
        if encodable(name, version):
            vendor, type_, code = to_numbers(name, version)
            shown = f"{vendor:#x}" if vendor else "0"
            print(f"OpenFlow 1.{version - 1}: vendor {shown}, type {type_}, code {code}")


OFFLINE: Final = {
    "ofp-parse": Offline("FILE", 1, 1, ofp_parse),
    "ofp-parse-pcap": Offline("FILE [PORT...]", 1, 1 << 30, ofp_parse_pcap),
    "ofp-print": Offline("HEX [VERBOSITY]", 1, 2, ofp_print),
    "parse-flow": Offline("FLOW", 1, 1, parse_flow_command),
    "parse-flows": Offline("FILE", 1, 1, parse_flows),
    "print-error": Offline("NAME", 1, 1, print_error),
}
"""The commands by name."""
