"""Text to actions, as ovs-ofctl reads it, with its complaints.

`parse_actions` also checks what concerns the list as a whole: instructions in order and once,
"drop" alone, which actions may stand within which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vswitch.base.records import dataclass
from vswitch.flow.field import Format, Special
from vswitch.flow.fields import by_name
from vswitch.flow.syntax import FlowSyntaxError, parse_integer
from vswitch.flow.values import format_value, parse_port, parse_value
from vswitch.openflow import action_parse_nicira as nicira
from vswitch.openflow import actions as a
from vswitch.openflow.action_nesting import check_nesting
from vswitch.openflow.action_words import (
    ActionWord,
    bounded,
    ipv4,
    mac,
    split_action_words,
    table_number,
    u32,
    u64,
)
from vswitch.openflow.constants import (
    OFPP_CONTROLLER,
    OFPP_IN_PORT,
    OFPP_LOCAL,
    OFPP_MAX,
    OFPTT_ALL,
    PACKET_IN_REASONS,
)
from vswitch.openflow.errors import OfpError
from vswitch.openflow.subfield import parse_subfield, parse_subfield_at
from vswitch.openflow.wire.oxm import MAX_NSH_TTL
from vswitch.packet.numbers import (
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
)

MAX_DEPTH: Final = 100
"""How deep actions may be nested."""

INSTRUCTIONS: Final[dict[type[object], tuple[int, str]]] = {
    a.Meter: (0, "meter"),
    a.ClearActions: (2, "clear_actions"),
    a.WriteActions: (3, "write_actions"),
    a.WriteMetadata: (4, "write_metadata"),
    a.GotoTable: (5, "goto_table"),
}
"""Instructions in the order of OpenFlow 1.3, section 5.9; plain actions are number 1."""
APPLY: Final = (1, "apply_actions")


@dataclass(frozen=True)
class Scope:
    """What names mean where actions are parsed, and within which action they stand ("")."""

    ports: Mapping[str, int] | None = None
    tables: Mapping[str, int] | None = None
    outer: str = ""
    depth: int = 0
    plain: bool = False
    """No instruction may stand here but `meter`, which is an action too since OpenFlow 1.5."""

    def within(self, outer: str) -> Scope:
        """The scope of the actions within `outer`."""
        return Scope(self.ports, self.tables, outer, self.depth + 1)

    def port(self, text: str) -> int | None:
        """The port that `text` names."""
        return parse_port(text, self.ports)


Parser = Callable[[ActionWord, Scope], a.Action]


def parse_actions(text: str, ports: Mapping[str, int] | None = None,
                  tables: Mapping[str, int] | None = None) -> a.Actions:
    """The actions that `text` lists; "" and "drop" are (). `ports` maps names to numbers.

    FlowSyntaxError points at the bad word.
    """
    return _parse(text, Scope(ports, tables))


def _parse(text: str, scope: Scope) -> a.Actions:
    try:
        return parse_in(text, 0, scope)
    except FlowSyntaxError as error:
        raise FlowSyntaxError(error.message, error.word, text, error.position) from None


def parse_plain_actions(text: str, ports: Mapping[str, int] | None = None,
                        tables: Mapping[str, int] | None = None) -> a.Actions:
    """As `parse_actions`, where no instruction may stand: in a group's bucket, in a packet-out."""
    return _parse(text, Scope(ports, tables, plain=True))


def parse_in(text: str, base: int, scope: Scope) -> a.Actions:
    """The actions in `text`, which begins at `base` of the whole; so do the positions of errors."""
    if scope.depth > MAX_DEPTH:
        raise FlowSyntaxError("Action nested too deeply", "", "", base)
    found: list[a.Action] = []
    drop: ActionWord | None = None
    words = split_action_words(text, base)
    for word in words:
        if word.key == "drop":
            drop = word
            continue
        try:
            found.append(_parse_word(word, scope))
        except FlowSyntaxError as error:
            raise _placed(error, word, text, base) from None
    if drop is not None and len(words) > 1:
        message = '"drop" must not be accompanied by any other action or instruction'
        raise FlowSyntaxError(message, "drop", "", drop.position)
    _check(found, words, scope, base, text)
    return tuple(found)


def _placed(error: FlowSyntaxError, word: ActionWord, text: str, base: int) -> FlowSyntaxError:
    """`error` with its place in the text."""
    if error.position >= 0:
        return error
    where = error.word or word.key
    at = text.find(where, word.position - base)
    return FlowSyntaxError(error.message, where, "", at + base if at >= 0 else word.position)


def _parse_word(word: ActionWord, scope: Scope) -> a.Action:
    key = word.key
    parser = PARSERS.get(key)
    if parser is not None:
        return parser(word, scope)
    lowered = key.lower()
    if lowered == "controller":
        return _controller(word, scope)
    port = scope.port(key)
    if port is not None:
        # Also the controller's, which then gets no byte, as in Open vSwitch.
        return a.Output(port, 0)
    if key == "apply_actions":
        raise FlowSyntaxError("apply_actions is the default instruction", key)
    raise FlowSyntaxError(f"unknown action {key}", key)


def _check(
    actions: list[a.Action], words: list[ActionWord], scope: Scope, base: int, text: str
) -> None:
    """Which actions may stand within `scope.outer`; instructions once each and in order, conjunctions alone.
    As OpenFlow 1.1+ can encode it."""
    last = (-1, "")
    for action, word in zip(actions, words, strict=False):
        if isinstance(action, a.Conjunction):
            return _check_conjunctions(actions, words)
        try:
            check_nesting(action, scope.outer == "ct", word.key)
        except OfpError as error:
            raise _placed(FlowSyntaxError(error.detail, word.key), word, text, base) from error
        if scope.outer and isinstance(action, a.Meter):
            refused = FlowSyntaxError(f"{scope.outer} action doesn't support nested action meter", "meter")
            raise _placed(refused, word, text, base)
        this = INSTRUCTIONS.get(type(action), APPLY)
        if this[0] < last[0] or (this[0] == last[0] and this is not APPLY):
            if this == last:
                message = f"duplicate {this[1]} instruction not allowed, for OpenFlow 1.1+ compatibility"
            else:
                message = (
                    f"invalid instruction ordering: {this[1]} must appear before {last[1]}, "
                    "for OpenFlow 1.1+ compatibility"
                )
            raise FlowSyntaxError(message, word.key, "", word.position)
        if this is not APPLY and (scope.outer or (scope.plain and not isinstance(action, a.Meter))):
            refused = FlowSyntaxError(f"{this[1]} instruction not allowed here", this[1])
            raise _placed(refused, word, text, base)
        last = this


def _check_conjunctions(actions: list[a.Action], words: list[ActionWord]) -> None:
    for action, word in zip(actions, words, strict=False):
        if not isinstance(action, a.Conjunction | a.Note):
            raise FlowSyntaxError(
                '"conjunction" actions may be used along with "note" but not any other kind of action '
                f'(such as the "{word.key}" action used here)', word.key, "", word.position
            )


# Output.


def _output_to(port: int) -> a.Action:
    return a.Output(port, 0xFFFF if port == OFPP_CONTROLLER else 0)


def _output(word: ActionWord, scope: Scope) -> a.Action:
    text = word.value
    if "port" in text and "max_len" in text:
        port, max_len = None, None
        for part in split_action_words(text):
            if part.key == "port":
                port = scope.port(part.value)
                if port is None:
                    raise FlowSyntaxError(f"output to unknown truncate port: {part.value}", part.value)
                if port > OFPP_MAX and port not in (OFPP_IN_PORT, OFPP_LOCAL):
                    raise FlowSyntaxError(f"output to unsupported truncate port: {part.value}", part.value)
            elif part.key == "max_len":
                max_len = u32(part.value)
            else:
                raise FlowSyntaxError(f"invalid key '{part.key}' in output_trunc argument", part.key)
        if port is None or max_len is None:
            raise FlowSyntaxError(f"{text}: output to unknown port", text)
        if max_len < 14:
            raise FlowSyntaxError(f"max_len {max_len} is less than the minimum value 14", str(max_len))
        return a.OutputTrunc(port, max_len)
    number = scope.port(text)
    if number is not None:
        return _output_to(number)
    try:
        return a.OutputReg(parse_subfield(text))
    except FlowSyntaxError:
        raise FlowSyntaxError(f"{text}: output to unknown port", text) from None


def _controller(word: ActionWord, _scope: Scope) -> a.Action:
    text = word.value.strip()
    if not text:
        return a.Controller()
    if text.isascii() and text.isdigit():
        return a.Controller(bounded(text, 16, "max_len"))
    max_len, reason, controller_id, pause = 0xFFFF, 1, 0, False
    userdata = b""
    meter_id: int | None = None
    for part in split_action_words(text):
        if part.key == "reason":
            reasons = {name: number for number, name in PACKET_IN_REASONS.items() if name}
            if part.value not in reasons:
                raise FlowSyntaxError(f'unknown reason "{part.value}"', part.value)
            reason = reasons[part.value]
        elif part.key == "max_len":
            max_len = bounded(part.value, 16, "max_len")
        elif part.key == "id":
            controller_id = bounded(part.value, 16, "id")
        elif part.key == "userdata":
            userdata = hex_bytes(part.value, "userdata", "bad hex digit in `controller' action `userdata'")
        elif part.key == "pause":
            pause = True
        elif part.key == "meter_id":
            meter_id = u32(part.value)
        else:
            raise FlowSyntaxError(f'unknown key "{part.key}" parsing controller action', part.key)
    return a.Controller(max_len, reason, controller_id, userdata, pause, meter_id)


def hex_bytes(text: str, _name: str, message: str) -> bytes:
    """Bytes from pairs of hexadecimal digits with dots between them or not."""
    try:
        return bytes.fromhex(text.replace(".", " "))
    except ValueError:
        raise FlowSyntaxError(message, text) from None


def _enqueue(word: ActionWord, scope: Scope) -> a.Action:
    parts = word.value.replace(",", ":").split(":")
    if len(parts) != 2 or not all(parts):
        raise FlowSyntaxError('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"', word.value)
    port = scope.port(parts[0])
    if port is None:
        raise FlowSyntaxError(f"{parts[0]}: enqueue to unknown port", parts[0])
    return a.Enqueue(port, u32(parts[1]))


# Headers.


def _vlan_vid(push: bool) -> Parser:
    def parse(word: ActionWord, _scope: Scope) -> a.Action:
        vid = bounded(word.value, 16, "VLAN VID")
        if vid & ~0xFFF:
            raise FlowSyntaxError(f"{word.value}: not a valid VLAN VID", word.value)
        return a.SetVlanVid(vid, push)

    return parse


def _vlan_pcp(push: bool) -> Parser:
    def parse(word: ActionWord, _scope: Scope) -> a.Action:
        pcp = bounded(word.value, 8, "VLAN PCP")
        if pcp > 7:
            raise FlowSyntaxError(f"{word.value}: not a valid VLAN PCP", word.value)
        return a.SetVlanPcp(pcp, push)

    return parse


def _push_vlan(word: ActionWord, _scope: Scope) -> a.Action:
    ethertype = bounded(word.value, 16, "ethertype")
    if ethertype not in (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD):
        raise FlowSyntaxError(f"{word.value}: not a valid VLAN ethertype", word.value)
    return a.PushVlan(ethertype)


def _push_mpls(word: ActionWord, _scope: Scope) -> a.Action:
    ethertype = bounded(word.value, 16, "push_mpls")
    if ethertype not in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        raise FlowSyntaxError(f"{word.value}: not a valid MPLS ethertype", word.value)
    return a.PushMpls(ethertype)


def _expected(word: ActionWord, what: str) -> str:
    """What a word says. FlowSyntaxError: nothing."""
    if not word.value.strip(","):
        raise FlowSyntaxError(f"{word.key}: expected {what}.", word.key)
    return word.value


def _mpls_ttl(word: ActionWord, _scope: Scope) -> a.Action:
    return a.SetMplsTtl(bounded(_expected(word, "ttl"), 8, "MPLS TTL"))


def _mpls_label(word: ActionWord, _scope: Scope) -> a.Action:
    label = u32(_expected(word, "label"))
    if label & ~0xFFFFF:
        raise FlowSyntaxError(f"{word.value}: not a valid MPLS label", word.value)
    return a.SetMplsLabel(label)


def _mpls_tc(word: ActionWord, _scope: Scope) -> a.Action:
    tc = bounded(_expected(word, "tc"), 8, "MPLS TC")
    if tc & ~7:
        raise FlowSyntaxError(f"{word.value}: not a valid MPLS TC", word.value)
    return a.SetMplsTc(tc)


def _tos(word: ActionWord, _scope: Scope) -> a.Action:
    tos = bounded(word.value, 8, "TOS")
    if tos & 3:
        raise FlowSyntaxError(f"{word.value}: not a valid TOS", word.value)
    return a.SetIpDscp(tos)


def _ecn(word: ActionWord, _scope: Scope) -> a.Action:
    ecn = bounded(word.value, 8, "ECN")
    if ecn & ~3:
        raise FlowSyntaxError(f"{word.value}: not a valid ECN", word.value)
    return a.SetIpEcn(ecn)


def _set_field(word: ActionWord, scope: Scope) -> a.Action:
    text = word.value
    value_text, arrow, name = text.partition("->")
    if not arrow:
        raise FlowSyntaxError(f"{text}: missing `->'", text)
    if not name:
        raise FlowSyntaxError(f"{text}: missing field name following `->'", text)
    try:
        field = by_name(name)
    except KeyError:
        raise FlowSyntaxError(f"{name} is not a valid OXM field name", name) from None
    if not field.writable:
        raise FlowSyntaxError(f"{name} is read-only", name)
    value, mask = parse_value(field, value_text, scope.ports, optional=False)
    written = value
    if field.fmt in (Format.DECIMAL, Format.HEX):
        # What the field has no bits for is ignored where it is matched.
        written = parse_integer(value_text.partition("/")[0]) or 0
    most = MAX_NSH_TTL if field.name == "nsh_ttl" else field.ones
    if written & ~most and field.special != Special.PORT32:
        raise FlowSyntaxError(f"{value_text} is not a valid value for field {name}", value_text)
    return a.SetField(field, value, mask)


def _load(word: ActionWord, _scope: Scope) -> a.Action:
    text = word.value
    value_text, arrow, target = text.partition("->")
    if not arrow:
        raise FlowSyntaxError(f"{text}: missing `->'", text)
    if not target:
        raise FlowSyntaxError(f"{text}: missing field name following `->'", text)
    sf, end = parse_subfield_at(target)
    if end != len(target):
        raise FlowSyntaxError("unexpected input following field syntax", target[end:])
    value = parse_integer(value_text)
    if value is None or value >> 8 * sf.field.n_bytes:
        raise FlowSyntaxError(f"{text}: cannot parse integer value", value_text)
    if value >> sf.n_bits:
        shown = hex(value) if sf.field.fmt is Format.CT_STATE else format_value(sf.field, value)
        raise FlowSyntaxError(f"{text}: value {shown} does not fit into {sf.n_bits} bits", value_text)
    return a.SetField(sf.field, value << sf.ofs, sf.mask, load=True)


def _move(word: ActionWord, _scope: Scope) -> a.Action:
    text = word.value
    src, end = parse_subfield_at(text)
    if not text.startswith("->", end):
        raise FlowSyntaxError(f"{text}: missing `->' following source", text)
    dst, end = parse_subfield_at(text, end + 2)
    if end != len(text):
        raise FlowSyntaxError(f"{text}: trailing garbage following destination", text[end:])
    if src.n_bits != dst.n_bits:
        raise FlowSyntaxError(
            f"{text}: source field is {src.n_bits} bits wide but destination is {dst.n_bits} bits wide", text
        )
    return a.RegMove(src, dst)


def _delete_field(word: ActionWord, _scope: Scope) -> a.Action:
    try:
        return a.DeleteField(by_name(word.value))
    except KeyError:
        raise FlowSyntaxError(f"unknown field `{word.value}'", word.value) from None


def _dec_ttl(word: ActionWord, _scope: Scope) -> a.Action:
    ids = [x for x in word.value.replace(",", " ").split() if x]
    if not ids:
        if word.value:
            raise FlowSyntaxError("dec_ttl_cnt_ids: expected at least one controller id.", word.value)
        return a.DecTtl()
    numbers = []
    for text in ids:
        digits = ""
        for c in text:
            if not c.isdigit():
                break
            digits += c
        numbers.append(int(digits or "0") & 0xFFFF)
    return a.DecTtl(tuple(numbers), True)


# Flow of control.


def _resubmit(word: ActionWord, scope: Scope) -> a.Action:
    if word.delimiter != "(":
        in_port = scope.port(word.value) if word.value else None
        if not word.value:
            raise FlowSyntaxError('at least one "in_port" or "table" must be specified on resubmit')
        if in_port is None:
            raise FlowSyntaxError(f"{word.value}: resubmit to unknown port", word.value)
        if in_port == OFPP_IN_PORT:
            raise FlowSyntaxError('at least one "in_port" or "table" must be specified on resubmit')
        return a.Resubmit(in_port)
    parts = [p.strip() for p in word.value.split(",")]
    port_text, table_text, ct_text = [*parts, "", "", ""][:3]
    port = OFPP_IN_PORT
    table = OFPTT_ALL
    if port_text:
        named = scope.port(port_text)
        if named is None:
            raise FlowSyntaxError(f"{port_text}: resubmit to unknown port", port_text)
        port = named
    if table_text:
        number = table_number(table_text, scope.tables)
        if number is None:
            raise FlowSyntaxError(f"{table_text}: resubmit to unknown table", table_text)
        table = number
    if ct_text and ct_text != "ct":
        raise FlowSyntaxError(f"{ct_text}: unknown parameter", ct_text)
    if port == OFPP_IN_PORT and table == OFPTT_ALL:
        raise FlowSyntaxError('at least one "in_port" or "table" must be specified on resubmit')
    return a.Resubmit(port, table, bool(ct_text))


def _goto_table(word: ActionWord, scope: Scope) -> a.Action:
    table = table_number(word.value, scope.tables)
    if table is None:
        raise FlowSyntaxError(f'unknown table "{word.value}"', word.value)
    return a.GotoTable(table)


def _clone(word: ActionWord, scope: Scope) -> a.Action:
    return a.Clone(parse_in(word.value, word.value_at, scope.within("clone")))


def _write_actions(word: ActionWord, scope: Scope) -> a.Action:
    return a.WriteActions(parse_in(word.value, word.value_at, scope.within("write_actions")))


def _write_metadata(word: ActionWord, _scope: Scope) -> a.Action:
    value, slash, mask = word.value.partition("/")
    ones = 0xFFFFFFFFFFFFFFFF
    return a.WriteMetadata(u64(value), u64(mask) if slash else ones)


def _note(word: ActionWord, _scope: Scope) -> a.Action:
    data = hex_bytes(word.value, "note", "bad hex digit in `note' argument")
    return a.Note(data + bytes(-(len(data) + 10) % 8))


def _ct(word: ActionWord, scope: Scope) -> a.Action:
    def nested(text: str, at: int) -> a.Actions:
        return parse_in(text, at, scope.within("ct"))

    return nicira.parse_ct(word, scope.tables, nested)


def _unroll(word: ActionWord, _scope: Scope) -> a.Action:
    raise FlowSyntaxError("UNROLL is an internal action that shouldn't be used via OpenFlow", word.key)


def _simple(action: a.Action) -> Parser:
    return lambda _word, _scope: action


PARSERS: Final[dict[str, Parser]] = {
    "output": _output,
    "controller": _controller,
    "enqueue": _enqueue,
    "bundle": lambda w, s: nicira.parse_bundle(w, s.port, False),
    "bundle_load": lambda w, s: nicira.parse_bundle(w, s.port, True),
    "group": lambda w, _: a.Group(u32(w.value)),
    "set_vlan_vid": _vlan_vid(False),
    "mod_vlan_vid": _vlan_vid(True),
    "set_vlan_pcp": _vlan_pcp(False),
    "mod_vlan_pcp": _vlan_pcp(True),
    "strip_vlan": _simple(a.StripVlan()),
    "pop_vlan": _simple(a.StripVlan(pop=True)),
    "push_vlan": _push_vlan,
    "mod_dl_src": lambda w, _: a.SetEthSrc(mac(w.value)),
    "mod_dl_dst": lambda w, _: a.SetEthDst(mac(w.value)),
    "mod_nw_src": lambda w, _: a.SetIpv4Src(ipv4(w.value)),
    "mod_nw_dst": lambda w, _: a.SetIpv4Dst(ipv4(w.value)),
    "mod_nw_tos": _tos,
    "mod_nw_ecn": _ecn,
    "mod_nw_ttl": lambda w, _: a.SetIpTtl(bounded(w.value, 8, "TTL")),
    "mod_tp_src": lambda w, _: a.SetL4SrcPort(bounded(w.value, 16, "source port")),
    "mod_tp_dst": lambda w, _: a.SetL4DstPort(bounded(w.value, 16, "destination port")),
    "set_field": _set_field,
    "load": _load,
    "move": _move,
    "push": lambda w, _: a.StackPush(parse_subfield(w.value)),
    "pop": lambda w, _: a.StackPop(parse_subfield(w.value)),
    "delete_field": _delete_field,
    "dec_ttl": _dec_ttl,
    "push_mpls": _push_mpls,
    "pop_mpls": lambda w, _: a.PopMpls(bounded(w.value, 16, "pop_mpls")),
    "set_mpls_label": _mpls_label,
    "set_mpls_tc": _mpls_tc,
    "set_mpls_ttl": _mpls_ttl,
    "dec_mpls_ttl": _simple(a.DecMplsTtl()),
    "dec_nsh_ttl": _simple(a.DecNshTtl()),
    "encap": lambda w, _: nicira.parse_encap(w),
    "decap": lambda w, _: nicira.parse_decap(w),
    "set_tunnel": lambda w, _: a.SetTunnel(u64(w.value), False),
    "set_tunnel64": lambda w, _: a.SetTunnel(u64(w.value), True),
    "set_queue": lambda w, _: a.SetQueue(u32(w.value)),
    "pop_queue": _simple(a.PopQueue()),
    "check_pkt_larger": lambda w, _: nicira.parse_check_pkt_larger(w),
    "multipath": lambda w, _: nicira.parse_multipath(w),
    "resubmit": _resubmit,
    "clone": _clone,
    "exit": _simple(a.Exit()),
    "conjunction": lambda w, _: nicira.parse_conjunction(w),
    "learn": lambda w, s: nicira.parse_learn(w, s.ports, s.tables),
    "fin_timeout": lambda w, _: nicira.parse_fin_timeout(w),
    "nat": lambda w, _: nicira.parse_nat(w),
    "ct": _ct,
    "ct_clear": _simple(a.CtClear()),
    "sample": lambda w, s: nicira.parse_sample(w, s.port),
    "note": _note,
    "debug_recirc": _simple(a.DebugRecirc()),
    "debug_slow": _simple(a.DebugSlow()),
    "unroll_xlate": _unroll,
    "meter": lambda w, _: a.Meter(u32(w.value)),
    "clear_actions": _simple(a.ClearActions()),
    "write_actions": _write_actions,
    "write_metadata": _write_metadata,
    "goto_table": _goto_table,
}
