"""`dpctl/dump-conntrack`, `ct-get-limits` and their like: the connections that a datapath tracks."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from vswitch.base.unixctl import ANY, CommandError
from vswitch.dpif.ct_tuple import TupleReader
from vswitch.dpif.dpctl import Datapaths, Entry, Options, failed
from vswitch.dpif.dpctl_ports import CACHE_ENTRIES
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import CtEntry, CtLimit, DpifError
from vswitch.flow.syntax import split_words

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
PROTOCOLS: Final = {
    ICMP: "icmp", 2: "igmp", TCP: "tcp", UDP: "udp", 33: "dccp", ICMPV6: "icmpv6", 132: "sctp",
    136: "udplite",
}  # fmt: skip
_STATUS: Final = (
    "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED", "SRC_NAT", "DST_NAT", "SEQ_ADJUST", "SRC_NAT_DONE",
    "DST_NAT_DONE", "DYING", "FIXED_TIMEOUT", "TEMPLATE", "UNTRACKED",
)  # fmt: skip
"""Bits of `enum ip_conntrack_status`, from the lowest."""
_STATES: Final = {"FIN_WAIT": "FIN_WAIT_1", "CLOSE": "CLOSED", "NONE": "CLOSED", "SYN_SENT2": "LISTEN"}
"""Linux's states that have another name here."""
_ORDER: Final = (
    "CLOSED", "LISTEN", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING",
    "LAST_ACK", "FIN_WAIT_2", "TIME_WAIT",
)  # fmt: skip
"""A connection's states from first to last."""


def _tuple(proto: int, t: tuple[str, str, int, int]) -> str:
    source, destination, a, b = t
    text = f"src={source},dst={destination}"
    if proto in (ICMP, ICMPV6):
        return f"{text},id={a},type={b >> 8},code={b & 0xFF}"
    return f"{text},sport={a},dport={b}"


def _protocol(proto: int) -> str:
    return PROTOCOLS.get(proto, str(proto))


def _status(bits: int) -> str:
    names = [name for n, name in enumerate(_STATUS) if bits >> n & 1]
    rest = bits >> len(_STATUS) << len(_STATUS)
    return "|".join(names + ([f"{rest:#x}"] if rest else [])) or "0"


def overall_state(c: CtEntry) -> str:
    """The state of a TCP connection in a word: that of the end which is further on."""
    orig = _STATES.get(c.state, c.state)
    if not c.reply_state:
        return orig
    further = max(orig, _STATES.get(c.reply_state, c.reply_state), key=_ORDER.index)
    return "TIME_WAIT" if further == "FIN_WAIT_2" else further


def _tcp(c: CtEntry, more: bool) -> str:
    """The states of both ends; in short, the one that is further on."""
    orig = _STATES.get(c.state, c.state)
    reply = _STATES.get(c.reply_state, c.reply_state)
    if not more:
        return f"state={overall_state(c)}"
    if not reply:
        return f"state_orig={orig},state_reply={orig}"
    scales = f"wscale_orig={c.scales[0]},wscale_reply={c.scales[1]}," if any(c.scales) else ""
    return f"state_orig={orig},state_reply={reply},{scales}flags_orig={c.flags[0]},flags_reply={c.flags[1]}"


def format_connection(c: CtEntry, more: bool, statistics: bool) -> str:
    """One connection as `dpctl/dump-conntrack` prints it."""
    text = f"{_protocol(c.proto)},orig=({_tuple(c.proto, c.orig)}),reply=({_tuple(c.proto, c.reply)})"
    if more:
        text += f",id={c.id}"
    if c.zone:
        text += f",zone={c.zone}"
    if more:
        text += f",status={_status(c.status)}"
    if statistics:
        text += f",timeout={c.timeout}"
    if c.mark:
        text += f",mark={c.mark}"
    if c.labels:
        text += f",labels={c.labels:#x}"
    if c.state:
        text += f",protoinfo=({_tcp(c, more)})"
    if c.helper:
        text += f",helper={c.helper}"
    if more and c.parent is not None:
        text += f",parent=({_tuple(c.proto, c.parent)})"
    return text


def _zone_option(args: list[str]) -> tuple[int | None, list[str]]:
    """A last argument "zone=N", and the others."""
    if args and args[-1].startswith("zone=") and args[-1][5:].isdigit():
        return int(args[-1][5:]), args[:-1]
    return None, args


def _dump_conntrack(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    zone, rest = _zone_option(args)
    dpif = datapaths.open_optional(rest, 1)
    try:
        lines = [format_connection(c, options.more, options.statistics) for c in dpif.ct_dump(zone)]
    except DpifError as e:
        raise failed("dumping conntrack entry", e.errno or 0) from e
    finally:
        dpif.close()
    return "".join(f"{line}\n" for line in lines)


def _ct_stats_show(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    zone, rest = _zone_option(args)
    dpif = datapaths.open_optional(rest, 1)
    try:
        connections = list(dpif.ct_dump(zone))
    except DpifError as e:
        raise failed("dumping conntrack entry", e.errno or 0) from e
    finally:
        dpif.close()
    lines = ["Connections Stats:", f"    Total: {len(connections)}"]
    for proto in (TCP, UDP, 132, ICMP):
        these = [c for c in connections if c.proto == proto]
        if not these:
            continue
        lines.append(f"  {_protocol(proto).upper()}: {len(these)}")
        if proto == TCP and options.more:
            lines.append("    Conn per TCP states:")
            states = [overall_state(c) for c in these]
            ordered = sorted(set(states), key=_ORDER.index)
            lines += [f"\t  [{state}]={states.count(state)}" for state in ordered]
    others = sum(1 for c in connections if c.proto not in (TCP, UDP, 132, ICMP))
    if others:
        lines.append(f"  Other: {others}")
    return "".join(f"{line}\n" for line in lines)


# Flushing by tuple.


def _sixteen(text: str) -> int:
    value = int(text, 0)
    if not 0 <= value <= 0xFFFF:
        raise ValueError
    return value


def _wanted(texts: list[str]) -> Callable[[CtEntry], bool]:
    """Whether a connection fits the tuples of its original direction and of its answers. CommandError."""
    reader = TupleReader()
    try:
        for text in texts:
            reader.read(text)
    except ValueError as e:
        raise failed(str(e), errno.EINVAL) from None
    asked = [
        {side: str(address) for side, address in addresses.items()} | numbers
        for addresses, numbers in zip(reader.addresses, reader.numbers, strict=True)
    ]

    def fits(c: CtEntry) -> bool:
        return reader.proto in (0, c.proto) and all(
            _fits(wanted, has, c.proto) for wanted, has in zip(asked, (c.orig, c.reply), strict=False)
        )

    return fits


def _fits(wanted: Mapping[str, str | int], t: tuple[str, str, int, int], proto: int) -> bool:
    has: dict[str, str | int] = {"src": t[0], "dst": t[1]}
    if proto in (ICMP, ICMPV6):
        has |= {"icmp_id": t[2], "icmp_type": t[3] >> 8, "icmp_code": t[3] & 0xFF}
    else:
        has |= {"ct_tp_src": t[2], "ct_tp_dst": t[3]}
    return all(has.get(name) == value for name, value in wanted.items())


def _flush_conntrack(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    rest = datapaths.without_name(args)
    zone: int | None = None
    if rest and rest[0].startswith("zone="):
        try:
            zone = _sixteen(rest[0][5:])
        except ValueError:
            raise failed("failed to parse zone", errno.EINVAL) from None
        rest = rest[1:]
    wanted = _wanted(rest[:2]) if rest else None
    if len(rest) > 2:
        raise failed("invalid arguments", errno.EINVAL)
    try:
        dpif = datapaths.open_optional(args, 4)
    except CommandError as e:
        raise CommandError(f"{e}\n{failed('Cannot open dpif', errno.EINVAL)}") from e
    try:
        dpif.ct_flush((zone or 0) if rest else zone, wanted)
    except DpifError as e:
        raise failed("flushing conntrack entries", e.errno or 0) from e
    finally:
        dpif.close()
    return ""


# Limits.


def _default_limit(text: str) -> CtLimit:
    """"default=N". CommandError."""
    value = text.partition("=")[2]
    if not value.isdigit() or int(value) > 0xFFFFFFFF:
        raise failed("invalid default limit", errno.EINVAL)
    return CtLimit(None, int(value))


def _zone_limit(text: str) -> CtLimit:
    """"zone=N,limit=N". CommandError."""
    found: dict[str, int] = {}
    for word in split_words(text):
        name, value = word.key, word.value
        if not value:
            raise failed(f"field {name} missing value", errno.EINVAL)
        if name not in ("zone", "limit"):
            raise failed(f"invalid zone limit field: {name}", errno.EINVAL)
        try:
            number = int(value, 0)
        except ValueError:
            number = -1
        if not 0 <= number <= (0xFFFF if name == "zone" else 0xFFFFFFFF):
            raise failed(f"failed to parse field {name}", errno.EINVAL)
        found[name] = number
    if len(found) < 2:
        raise failed("failed to parse zone limit", errno.EINVAL)
    return CtLimit(found["zone"], found["limit"])


def _zones(text: str) -> list[int]:
    """"zone=N[,N]...". CommandError."""
    if not text.startswith("zone="):
        raise failed(f"invalid argument {text}", errno.EINVAL)
    zones: list[int] = []
    for word in text[5:].split(","):
        try:
            zones.append(_sixteen(word))
        except ValueError:
            raise failed("invalid zone", errno.EINVAL) from None
    return zones


def _limits(
    what: str, datapaths: Datapaths, args: list[str], most: int, do: Callable[[Dpif, list[str]], str]
) -> str:
    dpif = datapaths.open_optional(args, most)
    try:
        return do(dpif, datapaths.without_name(args))
    except DpifError as e:
        raise failed(what, e.errno or 0) from e
    finally:
        dpif.close()


def _ct_set_limits(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    def do(dpif: Dpif, rest: Sequence[str]) -> str:
        if not rest:
            raise failed("no limits given", errno.EINVAL)
        # The default comes first, or not at all.
        limits = [_default_limit(rest[0])] if rest[0].startswith("default=") else []
        limits += [_zone_limit(text) for text in rest[len(limits) :]]
        dpif.ct_set_limits(limits)
        return ""

    return _limits("failed to set conntrack limit", datapaths, args, ANY, do)


def _ct_del_limits(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    def do(dpif: Dpif, rest: Sequence[str]) -> str:
        if len(rest) != 1:
            raise failed("zones to delete are missing", errno.EINVAL)
        dpif.ct_del_limits(_zones(rest[0]))
        return ""

    return _limits("failed to delete conntrack limit", datapaths, args, 2, do)


def _ct_get_limits(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    def do(dpif: Dpif, rest: Sequence[str]) -> str:
        limits = dpif.ct_get_limits([])
        if rest:
            # The default is always shown, also where the datapath reports only what it was asked for.
            default = [limit for limit in limits if limit.zone is None]
            asked = dpif.ct_get_limits(_zones(rest[0]))
            limits = default + [limit for limit in asked if limit.zone is not None]
        lines = []
        for limit in limits:
            if limit.zone is None:
                lines.append(f"default limit={limit.limit}\n")
            else:
                lines.append(f"zone={limit.zone},limit={limit.limit},count={limit.count}\n")
        return "".join(lines)

    return _limits("failed to get conntrack limit", datapaths, args, 2, do)


# Connections in all, and what is set about them.


def _on(what: str, datapaths: Datapaths, args: list[str], do: Callable[[Dpif], str], most: int = 1) -> str:
    """`do` with the datapath that `args`, `most` of them, may name; `what` failed if it can't."""
    dpif = datapaths.open_optional(args, most)
    try:
        return do(dpif)
    except DpifError as e:
        raise failed(what, e.errno or 0) from e
    finally:
        dpif.close()


def _ct_get_nconns(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    return _on("nconns could not be retrieved", datapaths, args, lambda dpif: f"{dpif.ct_count()}\n")


def _ct_get_maxconns(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    return _on("maxconns could not be retrieved", datapaths, args,
               lambda dpif: f"{dpif.ct_settings().max_connections}\n")


def _ct_set_maxconns(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    def do(dpif: Dpif) -> str:
        if not args[-1].isdigit() or int(args[-1]) > 0xFFFFFFFF:
            raise failed("maxconns missing or malformed", errno.EINVAL)
        dpif.ct_configure(replace(dpif.ct_settings(), max_connections=int(args[-1])))
        return "setting maxconns successful\n"

    return _on("ct set maxconns failed", datapaths, args, do, 2)


def _ct_get_tcp_seq_chk(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    def do(dpif: Dpif) -> str:
        return f"TCP sequence checking: {'enabled' if dpif.ct_settings().tcp_seq_chk else 'disabled'}\n"

    return _on("TCP sequence checking query failed", datapaths, args, do)


def _ct_tcp_seq_chk(enable: bool) -> Callable[[Datapaths, Options, list[str]], str]:
    what = f"{'enabling' if enable else 'disabling'} TCP sequence checking"

    def command(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
        def do(dpif: Dpif) -> str:
            dpif.ct_configure(replace(dpif.ct_settings(), tcp_seq_chk=enable))
            return f"{what} successful\n"

        return _on(f"{what} failed", datapaths, args, do, ANY)

    return command


def _ct_bkts(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    """All connections are in one bucket, as the real userspace datapath shows them."""
    least = 0
    if args and args[-1].startswith("gt="):
        if args[-1][3:].isdigit():
            least = int(args[-1][3:])
            args = args[:-1]

    def do(dpif: Dpif) -> str:
        count = sum(1 for _ in dpif.ct_dump())
        lines = ["Total Buckets: 1", f"Current Connections: {count}", ""]
        if count:
            shown = str(count) if count > least else "."
            rule = "+-----------+-----------------------------------------+"
            lines += [rule, "|  Buckets  |         Connections per Buckets         |", rule,
                      f"   0..  7   | {shown:>5}", ""]
        return "\n".join(lines) + "\n"

    return _on("dumping conntrack entry", datapaths, args, do)


ENTRIES: Final = (
    Entry("dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, _dump_conntrack),
    Entry("flush-conntrack", "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", 0, 4, _flush_conntrack),
    *CACHE_ENTRIES,
    Entry("ct-stats-show", "[dp] [zone=N]", 0, 3, _ct_stats_show),
    Entry("ct-bkts", "[dp] [gt=N]", 0, 2, _ct_bkts),
    Entry("ct-set-maxconns", "[dp] maxconns", 1, 2, _ct_set_maxconns),
    Entry("ct-get-maxconns", "[dp]", 0, 1, _ct_get_maxconns),
    Entry("ct-get-nconns", "[dp]", 0, 1, _ct_get_nconns),
    Entry("ct-enable-tcp-seq-chk", "[dp]", 0, 1, _ct_tcp_seq_chk(True)),
    Entry("ct-disable-tcp-seq-chk", "[dp]", 0, 1, _ct_tcp_seq_chk(False)),
    Entry("ct-get-tcp-seq-chk", "[dp]", 0, 1, _ct_get_tcp_seq_chk),
    Entry("ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, ANY, _ct_set_limits),
    Entry("ct-del-limits", "[dp] zone=N1[,N2]...", 1, 2, _ct_del_limits),
    Entry("ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, _ct_get_limits),
)
