"""The commands on flows: dump-flows, add-flow and its kin, replace-flows, diff-flows, bundle."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from vswitch.cli.ofctl.formats import OPENFLOW10, allowed, check_usable, form_of
from vswitch.cli.ofctl.progress import shown
from vswitch.cli.ofctl.switch import OfctlError, Settings, Switch, SwitchError, find_target
from vswitch.flow.fields import by_name
from vswitch.flow.match_text import normalize
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow import constants as c
from vswitch.openflow.action_text import format_actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.flow_text import parse_flow, parse_flow_line
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages.flow import AggregateStatsRequest, FlowStats, FlowStatsRequest
from vswitch.openflow.messages.session import BarrierRequest
from vswitch.openflow.normal import normalize_aloud
from vswitch.openflow.packet_out_text import parse_bundle_line
from vswitch.openflow.print import format_bytes
from vswitch.openflow.print_flow import format_flow_line
from vswitch.openflow.wire.codec import decode
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10

BUNDLE_ID: Final = 0

Args: TypeAlias = Sequence[str]


# Reading.


def said(error: FlowSyntaxError) -> str:
    """What is wrong with flow text; on a terminal with a pointer to the word."""
    return error.pointed() if sys.stderr.isatty() else error.message


def read_lines(path: str) -> Iterator[tuple[str, str]]:
    """(where it stands, text) of the lines of a file that say something; "-" is standard input."""
    try:
        if path == "-":
            text = sys.stdin.read()
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read()
    except UnicodeDecodeError as error:
        raise OfctlError(f"{path}: {error}") from error
    except OSError as error:
        raise OfctlError(f"{path}: open failed ({error.strerror})") from error
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if content:
            yield f"{path}:{number}", content


def selection(switch: Switch, text: str) -> FlowMod:
    """The flows that `text` selects, as a deletion of them. OfctlError."""
    try:
        return parse_flow(text, FlowModCommand.DELETE, switch.port_names, switch.table_names, True)
    except FlowSyntaxError as error:
        raise OfctlError(said(error)) from error


def allowed_formats(switch: Switch) -> frozenset[str]:
    """The flow formats that the connection and the options leave. OfctlError: none."""
    return allowed((switch.version,), switch.settings.formats)


def _stats_form(switch: Switch) -> Form:
    """How flows are asked for: in OpenFlow 1.0 in Nicira's form, unless the options want the plain one."""
    return Form.OPENFLOW if allowed_formats(switch) == {OPENFLOW10} else switch.extended


def stats_request(switch: Switch, text: str, cls: Callable[..., Any] = FlowStatsRequest) -> Any:
    """A request for the flows that `text` selects."""
    mod = selection(switch, text)
    check_usable((mod,), allowed_formats(switch), text)
    return cls(
        match=mod.match, table_id=mod.table_id, out_port=mod.out_port, out_group=mod.out_group,
        cookie=mod.cookie, cookie_mask=mod.cookie_mask,
    )  # fmt: skip


def fetch(switch: Switch, text: str = "") -> list[FlowStats]:
    """The flows of the switch."""
    request = stats_request(switch, text)
    switch.use_nxm()
    return [flow for m in switch.ask(request, _stats_form(switch)) for flow in m.body.flows]


def dump_flows(switch: Switch, args: Args) -> None:
    """`dump-flows SWITCH [FLOW]`"""
    settings = switch.settings
    text = args[0] if args else ""
    if settings.json or (settings.stats and not settings.sort and not settings.names):
        request = stats_request(switch, text)
        form = _stats_form(switch)
        if switch.version == OFP10 and form is Form.EXTENSION:
            switch.use_nxm()
        switch.show(request, form)
        return
    flows = fetch(switch, text)
    if settings.sort:
        flows.sort(key=lambda flow: -flow.priority)
    for name, descending in reversed(settings.sort):
        flows.sort(key=_order(name, -1 if descending else 1))
    names = switch.number_names() if settings.names else None
    out = [
        format_flow_line(replace(f, idle_age=None, hard_age=None), names, stats=settings.stats) for f in flows
    ]
    sys.stdout.write(settings.shown("".join(f"{line}\n" for line in out)))


def _order(name: str, sign: int) -> Callable[[FlowStats], tuple[int, int]]:
    """What `--sort=NAME` compares: flows without the field come last, either way."""
    if name in ("", "priority"):
        return lambda f: (0, sign * f.priority)
    if name == "table":
        return lambda f: (0, sign * f.table_id)
    try:
        wanted = by_name(name)
    except KeyError:
        raise OfctlError(f"{name}: unknown field name") from None

    def key(flow: FlowStats) -> tuple[int, int]:
        return (0 if flow.match.mask.get(wanted) else 1, sign * flow.match.flow.get(wanted))

    return key


def dump_aggregate(switch: Switch, args: Args) -> None:
    """`dump-aggregate SWITCH [FLOW]`"""
    request = stats_request(switch, args[0] if args else "", AggregateStatsRequest)
    form = _stats_form(switch)
    if form is Form.EXTENSION:
        switch.use_nxm()
    switch.show(request, form)


# Changing.


def _parse(switch: Switch, text: str, command: FlowModCommand) -> FlowMod:
    try:
        return _read(switch, text, command)
    except FlowSyntaxError as error:
        raise OfctlError(said(error)) from error


def aloud(mod: FlowMod) -> FlowMod:
    """`mod`, which is sent as it was said; what will fall away from its match is logged."""
    normalize_aloud(mod.match.copy())
    return mod


def _read(switch: Switch, text: str, command: FlowModCommand) -> FlowMod:
    """The flow mod that a text is. FlowSyntaxError, OfctlError: no format that is allowed can say it."""
    mod = aloud(parse_flow_line(text, command, switch.port_names, switch.table_names, True))
    if mod.command in (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT):
        check_usable((mod,), allowed_formats(switch), text)
    return mod


def _from_file(switch: Switch, path: str, command: FlowModCommand) -> list[FlowMod]:
    found = []
    for where, text in shown(list(read_lines(path)), "reading flows"):
        try:
            found.append(_read(switch, text, command))
        except FlowSyntaxError as error:
            raise OfctlError(f"{where}: {said(error)}") from error
    return found


def change(switch: Switch, mods: Sequence[FlowMod]) -> None:
    """Send flow mods, in a bundle if that is asked for. SwitchError."""
    may = allowed_formats(switch)
    check_usable(mods, may)
    if switch.settings.bundle:
        run_bundle(switch, [(mod, Form.OPENFLOW) for mod in mods])
        return
    said_so = [(mod, form_of(mod, switch.version, may)) for mod in mods]
    if any(form is Form.EXTENSION for _, form in said_so):
        switch.use_nxm()
    if any(mod.table_id != c.OFPTT_ALL for mod in mods):
        switch.use_table_ids()
    switch.do(said_so)


def _modify(kind: str) -> Callable[[Switch, Args], None]:
    def run(switch: Switch, args: Args) -> None:
        strict = switch.settings.strict
        command = {
            "add": FlowModCommand.ADD,
            "mod": FlowModCommand.MODIFY_STRICT if strict else FlowModCommand.MODIFY,
            "del": FlowModCommand.DELETE_STRICT if strict else FlowModCommand.DELETE,
        }[kind]
        text = args[0] if args else ""
        if text == "-":
            change(switch, _from_file(switch, "-", command))
        else:
            change(switch, [_parse(switch, text, command)])

    return run


add_flow: Final = _modify("add")
mod_flows: Final = _modify("mod")
del_flows: Final = _modify("del")


def add_flows(switch: Switch, args: Args) -> None:
    """`add-flows SWITCH FILE`"""
    change(switch, _from_file(switch, args[0], FlowModCommand.ADD))


# Bundles.


def run_bundle(switch: Switch, bodies: Sequence[tuple[Any, Form]], flags: int = b.OFPBF_ORDERED) -> None:
    """Carry out requests together or not at all. SwitchError has all that was refused."""
    flags |= b.OFPBF_ATOMIC
    switch.ask(b.BundleControl(BUNDLE_ID, b.OFPBCT_OPEN_REQUEST, flags))
    for body, form in shown(bodies, "sending flows"):
        switch.send_in_bundle(BUNDLE_ID, body, form, flags)
    refused = switch.collect_errors(BarrierRequest())
    last = b.OFPBCT_DISCARD_REQUEST if refused else b.OFPBCT_COMMIT_REQUEST
    ended = switch.collect_errors(b.BundleControl(BUNDLE_ID, last, flags))
    refused = refused or ended
    if refused:
        text = "".join(f"Error {e.name} for: {format_bytes(_refused(e.data))}" for e in refused)
        raise SwitchError(f"{text}vswitch ofctl: talking to {switch.client.target} (Protocol error)\n")


def _refused(data: bytes) -> bytes:
    """The request that an error is about: the one in the bundle, if that is where it was."""
    try:
        body = decode(data).body
    except OfpError:
        return data
    return body.message if isinstance(body, b.BundleAdd) else data


def bundle(switch: Switch, args: Args) -> None:
    """`bundle SWITCH FILE`"""
    bodies: list[tuple[Any, Form]] = []
    for where, line in shown(list(read_lines(args[0])), "reading requests"):
        try:
            bodies.append((parse_bundle_line(line, switch.port_names, switch.table_names), Form.OPENFLOW))
        except FlowSyntaxError as error:
            raise OfctlError(f"{where}: {said(error)}") from error
    run_bundle(switch, bodies)


# Comparing.

Key: TypeAlias = "tuple[int, int, str]"


def _mods_by_key(mods: Iterable[FlowMod]) -> dict[Key, FlowMod]:
    """Flows to add by what tells them apart: table, priority, match."""
    found: dict[Key, FlowMod] = {}
    for mod in mods:
        table = 0 if mod.table_id == c.OFPTT_ALL else mod.table_id
        normalize(mod.match)
        found[table, mod.priority, str(mod.match)] = mod
    return found


def _as_mod(flow: FlowStats) -> FlowMod:
    return FlowMod(
        match=flow.match, priority=flow.priority, command=FlowModCommand.ADD, table_id=flow.table_id,
        actions=flow.actions, new_cookie=flow.cookie, idle_timeout=flow.idle_timeout,
        hard_timeout=flow.hard_timeout, importance=flow.importance, flags=flow.flags,
    )  # fmt: skip


def _same(a: FlowMod, b: FlowMod) -> bool:
    """Whether two flows are the same for those who compare tables: their flags are not looked at."""
    return (
        a.actions == b.actions
        and a.new_cookie == b.new_cookie
        and a.idle_timeout == b.idle_timeout
        and a.hard_timeout == b.hard_timeout
        and a.importance == b.importance
    )


def replace_flows(switch: Switch, args: Args) -> None:
    """`replace-flows SWITCH FILE`"""
    wanted = _mods_by_key(_from_file(switch, args[0], FlowModCommand.ADD))
    have = _mods_by_key(_as_mod(flow) for flow in fetch(switch))
    mods = [
        replace(mod, command=FlowModCommand.DELETE_STRICT, actions=(), flags=0, new_cookie=0)
        for key, mod in have.items()
        if key not in wanted
    ]
    mods += [
        mod
        for key, mod in wanted.items()
        if key not in have or switch.settings.readd or not _same(have[key], mod)
    ]
    # Table by table, so that none lacks its flows for long. (What names no table is table 0's.)
    mods.sort(key=lambda mod: mod.table_id % c.OFPTT_ALL)
    change(switch, mods)


def diff_flows(settings: Settings, args: Args) -> int:
    """`diff-flows SOURCE1 SOURCE2`; the exit status: 2 if they differ."""
    one, other = (_source(settings, name) for name in args)
    differ = False
    for key in sorted({*one, *other}):
        a, z = one.get(key), other.get(key)
        if a is not None and z is not None and _same(a, z):
            continue
        differ = True
        for sign, mod in (("-", a), ("+", z)):
            if mod is not None:
                sys.stdout.write(settings.shown(f"{sign}{_line(key, mod)}\n"))
    return 2 if differ else 0


def _line(key: Key, mod: FlowMod) -> str:
    words = [f"table={key[0]}"] if key[0] else []
    words.append(mod.match.format(mod.priority))
    for name, value, text in (
        ("cookie", mod.new_cookie, f"0x{mod.new_cookie:x}"),
        ("idle_timeout", mod.idle_timeout, str(mod.idle_timeout)),
        ("hard_timeout", mod.hard_timeout, str(mod.hard_timeout)),
        ("importance", mod.importance, str(mod.importance)),
    ):
        if value:
            words.append(f"{name}={text}")
    return " ".join([*words, f"actions={format_actions(mod.actions)}"])


def _source(settings: Settings, name: str) -> dict[Key, FlowMod]:
    """The flows of a switch, or of a file."""
    try:
        find_target(name)
    except OfctlError:
        found = []
        for where, text in read_lines(name):
            try:
                found.append(parse_flow_line(text, FlowModCommand.ADD, {}))
            except FlowSyntaxError as error:
                raise OfctlError(f"{where}: {said(error)}") from error
        return _mods_by_key(found)
    with Switch(name, settings) as switch:
        return _mods_by_key(_as_mod(flow) for flow in fetch(switch))
