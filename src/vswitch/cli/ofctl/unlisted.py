"""The commands without a manual: bytes as matches, actions, groups, packets and messages, and back, for those
who test what writes them.

Input comes as lines of hexadecimal on standard input; "#" begins a comment.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from vswitch.cli.ofctl.flows import said
from vswitch.cli.ofctl.formats import ANY, Formats, allowed, format_formats, of_versions, usable_list
from vswitch.cli.ofctl.nx_match import parse_nxm_command, parse_oxm_command
from vswitch.cli.ofctl.offline import Offline, packets_of
from vswitch.cli.ofctl.raw_matches import check_vlan, differences, show_match10, show_match11
from vswitch.cli.ofctl.switch import OfctlError, Settings
from vswitch.flow.compose import DEFAULT_PAYLOAD, flow_compose
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.flow.match_text import parse_exact_flow
from vswitch.flow.syntax import FlowSyntaxError, split_words
from vswitch.flow.text import format_flow
from vswitch.openflow.action_text import format_actions
from vswitch.openflow.actions import Actions
from vswitch.openflow.constants import OFPP_NONE
from vswitch.openflow.errors import OfpError
from vswitch.openflow.group_text import parse_group
from vswitch.openflow.messages.session import Hello
from vswitch.openflow.print import format_bytes
from vswitch.openflow.print_base import plain_dump
from vswitch.openflow.wire.actions import get_actions, put_actions
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.codec import encode
from vswitch.openflow.wire.errors import ERRORS, put_error
from vswitch.openflow.wire.instructions import get_instructions, put_instructions
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, VERSIONS, version_from_name
from vswitch.packet.parse import Parser

HEADER: Final = 8
OFPT_ERROR: Final = 1
Get: TypeAlias = Callable[[Reader, int, int], Actions]
Put: TypeAlias = Callable[[Writer, Actions, int], None]


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise OfctlError("Trailing garbage in hex data") from None


def _lines() -> Iterator[bytes]:
    for line in sys.stdin.read().splitlines():
        text = line.partition("#")[0].strip()
        if text:
            yield _bytes(text)


# Actions.


def _parse_actions(args: Sequence[str], what: str, get: Get, put: Put) -> None:
    try:
        version = version_from_name(args[0])
    except KeyError:
        raise OfctlError(f"{args[0]}: not a valid OpenFlow version") from None
    for data in _lines():
        try:
            r = Reader(data)
            if len(data) % HEADER:
                raise OfpError("OFPBRC_BAD_LEN", what)
            actions = get(r, len(data), version)
        except OfpError as error:
            print(f"bad {args[0]} {what}: {error.name}\n")
            continue
        print(f"actions={format_actions(actions)}")
        w = Writer()
        put(w, actions, version)
        for line in differences(data, w.getvalue()):
            print(line)
        print()


def parse_actions(_settings: Settings, args: Sequence[str]) -> None:
    """`parse-actions VERSION`"""
    _parse_actions(args, "actions", get_actions, put_actions)


def parse_instructions(_settings: Settings, args: Sequence[str]) -> None:
    """`parse-instructions VERSION`"""
    if args[0] == "OpenFlow10":
        _parse_actions(args, "instructions", get_actions, put_actions)
    else:
        _parse_actions(args, "instructions", get_instructions, put_instructions)


# Matches.


def parse_match10(_settings: Settings, _args: Sequence[str]) -> None:
    """`parse-ofp10-match`"""
    show_match10(_lines())


def parse_match11(_settings: Settings, _args: Sequence[str]) -> None:
    """`parse-ofp11-match`"""
    show_match11(_lines())


# Groups.


def parse_group_command(settings: Settings, args: Sequence[str]) -> None:
    """`parse-group GROUP`"""
    try:
        mod = parse_group(args[0])
    except FlowSyntaxError as error:
        raise OfctlError(said(error)) from error
    can: Formats = ANY
    for bucket in mod.buckets:
        can &= usable_list(bucket.actions)
    print(f"usable protocols: {'any' if can == ANY else format_formats(can)}")
    may = allowed(settings.versions, settings.formats)
    for version in VERSIONS:
        if of_versions((version,)) & can & may:
            break
    else:
        raise OfctlError("no usable protocol")
    print(f"chosen version: OpenFlow1{version - 1}")
    form = Form.EXTENSION if version == OFP10 else Form.OPENFLOW
    sys.stdout.write(settings.shown(format_bytes(encode(mod, version, 1, form), settings.verbosity)))


# Packets.


def _flow_of(data: bytes, in_port: int = 0) -> str:
    flow = Flow()
    flow.in_port = in_port
    extract(data, flow, Parser())
    return format_flow(flow).replace("in_port=0,", "", 1)


def parse_packet(_settings: Settings, _args: Sequence[str]) -> None:
    """`parse-packet`: of standard input."""
    print(_flow_of(sys.stdin.buffer.read()))


def parse_pcap(_settings: Settings, args: Sequence[str]) -> None:
    """`parse-pcap FILE...`"""
    for name in args:
        for packet in packets_of(name):
            print(_flow_of(packet, OFPP_NONE))


def compose_packet(_settings: Settings, args: Sequence[str]) -> None:
    """`compose-packet FLOW [PAYLOAD]`"""
    try:
        flow = parse_exact_flow(args[0])
    except FlowSyntaxError as error:
        raise OfctlError(f"{args[0]}: {said(error)}") from error
    if len(args) > 1:
        try:
            data = flow_compose(flow, bytes.fromhex(args[1]))
        except ValueError:
            raise OfctlError(f"{args[1]}: trailing garbage in packet data") from None
    else:
        data = flow_compose(flow, DEFAULT_PAYLOAD)
    sys.stdout.write(plain_dump(data))


# Messages.


def encode_hello(settings: Settings, args: Sequence[str]) -> None:
    """`encode-hello VERSIONS`: a number with bit n for each version n."""
    try:
        versions = int(args[0], 0)
    except ValueError:
        versions = 0
    spoken = [n for n in range(1, 32) if versions >> n & 1]
    if not spoken or spoken[-1] not in VERSIONS:
        raise OfctlError(f"{args[0]}: no OpenFlow version is among these")
    contiguous = versions | 1 == (2 << spoken[-1]) - 1
    data = encode(Hello(0 if contiguous else versions), spoken[-1], 1)
    sys.stdout.write(plain_dump(data) + settings.shown(format_bytes(data, settings.verbosity)))


def encode_error_reply(_settings: Settings, args: Sequence[str]) -> None:
    """`encode-error-reply ERROR REQUEST`"""
    name, text = args
    if name not in ERRORS:
        raise OfctlError(f'unknown error "{name}"')
    request = _bytes(text)
    if len(request) < HEADER:
        raise OfctlError("Request too short")
    if int.from_bytes(request[2:4]) != len(request):
        raise OfctlError("Request size inconsistent")
    w = Writer()
    w.u8(request[0])
    w.u8(OFPT_ERROR)
    w.u16(0)
    w.raw(request[4:8])
    put_error(w, name, request[0], request[:64])
    w.patch_u16(2, w.position())
    sys.stdout.write(plain_dump(w.getvalue()))


def parse_key_value(_settings: Settings, args: Sequence[str]) -> None:
    """`parse-key-value TEXT...`"""
    for text in args:
        print(", ".join(f"{word.key}={word.value}" if word.value else word.key for word in split_words(text)))


UNLISTED: Final = {
    "parse-group": Offline("GROUP", 1, 1, parse_group_command),
    "parse-actions": Offline("VERSION", 1, 1, parse_actions),
    "parse-instructions": Offline("VERSION", 1, 1, parse_instructions),
    "parse-nx-match": Offline("", 0, 0, parse_nxm_command),
    "parse-nxm": Offline("", 0, 0, parse_nxm_command),
    "parse-oxm": Offline("VERSION", 1, 1, parse_oxm_command),
    "parse-ofp10-match": Offline("", 0, 0, parse_match10),
    "parse-ofp11-match": Offline("", 0, 0, parse_match11),
    "check-vlan": Offline("TCI MASK", 2, 2, check_vlan),
    "parse-pcap": Offline("FILE...", 1, 1 << 30, parse_pcap),
    "parse-packet": Offline("", 0, 0, parse_packet),
    "compose-packet": Offline("FLOW [PAYLOAD]", 1, 2, compose_packet),
    "parse-key-value": Offline("TEXT...", 1, 1 << 30, parse_key_value),
    "encode-error-reply": Offline("ERROR REQUEST", 2, 2, encode_error_reply),
    "encode-hello": Offline("VERSIONS", 1, 1, encode_hello),
}
"""The commands by name."""
