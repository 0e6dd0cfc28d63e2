"""`dpctl/dump-flows`, `add-flow`, `del-flows` and their like: the flows of a datapath."""

from __future__ import annotations

import errno
import sys
from typing import Final

from vswitch.base.unixctl import ANY, CommandError
from vswitch.dpif import dump_filter
from vswitch.dpif.dpctl import Datapaths, Entry, Options, failed, port_names, port_numbers
from vswitch.dpif.odp_text import (
    OdpSyntaxError,
    format_actions,
    format_dpif_flow,
    format_stats,
    parse_actions,
    parse_dp_flow,
    parse_ufid,
)
from vswitch.dpif.open import dpif_class
from vswitch.dpif.ops import DpifFlow, FlowDel, FlowGet, FlowPut, Op
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifError, Fitness, PutFlags
from vswitch.flow.flow import Flow

NO_SUCH_FLOW: Final = "\nPerhaps you need to specify a UFID?"


def keywords(args: list[str], names: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """The values of the "NAME=value" words at the end, each name once, and what is in front."""
    rest = list(args)
    found: dict[str, str] = {}
    while rest:
        name, equals, value = rest[-1].partition("=")
        if not equals or name not in names or name in found:
            break
        found[name] = value
        rest.pop()
    return found, rest


def _dump_flows(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    words, rest = keywords(args, ("filter", "type", "pmd"))
    dpif = datapaths.open_optional(rest, 1)
    try:
        ports = port_numbers(dpif) if words.get("filter") else {}
        wanted = dump_filter.parse(ports, words.get("filter", ""), words.get("type"), words.get("pmd", ""))
        names = port_names(dpif) if options.by_name else None
        now = datapaths.clock.now()
        lines = [_line(flow, dpif, options, names, now) for flow in dpif.flow_dump() if wanted.fits(flow)]
    except DpifError as e:
        raise failed("Failed to dump flows from datapath", e.errno or 0) from e
    finally:
        dpif.close()
    title = dpif_class(dpif.type).dump_title
    if lines and title and "pmd" not in words:
        lines.insert(0, title)
    return "".join(f"{line}\n" for line in lines)


def _ufid(text: str) -> tuple[bytes, str]:
    """The UFID that a flow begins with (b"" if none), and the rest of it."""
    try:
        ufid = parse_ufid(text)
    except OdpSyntaxError as e:
        raise failed("parsing flow ufid", errno.EINVAL) from e
    return ufid, text


def _parse_flow(text: str, dpif: Dpif, what: str = "{}") -> tuple[Flow, Flow, bytes, bool]:
    """(key, mask, UFID or b"", whether the datapath can tell such packets) of a flow's text. CommandError
    says `what` of a syntax error."""
    ufid, text = _ufid(text)
    try:
        key, mask, fitness = parse_dp_flow(text, port_numbers(dpif))
    except OdpSyntaxError as e:
        raise failed(what.format(f"syntax error at {e.rest}"), errno.EINVAL) from e
    # The kernel judges for itself.
    fits = fitness is Fitness.PERFECT or (dpif.type == "system" and fitness is not Fitness.ERROR)
    return key, mask, ufid, fits


def _put(dpif: Dpif, flow: str, actions: str, flags: PutFlags, options: Options, now: int) -> str:
    key, mask, ufid, fits = _parse_flow(flow, dpif, "parsing flow key ({})")
    try:
        parsed = parse_actions(actions, port_numbers(dpif))
    except ValueError as e:
        raise failed("parsing actions", errno.EINVAL) from e
    if not fits:
        raise failed("updating flow table", errno.EINVAL)
    if options.clear:
        flags |= PutFlags.ZERO_STATS
    op = FlowPut(key, mask, parsed, ufid, flags, want_stats=options.statistics)
    _operate(dpif, op, "updating flow table")
    return f"{format_stats(op.stats, now)}\n" if options.statistics and op.stats is not None else ""


def _operate(dpif: Dpif, op: Op, what: str) -> None:
    try:
        dpif.operate([op])
    except DpifError as e:
        raise failed(what, e.errno or 0) from e
    if op.error:
        raise failed(what, op.error)


def _add_flow(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    return _change_flow(datapaths, options, args, PutFlags.CREATE)


def _mod_flow(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    flags = PutFlags.CREATE | PutFlags.MODIFY if options.may_create else PutFlags.MODIFY
    return _change_flow(datapaths, options, args, flags)


def _change_flow(datapaths: Datapaths, options: Options, args: list[str], flags: PutFlags) -> str:
    dpif = datapaths.open_optional(args, 3)
    try:
        return _put(dpif, args[-2], args[-1], flags, options, datapaths.clock.now())
    finally:
        dpif.close()


def _delete(dpif: Dpif, flow: str, options: Options, now: int) -> str:
    key, _mask, ufid, fits = _parse_flow(flow, dpif)
    if not fits and not ufid:
        # No flow of the datapath has such a key.
        raise CommandError(str(failed("deleting flow", errno.ENOENT)) + NO_SUCH_FLOW)
    op = FlowDel(key, ufid, True)
    try:
        _operate(dpif, op, "deleting flow")
    except CommandError as e:
        if op.error == errno.ENOENT:
            raise CommandError(str(e) + NO_SUCH_FLOW) from e
        raise
    return f"{format_stats(op.stats, now)}\n" if options.statistics and op.stats is not None else ""


def _del_flow(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    dpif = datapaths.open_optional(args, 2)
    try:
        return _delete(dpif, args[-1], options, datapaths.clock.now())
    finally:
        dpif.close()


def _get_flow(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    dpif = datapaths.open_optional(args, 2)
    try:
        # Open vSwitch tells this in a reply that is no error.
        try:
            ufid, _text = _ufid(args[-1])
        except CommandError as e:
            return f"{e}\n"
        if not ufid:
            return f"{failed('parsing flow ufid')}\n"
        op = FlowGet(Flow(), ufid, True)
        _operate(dpif, op, "getting flow")
        if op.flow is None:
            raise failed("getting flow", errno.ENOENT)
        names = port_names(dpif) if options.by_name else None
        return f"{_line(op.flow, dpif, options, names, datapaths.clock.now())}\n"
    finally:
        dpif.close()


def _line(flow: DpifFlow, dpif: Dpif, options: Options, names: dict[int, str] | None, now: int) -> str:
    extra = dpif_class(dpif.type).extra_info(flow.mask) if options.more else ""
    return format_dpif_flow(flow, now, verbose=options.more, port_names=names, extra=extra)


def _del_flows(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    if len(args) > 1 or datapaths.without_name(args):
        return _from_file(datapaths, options, args, "delete")
    dpif = datapaths.open_optional(args, 2)
    try:
        dpif.flow_flush()
    except DpifError as e:
        raise failed("deleting all flows", e.errno or 0) from e
    finally:
        dpif.close()
    return ""


def _add_flows(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    return _from_file(datapaths, options, args, "add")


def _mod_flows(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    return _from_file(datapaths, options, args, "modify")


def _from_file(datapaths: Datapaths, options: Options, args: list[str], usual: str) -> str:
    """Every line of a file: [add|modify|delete] FLOW [ACTIONS]. One that fails is reported, and the others
    are carried out."""
    dpif, path = datapaths.open_optional(args, ANY), args[-1]
    told: list[str] = []
    try:
        try:
            if path == "-":
                text = sys.stdin.read()
            else:
                with open(path, encoding="utf-8", errors="replace") as f:
                    text = f.read()
        except OSError as e:
            return f'{failed(f"Opening file {chr(34)}{path}{chr(34)} failed", e.errno or 0)}\n'
        for n, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].strip()
            if not words:
                continue
            try:
                told.append(_from_line(dpif, words, n, usual, options, datapaths.clock.now()))
            except CommandError as e:
                told.append(f"{e}\n")
    finally:
        dpif.close()
    return "".join(told)


def _from_line(dpif: Dpif, line: str, n: int, usual: str, options: Options, now: int) -> str:
    kind, _, rest = line.partition(" ")
    if kind in ("add", "modify", "delete"):
        line = rest.strip()
    else:
        kind = usual
    if kind == "delete":
        if line.endswith(")"):
            return _delete(dpif, line, options, now)
        raise failed(f"Failed parsing line number {n}, skipped!")
    # A flow may have blanks after commas; the actions have none in front of them.
    flow, blank, actions = line.rpartition(" ")
    if not blank:
        raise failed(f"Failed parsing line number {n}, skipped!")
    flags = PutFlags.CREATE if kind == "add" else PutFlags.MODIFY
    return _put(dpif, flow.strip(), actions, flags, options, now)


def _offload_stats_show(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    """Statistics of flows that hardware carries out: there are none to be had, as in Open vSwitch without
    such hardware."""
    if args and not datapaths.exists(args[0]):
        raise failed("datapath not found", errno.EINVAL)
    if not args:
        datapaths.the_one()
    raise failed("retrieving offload statistics", errno.EINVAL)


def _parse_actions(_datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    lines = []
    for text in args:
        try:
            lines.append(format_actions(parse_actions(text)))
        except ValueError as e:
            lines.append(str(failed("odp_actions_from_string", errno.EINVAL)))
            raise CommandError("\n".join(lines)) from e
    return "".join(f"{line}\n" for line in lines)


ENTRIES: Final = (
    Entry("dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6, _dump_flows),
    Entry("add-flow", "[dp] flow actions", 2, 3, _add_flow),
    Entry("mod-flow", "[dp] flow actions", 2, 3, _mod_flow),
    Entry("get-flow", "[dp] ufid", 1, 2, _get_flow),
    Entry("del-flow", "[dp] flow", 1, 2, _del_flow),
    Entry("add-flows", "[dp] file", 1, 2, _add_flows),
    Entry("mod-flows", "[dp] file", 1, 2, _mod_flows),
    Entry("del-flows", "[dp] [file]", 0, 2, _del_flows),
    Entry("offload-stats-show", "[dp]", 0, 1, _offload_stats_show),
)
TEXT_ENTRIES: Final = (Entry("parse-actions", "actions", 1, ANY, _parse_actions),)
