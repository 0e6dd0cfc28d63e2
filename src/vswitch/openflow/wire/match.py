"""`Match` on the wire: ofp_match of 1.0 and 1.1, the OXM match of 1.2 and later, NXM.

NXM is for Nicira's messages; its functions and those of single TLVs are in `oxm.py`.
"""

from __future__ import annotations

from vswitch.flow.match import Match
from vswitch.flow.match_text import normalize
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.match10 import OFPMT_STANDARD, get_match10, get_match11, put_match10, put_match11
from vswitch.openflow.wire.oxm import (
    get_nxm,
    get_oxm_match,
    get_oxm_raw,
    put_nxm,
    put_oxm_field,
    put_oxm_match,
    put_oxm_raw,
)
from vswitch.openflow.wire.version import OFP10, OFP11


def put_match(w: Writer, match: Match, version: int) -> None:
    """`match` as `version` writes it: 40 bytes in 1.0, 88 in 1.1, else a container padded to 8.

    1.0 and 1.1 leave out what they cannot say: where `fits_match` is False, NXM says it.
    """
    if version == OFP10:
        put_match10(w, match)
    elif version == OFP11:
        put_match11(w, match)
    else:
        put_oxm_match(w, match, version)


def get_match(r: Reader, version: int, strict: bool = True) -> Match:
    """The match that `version` wrote, padding included. OfpError: OFPBMC_*.

    1.1 and later take either form, whichever its type says. `strict` False passes over OXM fields
    that are unknown and takes those without prerequisites: a packet-in's metadata.
    """
    if version == OFP10:
        return get_match10(r)
    if r.end - r.pos < 4:
        raise OfpError("OFPBMC_BAD_LEN", "match")
    kind = r.u16()
    r.pos -= 2
    if kind == OFPMT_STANDARD:
        return get_match11(r)
    return get_oxm_match(r, strict)


def fits_match(match: Match, version: int) -> bool:
    """Whether `put_match` in `version` says all of `match`, be it not that packets are Ethernet's, if nothing
    else shows it (`shows_ethernet`); always so from 1.2 on."""
    if version > OFP11:
        return True
    read = _read_back(match, version)
    if match.mask.packet_type:
        read.say_ethernet()
    if read == match:
        return True
    # 1.1 is read by the prerequisites; what is said without them has its place there as in 1.0.
    normal = match.copy()
    return version == OFP11 and normalize(normal) is not None and read == normal and fits_match(match, OFP10)


def shows_ethernet(match: Match, version: int) -> bool:
    """Whether `put_match` in `version` says as much as `match` of the packet type."""
    return version > OFP11 or _read_back(match, version).mask.packet_type == match.mask.packet_type


def _read_back(match: Match, version: int) -> Match:
    w = Writer()
    put_match(w, match, version)
    return get_match(Reader(w.getvalue()), version)


__all__ = [
    "fits_match",
    "get_match",
    "get_nxm",
    "get_oxm_raw",
    "put_match",
    "put_nxm",
    "put_oxm_field",
    "put_oxm_raw",
    "shows_ethernet",
]
