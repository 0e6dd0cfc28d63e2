"""What there is to know of one match field: `Field`, and the kinds that it is made of.

The fields themselves are in `fields.py`.
"""

from __future__ import annotations

import enum
from typing import final

from mypy_extensions import i64

from vswitch.base.records import dataclass


class Format(enum.Enum):
    """How a field's values are written, in the words of ovs-fields(7)."""

    DECIMAL = "decimal"
    HEX = "hexadecimal"
    ETHERNET = "Ethernet"
    IPV4 = "IPv4"
    IPV6 = "IPv6"
    OFP_PORT = "OpenFlow 1.0 port"
    OFP_PORT_OXM = "OpenFlow 1.1+ port"
    FRAG = "frag"
    TUN_FLAGS = "tunnel flags"
    TCP_FLAGS = "TCP flags"
    CT_STATE = "ct state"
    PACKET_TYPE = "packet type"


class Prereq(enum.Enum):
    """What a match must also say for a field to be in the packet (ovs-fields(7), "Prerequisites")."""

    NONE = "none"
    ETHERNET = "Ethernet"
    ARP = "ARP"
    VLAN_VID = "VLAN VID"
    IPV4 = "IPv4"
    IPV6 = "IPv6"
    IP_ANY = "IPv4/IPv6"
    NSH = "NSH"
    CT = "CT"
    MPLS = "MPLS"
    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"
    ICMPV4 = "ICMPv4"
    ICMPV6 = "ICMPv6"
    ND = "ND"
    ND_SOLICIT = "ND solicit"
    ND_ADVERT = "ND advert"


class Special(enum.IntEnum):
    """Fields whose value is not simply the bits in their place."""

    PLAIN = 0
    PORT32 = 1
    """A 32-bit OpenFlow 1.1+ port number over a 16-bit one: 0xff00..0xffff are 0xffffff00 on."""
    DL_VLAN = 2
    """The VLAN ID in OpenFlow 1.0's terms: 0xffff is "no tag"; setting one sets CFI."""
    VLAN_PCP = 3
    """Setting the priority sets CFI."""


@dataclass(frozen=True)
class OxmHeader:
    """One way to name a field on the wire (`class_` and `experimenter` as in an OXM TLV header)."""

    name: str
    class_: int
    number: int
    experimenter: int
    of_version: str
    """The first OpenFlow version that has it ("1.2"), or "" for a Nicira extension."""
    since: str
    """The first Open vSwitch release that has it."""


@dataclass(frozen=True)
class NlSlot:
    """Where a field lies in the datapath's key attributes.

    `attr` is an `OVS_KEY_ATTR_*`, `sub` the attribute nested in it or -1; `offset` and `size`
    are in bytes within the attribute's struct, `size` 0 for a flag without payload.
    """

    attr: int
    sub: int
    offset: int
    size: int


@final
class Field:
    """A match field. `n_bits` is its width for OpenFlow; `n_stored` how many of them can be nonzero
    in a flow, lying in `words[word] >> shift` (more than 64: in the `n_words` words from `word` on,
    most significant first). `n_bytes` is its size in an OXM TLV.
    """

    def __init__(
        self,
        name: str,
        word: i64,
        shift: i64,
        n_bits: int,
        n_bytes: int,
        n_stored: int,
        fmt: Format,
        prereq: Prereq,
        maskable: bool,
        writable: bool,
        aliases: tuple[str, ...],
        oxm: tuple[OxmHeader, ...],
        nl: tuple[NlSlot, ...],
        special: int,
        index: int,
        ones: int = 0,
        option: int = -1,
        cells: tuple[int, ...] = (),
        pipeline: bool = False,
    ) -> None:
        self.name = name
        self.aliases = aliases
        self.n_bits = n_bits
        self.n_bytes = n_bytes
        self.n_stored = n_stored
        self.word: i64 = word
        self.shift: i64 = shift
        self.n_words: i64 = 0 if option >= 0 else 1 if n_stored <= 64 else (n_stored + 63) // 64
        self.ones = ones or (1 << n_stored) - 1
        """All stored bits set: the field's exact-match mask. nw_tos lacks the two ECN bits."""
        self.word_ones: i64 = self.ones if n_stored < 63 else -1
        top = shift + n_stored == 64
        self.sign: i64 = 1 << (n_stored - 1) if top and n_stored < 64 else 0
        """The field's highest bit if that is the word's sign: `(v ^ sign) - sign` can be shifted."""
        self.in_place: i64 = -1 << int(shift) if top or n_stored > 64 else self.word_ones << shift
        """The field's bits where they lie in a word."""
        self.fmt = fmt
        self.prereq = prereq
        self.maskable = maskable
        self.writable = writable
        self.oxm = oxm
        self.nl = nl
        """Where the datapath has it; empty if nowhere or not as plain bytes."""
        self.special: i64 = special
        self.index = index
        """The field's place in `fields.FIELDS`, -1 for parts of a flow that are no match fields."""
        self.option: i64 = option
        """N for tun_metadataN, -1 for every other field. An option's place is `cells`, `n_words` is 0."""
        self.pipeline = pipeline
        """Whether it is about a packet but not of its bytes, and controllers are to know it."""
        self.cells = cells
        """Where a tunnel option lies: 32-bit cells of the flow's first words, the most significant first.
        Empty for one whose length nobody has said: it reads as 0, and writing it does nothing."""
        self.placed: bool = option >= 0 and (len(cells) > 0 or n_bits == 0)
        """Whether it is a tunnel option whose length, which may be 0, somebody has said."""

    def overlaps(self, other: Field) -> bool:
        """Whether the two are views of the same bits, some at least."""
        if self.n_words > 1 or other.n_words > 1:
            return self.word < other.word + other.n_words and other.word < self.word + self.n_words
        return self.word == other.word and self.in_place & other.in_place != 0

    def at_cells(self, cells: tuple[int, ...]) -> Field:
        """This tunnel option where a switch has it: as long as `cells`, in them."""
        n_bits = 32 * len(cells)
        return Field(
            self.name, self.word, 0, n_bits, 4 * len(cells), n_bits, self.fmt, self.prereq, self.maskable,
            self.writable, self.aliases, self.oxm, self.nl, 0, self.index, 0, self.option, cells,
            self.pipeline,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<field {self.name}>"
