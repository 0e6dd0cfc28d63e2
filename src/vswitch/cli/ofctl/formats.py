"""Flow formats: in which of them a flow can be said, and which the options allow (ovs-ofctl(8), `-F`, `-O`).

A format is how flows are written: ofp_match of OpenFlow 1.0 or 1.1, Nicira's NXM over 1.0, or OXM of 1.2 and
later. A request that none of the allowed ones can say is refused here, rather than said by half.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from vswitch.cli.ofctl.switch import OfctlError
from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.flow.syntax import split_words
from vswitch.openflow import actions as a
from vswitch.openflow import constants as c
from vswitch.openflow.action_check import INCONSISTENT, check_actions
from vswitch.openflow.actions import Action
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.wire.match import fits_match, shows_ethernet
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP15, VERSION_NAMES
from vswitch.packet.numbers import ETH_TYPE_IPV6

Formats: TypeAlias = frozenset[str]

OPENFLOW10: Final[str] = "OpenFlow10"
NXM: Final[str] = "NXM"
OPENFLOW11: Final[str] = "OpenFlow11"
_OXM: Final = {version: f"OXM-OpenFlow1{version - 1}" for version in range(OFP12, OFP15 + 1)}
OXM: Final[Formats] = frozenset(_OXM.values())
ANY: Final[Formats] = OXM | {OPENFLOW10, NXM, OPENFLOW11}
_NAMED: Final[dict[str, Formats]] = {
    "openflow10": frozenset({OPENFLOW10}), "openflow10+table_id": frozenset({OPENFLOW10}),
    "nxm": frozenset({NXM}), "nxm+table_id": frozenset({NXM}), "openflow11": frozenset({OPENFLOW11}),
    "oxm": OXM, "any": ANY, **{name.lower(): frozenset({name}) for name in _OXM.values()},
}  # fmt: skip
_DL_TYPE: Final = by_name("dl_type")
_ABOVE_ETHERNET: Final = tuple(map(by_name, ("nw_proto", "nw_tos", "nw_ecn", "nw_ttl")))
_OF13_UP: Final = frozenset(name for version, name in _OXM.items() if version >= OFP13)


def parse_formats(text: str) -> Formats:
    """What `-F` says. OfctlError names the word that is no format."""
    found: Formats = frozenset()
    words = [word for word in text.split(",") if word]
    if not words:
        raise OfctlError(f"{text}: no flow protocol specified")
    for word in words:
        named = _NAMED.get(word.lower())
        if named is None:
            raise OfctlError(f"{word}: unknown flow protocol")
        found |= named
    return found


GROUP_FORMATS: Final = OXM | {OPENFLOW11}
"""What can say which groups flows output to, be it any."""
METER_FORMATS: Final = _OF13_UP
"""What can say something of meters."""
TLV_FORMATS: Final = OXM | {NXM}
"""What can say something of tunnel options."""
BUCKET_FORMATS: Final = frozenset({OPENFLOW10, NXM, _OXM[OFP15]})
"""What can say something of single buckets."""


def format_formats(formats: Formats, with_table: bool = False) -> str:
    """As ovs-ofctl lists them; `with_table`: those of 1.0 that name a table."""
    words = ["OXM"] if formats >= OXM else []
    if with_table:
        words += [f"{name}+table_id" for name in (OPENFLOW10, NXM) if name in formats]
    else:
        words = [name for name in (OPENFLOW10, NXM) if name in formats] + words
    words += [OPENFLOW11] if OPENFLOW11 in formats else []
    if not formats >= OXM:
        words += [name for name in _OXM.values() if name in formats]
    return ",".join(words) or "none"


def of_versions(versions: Iterable[int]) -> Formats:
    """The formats that connections of `versions` have."""
    found: set[str] = set()
    for version in versions:
        if version == OFP10:
            found |= {OPENFLOW10, NXM}
        elif version == OFP11:
            found.add(OPENFLOW11)
        else:
            found.add(_OXM[version])
    return frozenset(found)


def allowed(versions: Iterable[int], asked: Formats | None) -> Formats:
    """What `-O` and `-F` leave. OfctlError: nothing."""
    has = of_versions(versions)
    if asked is None:
        return has
    if not has & asked:
        names = ", ".join(VERSION_NAMES[version] for version in versions)
        raise OfctlError(
            f"None of the enabled OpenFlow versions ({names}) supports any of the enabled flow formats "
            f"({format_formats(asked)}).  (Use -O to enable additional OpenFlow versions or -F to enable "
            "additional flow formats.)"
        )
    return has & asked


def form_of(mod: FlowMod, version: int, may: Formats) -> Form:
    """The form in which `mod` is sent: OpenFlow's own if that is allowed and can say it; "Ethernet" without a
    field of it only NXM can say, but nothing is refused for that."""
    if version != OFP10:
        return Form.OPENFLOW
    can = usable(mod) & may
    plain = OPENFLOW10 in can and (NXM not in can or shows_ethernet(mod.match, OFP10))
    return Form.OPENFLOW if plain else Form.EXTENSION


def usable(mod: FlowMod) -> Formats:
    """The formats that can say all of `mod`. OfctlError: the match lacks what the actions need, and no
    format that leaves that to the packet can say them."""
    found = ANY
    inconsistent = False
    ipv6 = mod.match.flow.get(_DL_TYPE) == ETH_TYPE_IPV6 and any(map(mod.match.mask.get, _ABOVE_ETHERNET))
    if ipv6:
        # There IPv6 is an Ethernet type like others (OpenFlow 1.0, 3.4, and 1.1, A.2.3).
        found -= {OPENFLOW10, OPENFLOW11}
    elif not fits_match(mod.match, OFP10):
        found -= {OPENFLOW10}
        if not fits_match(mod.match, OFP11):
            found -= {OPENFLOW11}
    if mod.cookie_mask:
        found -= {OPENFLOW10}
    if mod.out_group != c.OFPG_ANY:
        found &= GROUP_FORMATS
    if mod.flags & c.OFPFF_RESET_COUNTS:
        found &= OXM
    if mod.flags & (c.OFPFF_NO_PKT_COUNTS | c.OFPFF_NO_BYT_COUNTS):
        found &= _OF13_UP
    try:
        check_actions(mod.actions, mod.match, table_id=mod.table_id, strict=True)
    except OfpError as error:
        inconsistent = error.name == INCONSISTENT
    if inconsistent:
        found &= {OPENFLOW10, NXM}  # OpenFlow 1.0 leaves it to the packet
    found &= usable_actions(mod.actions)
    if inconsistent and not found:
        raise OfctlError(f"actions are invalid with specified match ({INCONSISTENT})")
    return found


def usable_actions(actions: Iterable[Action]) -> Formats:
    """The formats that can say all of `actions`."""
    found = ANY
    for action in actions:
        if isinstance(action, a.Meter):
            found &= _OF13_UP
        elif isinstance(action, a.PushVlan):
            found &= OXM | {OPENFLOW11}
        elif isinstance(action, a.Encap):
            found &= _OF13_UP
        elif isinstance(action, a.WriteMetadata):
            found -= {OPENFLOW10}
        elif isinstance(action, a.WriteActions | a.Clone | a.Ct):
            found &= usable_actions(action.actions)
        elif isinstance(action, a.SetField) and not action.load:
            found &= formats_of(action.field)
    return found


def usable_list(actions: Iterable[Action]) -> Formats:
    """The formats that can say `actions` where instructions have no place: a group's bucket, a packet-out."""
    found = ANY
    for action in actions:
        # Before OpenFlow 1.5 a meter is an instruction.
        found &= frozenset({_OXM[OFP15]}) if isinstance(action, a.Meter) else usable_actions((action,))
    return found


def formats_of(field: Field) -> Formats:
    """The formats that can match all of `field`."""
    if field.name == "vlan_vid":
        return ANY  # as dl_vlan, which is a tag's number and that there is one
    match = Match()
    match.set(field, (1 << field.n_bits) - 1)
    match.imply_ethernet(field)
    if fits_match(match, OFP10):
        return ANY
    return ANY - {OPENFLOW10} if fits_match(match, OFP11) else ANY - {OPENFLOW10, OPENFLOW11}


def check_usable(mods: Iterable[FlowMod], may: Formats, text: str = "") -> None:
    """OfctlError: one of `mods` can't be said in any of the formats `may`. `text` is where they come from, if
    that is known: to select flows by any group is another thing than not to select them by groups."""
    by_group = any(word.key == "out_group" for word in split_words(text))
    for mod in mods:
        can = usable(mod) & GROUP_FORMATS if by_group else usable(mod)
        require(can, may, mod.table_id != c.OFPTT_ALL)


def require(can: Formats, may: Formats, with_table: bool = False) -> None:
    """OfctlError: what can be said in `can` can't be said in any of `may`."""
    if not can & may:
        raise OfctlError(
            f"none of the usable flow formats ({format_formats(can, with_table)}) is among the allowed flow"
            f" formats ({format_formats(may)})"
        )
