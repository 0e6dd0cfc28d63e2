"""Flows as text, both ways, in ovs-ofctl's syntax (ovs-ofctl(8), "Flow Syntax").

`parse_flow` reads one flow, `parse_flow_file` a file of them (the first word of a line may say
"add", "delete"...). `format_flow_stats` prints a flow as `ovs-ofctl dump-flows` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_match_word
from vswitch.flow.syntax import FlowSyntaxError, Word, parse_integer, split_words
from vswitch.flow.values import c_hex, parse_port
from vswitch.openflow import constants as c
from vswitch.openflow.action_check import check_actions
from vswitch.openflow.action_text import format_actions, parse_actions
from vswitch.openflow.action_words import bounded, table_number, u64
from vswitch.openflow.actions import Action, Actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import COOKIE_NONE, FlowMod, FlowModCommand
from vswitch.openflow.normal import normalize_aloud

COMMANDS: Final = {
    "add": FlowModCommand.ADD,
    "modify": FlowModCommand.MODIFY,
    "mod": FlowModCommand.MODIFY,
    "modify_strict": FlowModCommand.MODIFY_STRICT,
    "delete": FlowModCommand.DELETE,
    "del": FlowModCommand.DELETE,
    "delete_strict": FlowModCommand.DELETE_STRICT,
}
FLAGS: Final = {
    "send_flow_rem": c.OFPFF_SEND_FLOW_REM,
    "check_overlap": c.OFPFF_CHECK_OVERLAP,
    "reset_counts": c.OFPFF_RESET_COUNTS,
    "no_packet_counts": c.OFPFF_NO_PKT_COUNTS,
    "no_byte_counts": c.OFPFF_NO_BYT_COUNTS,
}
_TIMEOUTS: Final = ("idle_timeout", "hard_timeout")
_OUTPUTS: Final = ("out_port", "out_group")
ALLOWED: Final[dict[FlowModCommand, frozenset[str]]] = {
    FlowModCommand.ADD: frozenset(("priority", *_TIMEOUTS, "importance", *FLAGS)),
    FlowModCommand.MODIFY: frozenset(("priority", *_TIMEOUTS, *FLAGS)),
    FlowModCommand.MODIFY_STRICT: frozenset(("priority", *_TIMEOUTS, *FLAGS)),
    FlowModCommand.DELETE: frozenset(_OUTPUTS),
    FlowModCommand.DELETE_STRICT: frozenset(("priority", *_OUTPUTS)),
}
"""Beside the match, "table", "cookie" and what is ignored: the words that a command takes. Another one would
be about something that the command doesn't do, so that "delete priority=10" would delete every flow. A
selection of flows to list is that of a loose deletion."""
GROUPS: Final = {"any": c.OFPG_ANY, "all": c.OFPG_ALL}
IGNORED: Final = ("duration", "n_packets", "n_bytes", "idle_age", "hard_age")
"""What dump-flows prints of a flow and a new flow doesn't have."""
_RESTRICTED: Final = frozenset().union(*ALLOWED.values())


def parse_flow(text: str, command: FlowModCommand = FlowModCommand.ADD,
               ports: Mapping[str, int] | None = None,
               tables: Mapping[str, int] | None = None, as_said: bool = False) -> FlowMod:
    """The flow mod that `text` describes; `ports` and `tables` map names to numbers.

    Its match is normalized, unless it is wanted `as_said`: the fixed matches of OpenFlow 1.0 and 1.1 say so.

    FlowSyntaxError names and points at the bad word.
    """
    fm = FlowMod(command=command)
    head, actions_at = _split_actions(text, command)
    match = fm.match
    for word in split_words(head):
        try:
            if not _parse_own(fm, word, ports, tables) and not parse_match_word(match, word, ports):
                raise FlowSyntaxError(*_unknown(word))
        except FlowSyntaxError as error:
            if error.position >= 0:
                raise
            raise error.within(text, word.value_at if error.word != word.key else word.position) from None
    _finish_cookie(fm)
    if not as_said:
        normalize_aloud(match)
    if actions_at >= 0:
        fm.actions = _parse_flow_actions(text, actions_at, ports, tables)
        try:
            check_actions(fm.actions, match, table_id=fm.table_id)
        except OfpError as error:
            message = f"actions are invalid with specified match ({error.name})"
            raise FlowSyntaxError(message, text[actions_at:], text, actions_at) from error
    return fm


def _split_actions(text: str, command: FlowModCommand) -> tuple[str, int]:
    """What comes before "actions=", and where the actions begin, -1 if none are given."""
    if command in (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT):
        return text, -1
    at = text.find("action")
    while at >= 0:
        end = at + (7 if text.startswith("actions", at) else 6)
        if end < len(text) and text[end] in "=:" and (at == 0 or text[at - 1] in ", \t"):
            return text[:at], end + 1
        at = text.find("action", at + 1)
    raise FlowSyntaxError("must specify an action", "", text, len(text))


def _unknown(word: Word) -> tuple[str, str]:
    if not word.delimiter:
        return f"field {word.key} missing value", word.key
    return f"unknown keyword {word.key}", word.key


def _parse_own(fm: FlowMod, word: Word, ports: Mapping[str, int] | None,
               tables: Mapping[str, int] | None) -> bool:
    """Take `word` if it is about the flow rather than the packet."""
    key, value = word.key, word.value
    if key in _RESTRICTED and key not in ALLOWED[fm.command]:
        return False
    if key in FLAGS and not word.delimiter:
        fm.flags |= FLAGS[key]
    elif key == "allow_hidden_fields" and not word.delimiter:
        fm.flags |= c.OFPFF_HIDDEN_FIELDS
    elif not word.delimiter:
        return False
    elif key == "table":
        number = table_number(value, tables)
        if number is None:
            raise FlowSyntaxError(f'unknown table "{value}"', value)
        fm.table_id = number
    elif key == "priority":
        fm.priority = bounded(value, 16, "priority")
    elif key in ("idle_timeout", "hard_timeout", "importance"):
        setattr(fm, key, bounded(value, 16, key))
    elif key == "out_port":
        port = parse_port(value, ports)
        if port is None:
            raise FlowSyntaxError(f"{value} is not a valid OpenFlow port", value)
        fm.out_port = port
    elif key == "out_group":
        fm.out_group = group_number(value)
    elif key == "cookie":
        _parse_cookie(fm, value)
    elif key in IGNORED:
        pass
    else:
        return False
    return True


def group_number(text: str) -> int:
    """A group in a selection: a number, "any" or "all". FlowSyntaxError."""
    number = GROUPS.get(text.lower(), parse_integer(text))
    if number is None or (number >= c.OFPG_MAX and text.lower() not in GROUPS):
        raise FlowSyntaxError(f"{text} is not a valid OpenFlow group", text)
    return number


def _parse_cookie(fm: FlowMod, text: str) -> None:
    value, slash, mask = text.partition("/")
    if slash:
        if fm.command == FlowModCommand.ADD:
            raise FlowSyntaxError("flow additions cannot use a cookie mask", text)
        fm.cookie = 0 if value == "-1" else u64(value)
        fm.cookie_mask = 0xFFFFFFFFFFFFFFFF if mask == "-1" else u64(mask)
        if value == "-1":
            fm.cookie = 0xFFFFFFFFFFFFFFFF
        return
    if fm.command in (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT):
        message = f"cannot set cookie (to match on a cookie, specify a mask, e.g. cookie={text}/-1)"
        raise FlowSyntaxError(message, text)
    fm.new_cookie = u64(text)
    fm.modify_cookie = True


def _finish_cookie(fm: FlowMod) -> None:
    """A modification that gives no new cookie leaves cookies alone; one with a mask adds nothing."""
    if fm.command != FlowModCommand.ADD and fm.cookie_mask and not fm.modify_cookie:
        fm.new_cookie = COOKIE_NONE


def _parse_flow_actions(text: str, at: int, ports: Mapping[str, int] | None,
                        tables: Mapping[str, int] | None) -> Actions:
    try:
        return parse_actions(text[at:], ports, tables)
    except FlowSyntaxError as error:
        position = error.position + at if error.position >= 0 else at
        raise FlowSyntaxError(error.message, error.word, text, position) from None


def parse_flow_line(line: str, command: FlowModCommand = FlowModCommand.ADD,
                    ports: Mapping[str, int] | None = None,
                    tables: Mapping[str, int] | None = None, as_said: bool = False) -> FlowMod:
    """A flow that may begin with its command (`parse_flow`): "delete ip", "add priority=1,actions=drop"."""
    stripped = line.lstrip()
    first, _, rest = stripped.partition(" ")
    if first in COMMANDS:
        return parse_flow(rest, COMMANDS[first], ports, tables, as_said)
    return parse_flow(stripped, command, ports, tables, as_said)


def parse_flow_file(lines: Iterable[str] | str, command: FlowModCommand = FlowModCommand.ADD,
                    ports: Mapping[str, int] | None = None,
                    tables: Mapping[str, int] | None = None) -> list[FlowMod]:
    """The flows of a file, one a line; "#" begins a comment. FlowSyntaxError says in which line."""
    if isinstance(lines, str):
        lines = lines.splitlines()
    found = []
    for number, line in enumerate(lines, 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        try:
            found.append(parse_flow_line(content, command, ports, tables))
        except FlowSyntaxError as error:
            message = f"line {number}: {error.message}"
            raise FlowSyntaxError(message, error.word, error.text, error.position) from None
    return found


def format_duration(ms: int) -> str:
    """Seconds with as many decimals as they take: "0.12s", "3s"."""
    seconds, rest = divmod(ms, 1000)
    if rest:
        return f"{seconds}.{rest:03d}".rstrip("0") + "s"
    return f"{seconds}s"


def format_flow(match: Match, actions: Iterable[Action], priority: int = 32768, *, table_id: int = 0,
                cookie: int = 0, idle_timeout: int = 0, hard_timeout: int = 0,
                importance: int = 0, flags: int = 0, duration_ms: int = -1, n_packets: int = 0,
                n_bytes: int = 0, idle_age: int = -1, hard_age: int = -1, stats: bool = True,
                names: Mapping[int, str] | None = None) -> str:
    """One flow as `ovs-ofctl dump-flows` prints it; `stats` False as with --no-stats.

    `duration_ms` is how long it is there, `idle_age` and `hard_age` (s, -1 for none) since it
    was used and last modified.
    """
    words = []
    if stats or cookie:
        words.append(f"cookie=0x{cookie:x}")
    if stats:
        words.append(f"duration={format_duration(max(duration_ms, 0))}")
    if stats or table_id:
        words.append(f"table={table_id}")
    if stats:
        words += [f"n_packets={n_packets}", f"n_bytes={n_bytes}"]
    if idle_timeout:
        words.append(f"idle_timeout={idle_timeout}")
    if hard_timeout:
        words.append(f"hard_timeout={hard_timeout}")
    front = "".join(f"{word}, " for word in words)
    front += "".join(f"{name} " for name, bit in FLAGS.items() if flags & bit)
    if importance:
        front += f"importance={importance}, "
    if stats and idle_age >= 0:
        front += f"idle_age={idle_age}, "
    if stats and hard_age >= 0:
        front += f"hard_age={hard_age}, "
    shown = match.format(priority, names)
    return f" {front}{shown}{' ' if shown else ''}actions={format_actions(actions, names)}"


__all__ = [
    "COMMANDS",
    "FLAGS",
    "c_hex",
    "format_duration",
    "format_flow",
    "parse_flow",
    "parse_flow_file",
    "parse_flow_line",
]
