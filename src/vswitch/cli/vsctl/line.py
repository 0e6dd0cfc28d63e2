"""A command line: what options there are, and how it falls into commands.

Options before the first command's name may be for `vsctl` or for that command; behind a `--`
only for the command that follows (ovs-vsctl(8), "SYNOPSIS"). `Context` is what a command gets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, final
from uuid import UUID, uuid4

from vswitch.base.records import dataclass, field
from vswitch.cli.tables import Table
from vswitch.cli.vsctl.errors import VsctlError
from vswitch.cli.vsctl.replica import Edit

UNLIMITED: Final = 1 << 30

NEEDS: Final = frozenset({
    "db", "timeout", "format", "data", "max-column-width", "private-key", "certificate", "ca-cert",
    "bootstrap-ca-cert", "peer-ca-cert", "ssl-protocols", "ssl-ciphers", "syslog-target", "syslog-method",
})  # fmt: skip
"""Options of `vsctl` itself that take an argument."""
MAY_HAVE: Final = frozenset({"verbose", "log-file"})
PLAIN: Final = frozenset({
    "no-wait", "no-syslog", "oneline", "dry-run", "retry", "no-headings", "pretty", "bare", "help",
    "version", "commands", "options",
})  # fmt: skip
SHORT: Final = {
    "t": "timeout", "f": "format", "d": "data", "v": "verbose", "p": "private-key", "c": "certificate",
    "C": "ca-cert", "h": "help", "V": "version",
}  # fmt: skip


@final
class Symbols:
    """The rows that names with @ stand for (`--id=@NAME`)."""

    def __init__(self) -> None:
        self._rows: dict[str, UUID] = {}
        self._made: dict[str, str] = {}
        self._mentioned: set[str] = set()

    def mention(self, name: str) -> UUID:
        """The row that a value names."""
        self._mentioned.add(name)
        return self._rows.setdefault(name, uuid4())

    def define(self, name: str, table: str, uuid: UUID | None = None) -> UUID:
        """Say which row `name` is: a new one, or the existing `uuid`."""
        if not name.startswith("@"):
            raise VsctlError(f'row id "{name}" does not begin with "@"')
        if name in self._made:
            raise VsctlError(f'row id "{name}" may only be specified on one --id option')
        self._made[name] = table
        if uuid is not None and name in self._rows and self._rows[name] != uuid:
            raise VsctlError(f'row id "{name}" specified on "get" command was used before it was defined')
        return self._rows.setdefault(name, uuid or uuid4())

    def check(self, edit: Edit, warn: Callable[[str], None]) -> None:
        """Every name must have been defined; warn of new rows that nothing will keep."""
        for name in self._rows:
            if name not in self._made:
                raise VsctlError(
                    f'row id "{name}" is referenced but never created (e.g. with "-- --id={name} create ...")'
                )
        for name, table in self._made.items():
            record = edit.find(table, self._rows[name])
            if record is None or record.told is not None or edit.schema.tables[table].is_root:
                continue
            kept, weakly = references_to(edit, record.uuid)
            if not kept:
                what = "only a weak reference" if weakly else "no reference"
                warn(
                    f'row id "{name}" was created but {what} to it was inserted,'
                    " so it will not actually appear in the database"
                )


def references_to(edit: Edit, uuid: UUID) -> tuple[bool, bool]:
    """(a strong, a weak reference to the row is there)."""
    strong = weak = False
    for name, table in edit.schema.tables.items():
        columns = [
            (column.name, base, base is column.type.value)
            for column in table.columns.values()
            for base in (column.type.key, column.type.value)
            if base is not None and base.ref_table_name
        ]
        if not columns:
            continue
        for record in edit.rows(name):
            for column_name, base, is_value in columns:
                values = record.get(column_name).values
                atoms = values.values() if is_value else values
                if record.uuid != uuid and any(atom.value == uuid for atom in atoms):
                    strong |= base.is_strong_ref()
                    weak |= base.is_weak_ref()
    return strong, weak


@dataclass
class Context:
    """What one command works with: its arguments, the transaction, and where its output goes."""

    args: Sequence[str]
    options: Mapping[str, str | None]
    edit: Edit
    symbols: Symbols
    added: list[str]
    """Names of the interfaces that the line adds: asked about when the switch has them."""
    warn: Callable[[str], None]
    text: str = ""
    table: Table | None = None
    late: Callable[[Mapping[str, UUID]], str] | None = None
    """Output that needs the UUIDs which the database gave new rows, by "uuid-name"."""

    def say(self, line: str) -> None:
        """One line of output."""
        self.text += line + "\n"

    def arg(self, n: int) -> str:
        """Argument `n`, "" if it is not there."""
        return self.args[n] if n < len(self.args) else ""


@dataclass(frozen=True)
class Syntax:
    """A command: its arguments as ovs-vsctl's `--commands` shows them, and what it does."""

    name: str
    least: int
    most: int
    arguments: str
    options: tuple[str, ...]
    run: Callable[[Context], None]


@dataclass
class Invocation:
    """A command with its arguments and options."""

    syntax: Syntax
    args: list[str]
    options: dict[str, str | None]


@dataclass
class Line:
    """A whole command line."""

    options: dict[str, str | None] = field(default_factory=dict)
    verbose: list[str] = field(default_factory=list)
    commands: list[Invocation] = field(default_factory=list)


def parse(argv: Sequence[str], commands: Mapping[str, Syntax]) -> Line:
    """Cut up a command line. VsctlError."""
    line = Line()
    local: dict[str, bool] = {}
    for syntax in commands.values():
        for option in syntax.options:
            local[option.rstrip("=")] = option.endswith("=")
    known = {**dict.fromkeys(PLAIN | MAY_HAVE, False), **dict.fromkeys(NEEDS, True), **local}
    at = 0
    first: list[tuple[str, str | None]] = []
    while at < len(argv) and argv[at].startswith("-") and argv[at] not in ("-", "--"):
        arg = argv[at]
        at += 1
        if arg.startswith("--"):
            name, equals, given = arg[2:].partition("=")
            full = _full_name(name, known)
            value: str | None = given if equals else None
            if known[full] and value is None:
                if at >= len(argv):
                    raise VsctlError(f"option '--{full}' requires an argument")
                value = argv[at]
                at += 1
            elif equals and not known[full] and full not in MAY_HAVE:
                raise VsctlError(f"option '--{full}' doesn't allow an argument")
        else:
            letter, value = arg[1], arg[2:] or None
            if letter not in SHORT:
                raise VsctlError(f"invalid option -- '{letter}'")
            full = SHORT[letter]
            if known[full] and value is None:
                if at >= len(argv):
                    raise VsctlError(f"option requires an argument -- '{letter}'")
                value = argv[at]
                at += 1
        if full in local:
            first.append((full, value))
        elif full == "verbose":
            line.verbose.append(value or "dbg")
        else:
            line.options[full] = value
    _commands(line, argv[at:], first, commands)
    return line


def _full_name(name: str, known: Mapping[str, bool]) -> str:
    if name in known:
        return name
    found = sorted(n for n in known if n.startswith(name))
    if len(found) == 1:
        return found[0]
    if found:
        listed = " ".join(f"'--{n}'" for n in found)
        raise VsctlError(f"option '--{name}' is ambiguous; possibilities: {listed}")
    raise VsctlError(f"unrecognized option '--{name}'")


def _commands(
    line: Line, rest: Sequence[str], first: list[tuple[str, str | None]], commands: Mapping[str, Syntax]
) -> None:
    if any(name in line.options for name in ("help", "version", "commands", "options")):
        return
    segments: list[list[str]] = [[]]
    for arg in rest:
        if arg == "--":
            segments.append([])
        else:
            segments[-1].append(arg)
    pending = first
    for segment in segments:
        if not segment:
            continue
        line.commands.append(_command(segment, pending, commands))
        pending = []
    if not line.commands or pending:
        raise VsctlError("missing command name (use --help for help)")


def _command(
    words: list[str], options: list[tuple[str, str | None]], commands: Mapping[str, Syntax]
) -> Invocation:
    given = list(options)
    at = 0
    while at < len(words) and words[at].startswith("-"):
        name, equals, value = words[at].partition("=")
        given.append((name.removeprefix("--"), value if equals else None))
        at += 1
    if at == len(words):
        raise VsctlError("missing command name (use --help for help)")
    name = words[at]
    syntax = commands.get(name)
    if syntax is None:
        raise VsctlError(f"unknown command '{name}'; use --help for help")
    made: dict[str, str | None] = {}
    takes = {o.rstrip("="): o.endswith("=") for o in syntax.options}
    for option, value_given in given:
        if option not in takes:
            raise VsctlError(f"'{name}' command has no '--{option}' option")
        if option in made:
            raise VsctlError(f"'--{option}' option specified multiple times")
        if takes[option] and value_given is None:
            raise VsctlError(f"missing argument to '--{option}' option on '{name}' command")
        if not takes[option] and value_given is not None:
            raise VsctlError(f"'--{option}' option on '{name}' does not accept an argument")
        made[option] = value_given
    args = words[at + 1 :]
    if len(args) < syntax.least:
        raise VsctlError(f"'{name}' command requires at least {syntax.least} arguments")
    if len(args) > syntax.most:
        hint = ' (note that options must precede command names and follow a "--" argument)'
        hint = hint if any(arg.startswith("-") for arg in args) else ""
        raise VsctlError(f"'{name}' command takes at most {syntax.most} arguments{hint}")
    return Invocation(syntax, args, made)
