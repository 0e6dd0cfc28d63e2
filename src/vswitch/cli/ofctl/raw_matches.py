"""ofp_match of OpenFlow 1.0 and 1.1 read and written again, and what each format makes of a VLAN match."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from vswitch.cli.ofctl.flows import said
from vswitch.cli.ofctl.nx_match import format_nx_match, oxm_fields
from vswitch.cli.ofctl.switch import OfctlError, Settings
from vswitch.flow import layout as at
from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_match
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.errors import OfpError
from vswitch.openflow.normal import normalize_aloud
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.match import get_match, get_nxm, put_match, put_nxm
from vswitch.openflow.wire.match10 import FW10_DL_VLAN, FW10_DL_VLAN_PCP, FW11_DL_VLAN, FW11_DL_VLAN_PCP
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12

MATCH_BYTES: Final = {OFP10: 40, OFP11: 88}


def differences(given: bytes, made: bytes) -> Iterator[str]:
    """Which bytes are others when they are written again."""
    for i in range(max(len(given), len(made))):
        was, now = (f"{data[i]:02x}" if i < len(data) else "(none)" for data in (given, made))
        if was != now:
            yield f"{i:2d}: {was} -> {now}"


def _written(match: Match, version: int) -> bytes:
    w = Writer()
    put_match(w, match, version)
    return w.getvalue()


def _matches(lines: Iterator[bytes], version: int) -> Iterator[bytes]:
    for data in lines:
        if len(data) != MATCH_BYTES[version]:
            raise OfctlError(f"Input is {len(data)} bytes, expected {MATCH_BYTES[version]}")
        yield data


def show_match10(lines: Iterator[bytes]) -> None:
    """Each line's match, what is other when it is written again, and then when it is normalized."""
    for data in _matches(lines, OFP10):
        match = get_match(Reader(data), OFP10)
        print(match)
        written = _written(match, OFP10)
        for line in differences(data, written):
            print(line)
        normalize_aloud(match)
        for line in differences(written, _written(match, OFP10)):
            print(f"normal: {line}")
        print()


def show_match11(lines: Iterator[bytes]) -> None:
    """Each line's match, and what is other when it is written again."""
    for data in _matches(lines, OFP11):
        try:
            # The type and length of a match are not looked at here.
            match = get_match(Reader(b"\0\0\0\x58" + data[4:]), OFP11)
        except OfpError as error:
            print(f"bad ofp11_match: {error.name}\n")
            continue
        print(match)
        for line in differences(data, _written(match, OFP11)):
            print(line)
        print()


# VLANs.


def _number(text: str) -> int:
    """A hexadecimal number as strtoul() reads it, its lower 16 bits."""
    found = re.match(r"\s*([+-]?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]*)", text)
    value = min(int(found[2], 16), (1 << 64) - 1) if found and found[2] else 0
    return (-value if found and found[1] == "-" else value) & 0xFFFF


def _read_back(get: Callable[[], Match]) -> Match | str:
    try:
        return get()
    except OfpError as error:
        return error.name


def _tci(found: Match | str) -> str:
    return found if isinstance(found, str) else f"{found.flow.vlan_tci:04x}/{found.mask.vlan_tci:04x}"


def _vid_and_pcp(found: Match | str) -> str:
    if isinstance(found, str):
        return found
    tci, mask = found.flow.vlan_tci, found.mask.vlan_tci
    vid_cfi = at.VLAN_VID_MASK | at.VLAN_CFI
    with_pcp = tci & vid_cfi and mask & at.VLAN_PCP_MASK
    pcp = f"{tci >> at.VLAN_PCP_SHIFT:02x}" if with_pcp else "--"
    return f"{tci & vid_cfi:04x}/{mask & vid_cfi:04x},{pcp}"


def check_vlan(_settings: Settings, args: Sequence[str]) -> None:
    """`check-vlan TCI MASK`: the match as text, NXM, OXM and in 1.0 and 1.1, and what is read of each."""
    match = Match()
    match.flow.vlan_tci, match.mask.vlan_tci = _number(args[0]), _number(args[1])
    try:
        print(f"{match} -> {_tci(parse_match(str(match)))}")
    except FlowSyntaxError as error:
        raise OfctlError(said(error)) from error
    w = Writer()
    size = put_nxm(w, match)
    nxm = w.getvalue()
    back = _read_back(lambda: get_nxm(Reader(nxm), size)[0])
    print(f"NXM: {format_nx_match(nxm[:size])} -> {_tci(back)}")
    oxm = _written(match, OFP12)
    back = _read_back(lambda: get_match(Reader(oxm), OFP12))
    print(f"OXM: {format_nx_match(oxm_fields(oxm))} -> {_vid_and_pcp(back)}")
    for version, wildcards, vlan, vid_bit, pcp_bit in (
        (OFP10, 0, 18, FW10_DL_VLAN, FW10_DL_VLAN_PCP),
        (OFP11, 8, 36, FW11_DL_VLAN, FW11_DL_VLAN_PCP),
    ):
        raw = _written(match, version)
        wild = int.from_bytes(raw[wildcards : wildcards + 4])
        any_vid, any_pcp = (int(wild & bit != 0) for bit in (vid_bit, pcp_bit))
        vid, pcp = raw[vlan : vlan + 2].hex(), raw[vlan + 2]
        back = get_match(Reader(raw), version)
        print(f"OF1.{version - 1}: {vid}/{any_vid},{pcp:02x}/{any_pcp} -> {_tci(back)}")
