"""Families of random command lines whose replies are compared with the real switch's, and why some differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from tests.oracle import dpctl_lines
from tests.oracle.compare import normalized
from tests.oracle.dpctl_lines import DATAPATH
from tests.oracle.real import OracleError
from tests.oracle.setup import Setup
from tests.oracle.trace_lines import SETUP, TraceLines
from vswitch.base.records import dataclass

UFID: Final = re.compile(r"ufid:[0-9a-f-]+")


class Lines(Protocol):
    """A generator of command lines."""

    def line(self) -> list[str]: ...


class Side(Protocol):
    """What both switches can be asked."""

    def appctl(self, command: str, *args: str) -> str: ...

    def port_names(self) -> dict[str, str]: ...


def reply(side: Side, line: list[str]) -> str:
    """What `side` says to a command line, ready to be compared."""
    try:
        text = side.appctl(*line)
    except OracleError as error:
        if "closed its socket" in str(error):
            raise
        return f"error: {error}\n"
    if line[0].startswith("ofproto"):
        return normalized(text, side.port_names())
    if "dump" in line[0]:
        text = UFID.sub("ufid:", text)
        return "".join(sorted(text.splitlines(keepends=True)))
    return text


@dataclass(frozen=True)
class Difference:
    """Two replies to a command line."""

    line: list[str]
    real: str
    ours: str

    @property
    def text(self) -> str:
        return " ".join(self.line)

    def without(self, pattern: str) -> Difference:
        """It without what `pattern` finds in the replies."""
        return Difference(self.line, re.sub(pattern, "", self.real), re.sub(pattern, "", self.ours))

    def alike_without(self, pattern: str) -> bool:
        """Whether the replies are the same but for what `pattern` finds."""
        left = self.without(pattern)
        return left.real == left.ours


Reasons = Mapping[str, Callable[[Difference], bool] | str]
"""What each reason explains: a whole difference, or what a pattern finds in a reply, beside others."""


def _has_signed_address(d: Difference) -> bool:
    return re.search(r"=-[0-9a-f]{2}:", d.text) is not None and "syntax error" in d.ours


TRACE_REASONS: Final[Reasons] = {
    "the real one can't follow a packet-out that comes back: its actions conflict": lambda d: (
        "Recirculation conflict (actions)" in d.real
    ),
    "a note is shown as it goes over the wire, padded": r"note:[0-9a-f.]*",
    "a masked value is shown without the bits that its mask leaves out, as it goes over the wire": (
        r"set_field:[^/ ]*/"
    ),
    "a zone from a field that has not 16 bits is refused, in text as on the wire": lambda d: (
        d.ours.startswith("error: zone field must be a 16-bit field")
    ),
    "what can't be written is refused, as both do on the wire": lambda d: (
        d.ours == "error: Bad actions: OFPBAC_BAD_SET_ARGUMENT\n"
    ),
    "ours names the header that can't be put around, in the user's words": lambda d: d.real.startswith(
        "error: Encap hdr not supported:"
    ),
    "ours names the action beside a conjunction in the user's words": lambda d: (
        d.real.startswith('error: "conjunction" actions') and d.ours.startswith('error: "conjunction"')
    ),
    "the real one has no name for check_pkt_larger's number": lambda d: d.real.startswith(
        "error: invalid (null)"
    ),
    "output to IN_PORT can be truncated; the real one takes it for a patch port": lambda d: (
        "output_trunc does not support patch port IN_PORT" in d.real
    ),
    "what an encap within clone left to do, the real one does outside of it": lambda d: (
        "clone(" in d.text and "encap(" in d.text
    ),
    "the widths that the real one says differ are exchanged": lambda d: (
        d.real.startswith("error:") and "bit widths of" in d.real and "bit widths of" in d.ours
    ),
    "members and basis of bundle and multipath that are no numbers are refused, not read as 0": lambda d: (
        d.ours.startswith(("error: invalid basis", "error: invalid numeric format"))
    ),
    "a value that has more bits than ERSPAN's field is refused, or nothing is left of it": lambda d: (
        "is not a valid value for field tun_erspan" in d.ours
        or re.search(r"field tun_erspan\w+ set multiple times", d.real) is not None
    ),
    "of flags of which one is unknown a quotation mark ends what is named": (
        r"(?<=bad value for tcp_flags \().*"
    ),
    "what sets fields of RARP changes the packet": lambda d: (
        "rarp" in d.real
        and d.alike_without(
            r",arp_op=0|set\(arp\([^)]*\)\),|This flow .* because it:\n.*\n"
        )
    ),
    "without a type of NSH metadata the real one shows four empty ones": r"(,c[1-4]=0x0){4}(?=\))",
    "a kind of fragment that there is not has no name": r"(?<=ip_frag.{3}: value )(<error>|\S+)",
    "a number with letters behind it is none, be it too large or not": lambda d: (
        "value too large for" in d.real and "bad syntax for" in d.ours
    ),
    "clauses that are no numbers from 0 are refused, not read modulo 256": lambda d: (
        re.search(r"conjunction\([^/)]*,(-[^/)]*/|[^/)]*/-)", d.text) is not None and "conjunction" in d.ours
    ),
    "addresses have no signs": _has_signed_address,
    "a flow key's word with a comma too many is read": lambda d: (
        ",," in d.text and ("unknown bridge" in d.real or "syntax error" in d.real)
    ),
    "a packet without Ethernet header has the type that its packet type says; the real one has none where "
    "flows of OpenFlow are given as text": lambda d: (
        "packet_type=(" in d.text and not d.ours.startswith("error:")
    ),
    "what is put around labels behind an Ethernet header begins a stack of its own": lambda d: (
        "encap(mpls" in d.text and not d.ours.startswith("error:")
    ),
    "of a translation that failed the last bits of the mask are in no datapath flow": lambda d: (
        "Translation failed" in d.real and d.alike_without(r"vlan_tci=0x0000/0x1000,")
    ),
    "the megaflow of what teaches a table has the new flow's mask in the real one": lambda d: (
        "learn(" in d.real and d.alike_without(r"Megaflow: .*")
    ),
    "without any, and with the frame's bytes, the real one doesn't tell of tunnel options": (
        r"tun_metadata\d=NP,"
    ),
    "the real one shows a load into more than 64 bits in parts": r"load:\S+",
    "where brackets don't match, the parts of a text that are wrong are others, and both say so": lambda d: (
        d.real.startswith("error:")
        and d.ours.startswith("error:")
        and any(d.text.count(a) != d.text.count(b) for a, b in ("()", "[]", "{}"))
    ),
    "push_mpls of another type than MPLS's is refused; the real one dies of it": lambda d: d.ours.endswith(
        "not a valid MPLS ethertype\n"
    ),
    "an address that is none, or has more behind it, is refused, not left out": lambda d: d.ours.startswith(
        ("error: invalid address", "error: invalid mac address")
    ),
    "ours names the action that can't be nested in the user's words": r"nested action \w+",
    "a tag of which a key tells nothing, as dumps have it, is read": lambda d: _untold_tag(d.text),
    "no packet has a tag without an Ethernet header": lambda d: "packet_type=(1,0x8100)" in d.real,
    "what is behind more tags than the switch looks at is checked too": lambda d: (
        "unsupported ARP opcode" in d.ours and d.text.count("encap(") > 1
    ),
    "blanks within a key are read": lambda d: bool(re.search(r"[=,.] ", d.text)),
    "of several things that are wrong with a line another one is named": lambda d: (
        d.real.startswith("error:") and d.ours.startswith("error:") and _is_spoilt(d)
    ),
}


def _untold_tag(text: str) -> bool:
    """Whether the key in a line has `encap` of a tag that it doesn't tell of."""
    return text.count("encap(") > len(re.findall(r"(?<!push_)vlan\(", text))


def _is_spoilt(d: Difference) -> bool:
    """Whether a line of a trace is wrong at two places: each side is right about its own."""
    named = [re.sub(r".*: ", "", said.strip()) for said in (d.real, d.ours)]
    return named[0] != named[1] and any(wrong in d.real for wrong in _FIRST)


_FIRST: Final = (
    "unknown bridge",
    "prerequisites not met",
    "Trailing garbage",
    "unknown port",
    "starting bit",
)
"""What the real switch looks for before other things."""


UNREAD: Final = re.compile(
    r"tnl_pop\([a-z]|push_eth|pop_eth|push_mpls|pop_mpls|pop_nsh|pop_vlan\(|ct_clear\(|recirc\(|hash\(|dec_ttl|clone\([^1-9cpsuthmd]"
)
"""Actions that the real switch prints, but can't read."""
REFUSED: Final = ("parsing actions (", "odp_actions_from_string (")

DPCTL_REASONS: Final[Reasons] = {
    "addresses have no signs": _has_signed_address,
    "a key's word with a comma too many is read": lambda d: ",," in d.text and "error: " in d.real,
    "a tag of which a key tells nothing, as dumps have it, is read": lambda d: _untold_tag(d.text),
    "ours reads all that it prints": lambda d: (
        any(what in d.real for what in REFUSED) and bool(UNREAD.search(d.text))
    ),
    "options of runtime commands count as arguments of the real one": lambda d: any(
        what in d.real + d.ours
        for what in ("command takes at most", "command requires at least", "expected NAME=NUMBER")
    ),
    "numbers below 0 are none": lambda d: (
        re.match(r"dpctl/(ct|ipf)-(set|del)-", d.line[0]) is not None and d.line[-1].endswith("-1")
    ),
    "a thread or a zone that is no number is none": lambda d: (
        "zone=1,2" in d.line or any(re.fullmatch(r"pmd=\D*", word) for word in d.line)
    ),
    "a filter may have masks, and then something else may be wrong with it": lambda d: (
        "filter=" in d.text and "wildcards not allowed here" in d.real
    ),
    "what stands in the database of connections needs no second name": lambda d: (
        d.line[0] == "dpctl/flush-conntrack" and "field dummy@fuzz missing value" in d.real
    ),
    "bytes for userspace come back as they were, not padded to 8 of them": lambda d: (
        "userspace(" in d.real and "userdata(" in d.real
    ),
    "a tag or label that leaves a field out has 0 there": lambda d: (
        any(what in d.real for what in REFUSED) and "push_vlan(" in d.text
    ),
    "sFlow, flow_sample and controller may leave fields out": lambda d: (
        any(what in d.real for what in REFUSED)
        and bool(re.search(r"sFlow\(|flow_sample\(|controller\(|slow_path\(|ipfix\(|userspace\(", d.text))
    ),
    "what is behind a tag is read where the mask leaves the tag out, as dumps have it": lambda d: (
        "encap(" in d.text and "updating flow table (Invalid argument)" in d.real
    ),
    "the real one loses connection fields and tunnel keys of a key without masks that it prints": lambda d: (
        d.line[0] == "dpctl/normalize-actions"
        and d.alike_without(r"(tun_id|ct_mark|ct_label|ct_zone|skb_mark|skb_priority|dp_hash)[(=][^,)]*[,)]")
    ),
    "a zone of more than 16 bits is none": lambda d: "zone=65536" in d.line,
    "what belongs behind a tag and stands beside it, the real one takes no notice of": lambda d: (
        d.line[0] == "dpctl/normalize-actions"
        and "encap(" in d.text
        and not d.real.startswith("error:")
        and "failed (reason unknown) (Operation not permitted)" in d.ours
    ),
    "no packet has a tag without an Ethernet header": lambda d: (
        re.search(r"packet_type\(ns=1/0,id=0x(88a8|8100)", d.real) is not None
    ),
    "of what is wrong with a packet type another part is named": r"bad syntax for packet type .*",
    "a set of no bits is shown without them": (
        r"(?<=set\()(skb_mark|skb_priority|dp_hash|tcp_flags|ct_state|in_port|eth_type)\((\w+/0(x0*)?)?\)"
    ),
    "a connection's mark is decimal without 0x": lambda d: (
        re.search(r"mark=[1-9]\d*[,/)]", d.text) is not None
        and d.alike_without(r"(?<=mark=0x)[0-9a-f]*(?=/0xffffffff)")
    ),
    "a tunnel of which only the key's presence is asked for is none": lambda d: (
        "flags(+key)" in d.real
        and d.alike_without(
            r"tunnel\((\w+=[^,()]*/(0x)?0(\.0\.0\.0)?,)*flags\(\+key\)\),|miniflow_bits\(\d,\d\)"
        )
    ),
    "parts of GTP-U's header that the mask leaves out are shown": lambda d: (
        "gtpu(" in d.ours and "gtpu(" not in d.real and d.alike_without(r"gtpu\(flags=[^)]*\),")
    ),
    "a set of nothing of a tag names its fields": r"set\(vlan\([^)]*\)\)",
    "a second tag can be told by what stands in a key": lambda d: (
        d.line[0] == "dpctl/normalize-actions" and d.text.count("vlan(") > 1
    ),
    "a packet that came out of a tunnel may leave out its TTL": lambda d: (
        "tunnel options missing TTL" in d.real
    ),
    "the real one shows a tag's type in its machine's order of bytes": lambda d: "tpid=0xa888" in d.real,
    "what is spoilt is refused with one error, and blanks are read": lambda d: (
        any(what in d.real for what in ("End of file", "Unknown error"))
        or " " in d.text.partition(DATAPATH)[2][1:]
    ),
    "numbers of actions may be hexadecimal": lambda d: (
        any(what in d.real for what in REFUSED) and any("0x" in word for word in d.line[1:])
    ),
    "numbers modulo 2^32 are refused": lambda d: "4294967296" in d.text,
    "a tunnel that is set is shown without masks, and with its key": lambda d: "set(tunnel(" in d.text,
    "tunnels of keys without a TTL, as dumps have them, are read": lambda d: (
        "tunnel(" in d.text and "updating flow table (Invalid argument)" in d.real
    ),
    "a set of what no packet has is refused": lambda d: "Operation not supported" in d.ours,
    "ports below 0 are none": lambda d: (
        "Invalid argument" in d.ours
        and (re.search(r"(^|[(,])-1([),]|$)", d.line[-1]) is not None or "-1" in d.line)
    ),
    "where brackets don't match, another part of a filter is named": lambda d: (
        d.real.startswith("error:") and d.ours.startswith("error:") and d.text.count("[") != d.text.count("]")
    ),
    "a tag without an Ethernet header is too much, whatever else there is too little of": lambda d: (
        d.line[0] == "dpctl/normalize-actions"
        and "encap(" in d.text
        and "eth(" not in d.text
        and "failed (reason unknown)" in d.real + d.ours
    ),
    "a number without digits is wrong where it stands": lambda d: (
        "(0x)" in d.text and "syntax error" in d.real and "syntax error" in d.ours
    ),
    "a number that begins with 0 is octal everywhere": lambda d: bool(re.search(r"[(=]0\d", d.text)),
    "a set of nothing of labels or of neighbour discovery is as short as others": (
        r"(?<=mpls\()[^)]*|nd_(reserved|options_type)=[^,)]*,?"
    ),
    "a tunnel's option that a filter names twice is one too many": lambda d: (
        "tun_metadata" in d.ours and "set multiple times" in d.ours
    ),
}


@dataclass(frozen=True)
class Family:
    """Lines for switches that are set up and prepared, and made again after `fresh` lines."""

    setup: Setup
    lines: Callable[[int], Lines]
    reasons: Reasons
    prepare: Callable[[Any], None] = lambda side: None
    finish: Callable[[Any], None] = lambda side: None

    def explained(self, difference: Difference) -> bool:
        """Whether there is a reason for it that is written down, or several beside each other."""
        left = difference
        for pattern in self.reasons.values():
            if isinstance(pattern, str):
                left = left.without(pattern)
        return left.real == left.ours or any(
            explains(each)
            for explains in self.reasons.values()
            if not isinstance(explains, str)
            for each in (difference, left)
        )


FRESH: Final = 100

FAMILIES: Final = {
    "trace": Family(SETUP, TraceLines, TRACE_REASONS),
    "dpctl": Family(
        Setup("no bridges"), dpctl_lines.DpctlLines, DPCTL_REASONS, dpctl_lines.prepare, dpctl_lines.finish
    ),
}
