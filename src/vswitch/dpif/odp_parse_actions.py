"""Datapath actions from text: the reverse of `odp_format_actions.py`."""

from __future__ import annotations

from collections.abc import Callable

from vswitch.dpif.actions import (
    Action,
    Actions,
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    CtClear,
    DecTtl,
    Hash,
    LbOutput,
    Meter,
    Nat,
    Output,
    PopEth,
    PopMpls,
    PopNsh,
    PopVlan,
    Psample,
    PushEth,
    PushMpls,
    PushNsh,
    PushVlan,
    Recirc,
    Sample,
    Set,
    SetMasked,
    TnlPop,
    TnlPush,
    Trunc,
    Userspace,
)
from vswitch.dpif.actions_nl import MAX_PSAMPLE_COOKIE
from vswitch.dpif.cookie import (
    DIRECTIONS,
    ControllerCookie,
    FlowSampleCookie,
    IpfixCookie,
    SflowCookie,
    SlowPathCookie,
    parse_slow_reasons,
)
from vswitch.dpif.odp_parse import (
    OdpSyntaxError,
    PortNumbers,
    bad,
    number,
    numbers,
    parse_attr,
    parse_lses,
    parse_nsh_words,
    parse_vlan,
)
from vswitch.dpif.odp_tunnel_text import parse_header
from vswitch.flow import key_attr as key
from vswitch.flow.syntax import FlowSyntaxError, Word, split_words
from vswitch.flow.values import parse_ipv4, parse_ipv6, parse_mac
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021Q

MAX_DEPTH = 16
"""Actions nested deeper than this are refused, as the kernel does."""

NSH_MAX_FLAGS = 3
NSH_MAX_TTL = 63
_NSH_DEFAULT = bytes([0, NSH_MAX_TTL, 1, 3, 0, 0, 0, 255, *bytes(16)])
"""What is pushed where nothing is said: metadata type 1, an Ethernet frame inside (RFC 8300, section 2)."""

_PLAIN: dict[str, Action] = {
    "pop_vlan": PopVlan(),
    "pop_eth": PopEth(),
    "pop_nsh": PopNsh(),
    "ct_clear": CtClear(),
    "ct": Ct(),
}


def parse_actions(text: str, port_names: PortNumbers = None) -> Actions:
    """The actions that `text` lists; () for "drop", which stands alone. `port_names` maps names to datapath
    ports.

    OdpSyntaxError points at the bad word.
    """
    return _actions(text, port_names, 0)


def _actions(text: str, ports: PortNumbers, depth: int) -> Actions:
    if depth > MAX_DEPTH:
        raise OdpSyntaxError(f"actions nested more than {MAX_DEPTH} deep", text, text, 0)
    actions = []
    words = split_words(text)
    for word in words:
        if word.delimiter == "(" and not text.startswith(")", word.value_at + len(word.value)):
            raise OdpSyntaxError(f"{word.key}: a bracket is not closed", word.key, text, word.position)
        if word.key == "drop" and not word.delimiter:
            if len(words) > 1:
                raise OdpSyntaxError("drop stands alone", word.key, text, word.position)
            continue
        try:
            actions.append(_action(word, ports, depth))
        except FlowSyntaxError as error:
            where = error.within(text, word.position)
            raise OdpSyntaxError(error.message, where.word, text, where.position) from None
    return tuple(actions)


def _action(word: Word, ports: PortNumbers, depth: int) -> Action:
    name, text = word.key, word.value
    if not word.delimiter:
        if name in _PLAIN:
            return _PLAIN[name]
        if ports is not None and name in ports:
            return Output(ports[name])
        if not name.isdigit():
            raise bad(name, "unknown action or port")
        return Output(number(name, 4))
    if word.delimiter != "(":
        raise bad(name, "unknown action")
    if name in _NESTING:
        return _NESTING[name](text, ports, depth)
    if name in _ACTIONS:
        return _ACTIONS[name](text)
    if name in _PLAIN and not text:
        return _PLAIN[name]
    if name == "userspace":
        return _userspace(text, ports)
    raise bad(name, "unknown action")


def _fields(text: str, *names: str) -> dict[str, str]:
    """The "name=value" words of `text`, which must be among `names`."""
    found = {}
    for word in split_words(text):
        if word.key not in names or word.delimiter not in ("=", "("):
            raise bad(word.key, f"not one of {', '.join(names)}")
        found[word.key] = word.value
    return found


def _set(text: str) -> Action:
    words = split_words(text)
    if len(words) != 1 or words[0].delimiter != "(":
        raise bad(text, "set takes one key")
    attr = parse_attr(words[0].key, words[0].value)
    if attr.attr == key.TUNNEL or all(byte == 0xFF for byte in attr.mask):
        return Set(attr.attr, attr.value)
    return SetMasked(attr.attr, attr.value, attr.mask)


def _push_vlan(text: str) -> Action:
    words = split_words(text)
    tpid = next((number(word.value, 2) for word in words if word.key == "tpid"), ETH_TYPE_VLAN_8021Q)
    rest = ",".join(f"{word.key}={word.value}" for word in words if word.key != "tpid")
    if "/" in rest:
        raise bad(text, "what is pushed has no mask")
    return PushVlan(tpid, parse_vlan(rest)[0])


def _mpls(text: str) -> tuple[int, int]:
    words = split_words(text)
    if "/" in text:
        raise bad(text, "what is pushed has no mask")
    types = [number(word.value, 2) for word in words if word.key == "eth_type"]
    lses, _ = parse_lses([word for word in words if word.key != "eth_type"])
    if len(types) != 1 or len(lses) != 1:
        raise bad(text, "one label and one eth_type are needed")
    return lses[0], types[0]


def _push_eth(text: str) -> Action:
    fields = _fields(text, "src", "dst", "type")
    src, dst = parse_mac(fields.get("src", "")), parse_mac(fields.get("dst", ""))
    if src is None or dst is None:
        raise bad(text, "invalid address")
    return PushEth(src, dst)


def _push_nsh(text: str) -> Action:
    words = split_words(text)
    md2 = next((word.value for word in words if word.key == "md2"), "")
    if "/" in text:
        raise bad(text, "what is pushed has no mask")
    value, mask = parse_nsh_words([word for word in words if word.key != "md2"])
    given = bytes([v if m else d for v, m, d in zip(value, mask, _NSH_DEFAULT, strict=True)])
    value = given[:4] + value[4:7] + given[7:]
    if value[2] not in (1, 2):
        raise bad(str(value[2]), "no type of NSH metadata")
    if value[0] > NSH_MAX_FLAGS or value[1] > NSH_MAX_TTL:
        raise bad(text, "NSH has 2 bits of flags and 6 of TTL")
    if (md2 and value[2] == 1) or (any(mask[8:]) and value[2] == 2):
        raise bad(text, "context of another type of NSH metadata")
    metadata = value[8:] if value[2] == 1 else b""
    if md2:
        try:
            metadata = bytes.fromhex(md2.removeprefix("0x"))
        except ValueError:
            raise bad(md2, "not hexadecimal") from None
        metadata += bytes(-len(metadata) % 4)
    return PushNsh(value[0], value[1], value[2], value[3], int.from_bytes(value[4:8], "big"), metadata)


def _psample(text: str) -> Action:
    fields = _fields(text, "group", "cookie")
    cookie = fields.get("cookie", "")
    digits = cookie.removeprefix("0x")
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        raise bad(cookie, "not whole bytes in hexadecimal") from None
    if len(data) > MAX_PSAMPLE_COOKIE:
        raise bad(cookie, f"longer than {MAX_PSAMPLE_COOKIE} bytes")
    return Psample(number(fields.get("group", ""), 4), data)


def _hash(text: str) -> Action:
    words = split_words(text)
    algorithms = {"l4": 0, "hash_l4": 0, "sym_l4": 1}
    if len(words) != 1 or words[0].key not in algorithms:
        raise bad(text, "unknown hash algorithm")
    return Hash(algorithms[words[0].key], number(words[0].value or "0", 4))


def _pair(text: str, size: int) -> tuple[int, int] | None:
    """Value and mask; None if the mask has no bits."""
    value, mask = numbers(text, size)
    return (value, mask) if mask else None


def _ct(text: str) -> Action:
    commit = force = False
    zone = 0
    mark: tuple[int, int] | None = None
    label: tuple[int, int] | None = None
    helper = timeout = ""
    nat: Nat | None = None
    for word in split_words(text):
        if word.key in ("commit", "force_commit"):
            if commit or word.delimiter:
                raise bad(word.key, "said once, without a value")
            commit, force = True, word.key == "force_commit"
        elif word.key == "zone":
            zone = number(word.value, 2)
        elif word.key == "mark":
            mark = _pair(word.value, 4)
        elif word.key == "label":
            label = _pair(word.value, 16)
        elif word.key == "helper" and word.value:
            helper = word.value
        elif word.key == "timeout" and word.value:
            timeout = word.value
        elif word.key == "nat":
            nat = _nat(word.value)
        else:
            raise bad(word.key, "unknown to ct")
    return Ct(commit, force, zone, mark, label, helper, nat, None, timeout)


def _nat(text: str) -> Nat:
    kind = ""
    low = high = b""
    low_port = high_port = 0
    flags = dict.fromkeys(("persistent", "hash", "random"), False)
    for word in split_words(text):
        if word.key in ("src", "dst"):
            if kind:
                raise bad(text, "nat is of the source or of the destination")
            kind = word.key
            if word.value:
                low, high, low_port, high_port = _nat_range(word.value)
            elif word.delimiter == "=":
                raise bad(text, f"nat needs the {kind}")
        elif word.key in flags:
            flags[word.key] = True
        else:
            raise bad(word.key, "unknown to nat")
    if flags["hash"] and flags["random"]:
        raise bad(text, "nat is by hash or at random")
    return Nat(kind, low, high, low_port, high_port, flags["persistent"], flags["hash"], flags["random"])


def _nat_address(text: str) -> bytes:
    if "." in text and ":" not in text:
        v4 = parse_ipv4(text)
        if v4 is not None:
            return v4.to_bytes(4, "big")
    v6 = parse_ipv6(text.strip("[]"))
    if v6 is None:
        raise bad(text, "invalid address")
    return v6.to_bytes(16, "big")


def _nat_range(text: str) -> tuple[bytes, bytes, int, int]:
    """ "1.1.1.1-1.1.1.5:80-90", "[::1]-[::5]:80" or "::1-::5"."""
    addresses, ports = text, ""
    if text.startswith("[") or "." in text or (text[:1] == ":" and text[:2] != "::"):
        cut = text.rfind("]:") + 1 if "[" in text else text.rfind(":")
        if cut > 0 or text.startswith(":"):
            addresses, ports = text[:cut], text[cut + 1 :]
    low_text, _, high_text = addresses.partition("-")
    low_port_text, _, high_port_text = ports.partition("-")
    if not low_text:
        raise bad(text, "ports without an address")
    low, high = _nat_address(low_text), _nat_address(high_text) if high_text else b""
    low_port = number(low_port_text, 2) if low_port_text else 0
    high_port = number(high_port_text, 2) if high_port_text else 0
    if (high and high < low) or (high_port and high_port < low_port):
        raise bad(text, "the range ends before it begins")
    return low, high, low_port, high_port


_ACTIONS: dict[str, Callable[[str], Action]] = {
    "set": _set,
    "push_vlan": _push_vlan,
    "push_mpls": lambda text: PushMpls(*_mpls(text)),
    "add_mpls": lambda text: AddMpls(*_mpls(text), 0),
    "pop_mpls": lambda text: PopMpls(number(_fields(text, "eth_type").get("eth_type", ""), 2)),
    "push_eth": _push_eth,
    "push_nsh": _push_nsh,
    "recirc": lambda text: Recirc(number(text, 4)),
    "hash": _hash,
    "lb_output": lambda text: LbOutput(number(text, 4)),
    "trunc": lambda text: Trunc(number(text, 4)),
    "meter": lambda text: Meter(number(text, 4)),
    "ct": _ct,
    "psample": _psample,
}


def _inner(text: str, name: str, ports: PortNumbers, depth: int) -> Actions:
    """The actions in `name(...)` of an action's arguments, which must have them."""
    for word in split_words(text):
        if word.key == name and word.delimiter == "(":
            if not text.startswith(")", word.value_at + len(word.value)):
                raise bad(word.value, "a bracket is not closed")
            return _actions(word.value, ports, depth + 1)
    raise bad(text, f"{name}(...) is missing")


def _sample(text: str, ports: PortNumbers, depth: int) -> Action:
    percent = _fields(text, "sample", "actions").get("sample", "")
    try:
        share = float(percent.removesuffix("%") or 0)
    except ValueError:
        raise bad(percent, "not a percentage") from None
    if not percent.endswith("%") or not 0 <= share <= 100:
        raise bad(percent, "not between 0% and 100%")
    return Sample(round(share / 100 * 0xFFFFFFFF), _inner(text, "actions", ports, depth))


def _check_pkt_len(text: str, ports: PortNumbers, depth: int) -> Action:
    size = number(_fields(text, "size", "gt", "le").get("size", ""), 2)
    return CheckPktLen(size, _inner(text, "gt", ports, depth), _inner(text, "le", ports, depth))


def _dec_ttl(text: str, ports: PortNumbers, depth: int) -> Action:
    _fields(text, "le_1")
    return DecTtl(_inner(text, "le_1", ports, depth))


def _clone(text: str, ports: PortNumbers, depth: int) -> Action:
    return Clone(_actions(text, ports, depth + 1))


def _port_number(text: str, ports: PortNumbers) -> int:
    return ports[text] if ports is not None and text in ports else number(text, 4)


def _tnl_push(text: str, ports: PortNumbers, depth: int) -> Action:
    fields = _fields(text, "tnl_port", "header", "out_port")
    kind, header = parse_header(fields.get("header", ""))
    tnl_port, out_port = (_port_number(fields.get(name, ""), ports) for name in ("tnl_port", "out_port"))
    return TnlPush(tnl_port, out_port, kind, header)


def _tnl_pop(text: str, ports: PortNumbers, depth: int) -> Action:
    return TnlPop(_port_number(text, ports))


_NESTING: dict[str, Callable[[str, PortNumbers, int], Action]] = {
    "sample": _sample,
    "clone": _clone,
    "check_pkt_len": _check_pkt_len,
    "dec_ttl": _dec_ttl,
    "tnl_push": _tnl_push,
    "tnl_pop": _tnl_pop,
}


def _userspace(text: str, ports: PortNumbers) -> Action:
    pid = 0
    userdata = b""
    port: int | None = None
    actions = False
    words = split_words(text)
    if not words:
        raise bad(text, "userspace needs a pid")
    for word in words:
        if word.key == "pid":
            pid = number(word.value, 4)
        elif word.key == "actions":
            actions = True
        elif word.key == "tunnel_out_port":
            named = ports is not None and word.value in ports
            port = ports[word.value] if ports is not None and named else number(word.value, 4)
        else:
            userdata = _userdata(word)
    return Userspace(pid, userdata, port, actions)


_CONTROLLER_SIZES = {
    "reason": 2, "dont_send": 1, "continuation": 1, "recirc_id": 4, "rule_cookie": 8, "controller_id": 2,
    "max_len": 2,
}  # fmt: skip


def _userdata(word: Word) -> bytes:
    if word.key == "userdata":
        try:
            return bytes.fromhex(word.value)
        except ValueError:
            raise bad(word.value, "not hexadecimal") from None
    if word.key == "slow_path":
        reason = parse_slow_reasons(word.value)
        if reason is None:
            raise bad(word.value, "unknown slow path reason")
        return SlowPathCookie(reason).pack()
    if word.key == "sFlow":
        fields = _fields(word.value, "vid", "pcp", "output")
        tci = number(fields.get("vid", "0"), 2) & 0xFFF | (number(fields.get("pcp", "0"), 1) & 7) << 13
        return SflowCookie(tci, number(fields.get("output", "0"), 4)).pack()
    if word.key == "ipfix":
        return IpfixCookie(number(_fields(word.value, "output_port").get("output_port", ""), 4)).pack()
    if word.key == "flow_sample":
        return _flow_sample(word.value)
    if word.key == "controller":
        fields = _fields(word.value, *_CONTROLLER_SIZES)
        n = {name: number(fields.get(name, "0"), size) for name, size in _CONTROLLER_SIZES.items()}
        return ControllerCookie(
            n["max_len"], n["reason"], bool(n["dont_send"]), bool(n["continuation"]), n["recirc_id"],
            n["rule_cookie"], n["controller_id"],
        ).pack()  # fmt: skip
    raise bad(word.key, "unknown to userspace")


def _flow_sample(text: str) -> bytes:
    words = split_words(text)
    direction = next((DIRECTIONS.index(word.key) for word in words if word.key in DIRECTIONS[1:]), 0)
    names = ("probability", "collector_set_id", "obs_domain_id", "obs_point_id", "output_port")
    rest = ",".join(f"{word.key}={word.value}" for word in words if word.key not in DIRECTIONS)
    fields = _fields(rest, *names)
    probability, collector, domain, point, port = [
        number(fields.get(name, "0"), 2 if name == "probability" else 4) for name in names
    ]
    return FlowSampleCookie(probability, collector, domain, point, port, direction).pack()
