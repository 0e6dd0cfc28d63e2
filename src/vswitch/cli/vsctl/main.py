"""`vswitch vsctl`: carry out a command line of ovs-vsctl's in one transaction.

The commands run against a copy of the database; if somebody else changed what they saw before
the transaction gets there, they run again (`Edit`). Their output is kept until it went through.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final
from uuid import UUID

import ovs.json
from ovs.db.schema import DbSchema

from vswitch.cli.alarm import set_alarm
from vswitch.cli.tables import DATA, FORMATS, Style
from vswitch.cli.version import version_text
from vswitch.cli.vsctl.commands import COMMANDS
from vswitch.cli.vsctl.errors import Exit, TryLater, VsctlError
from vswitch.cli.vsctl.line import Context, Invocation, Line, Symbols, parse
from vswitch.cli.vsctl.records import OWNERS
from vswitch.cli.vsctl.replica import DATABASE, ROOT, Edit, Replica, table_named
from vswitch.daemon.process import rundir
from vswitch.ovsdb.client import Client, TlsFiles
from vswitch.ovsdb.errors import Json, OvsdbError
from vswitch.ovsdb.vswitch_schema import VSWITCH

PROGRAM: Final = "vswitch vsctl"
RETRY_S: Final = 1.0
"""How long `--retry` waits before it connects again."""


def default_database() -> str:
    """The database server that is asked unless `--db` names another."""
    return f"unix:{os.environ.get('OVS_RUNDIR') or rundir()}/db.sock"


def warn(text: str) -> None:
    """One line to standard error that changes nothing."""
    print(f"{PROGRAM}: {text}", file=sys.stderr)


def style_of(line: Line) -> Style:
    """How tables are to be printed. VsctlError for a format that there is not."""
    options = line.options
    style = Style()
    if "bare" in options:
        style = Style("list", "bare", headings=False)
    if (name := options.get("format")) is not None:
        if name not in FORMATS:
            raise VsctlError(f'unknown output format "{name}"')
        style.format = name
    if (name := options.get("data")) is not None:
        if name not in DATA:
            raise VsctlError(f'unknown data format "{name}"')
        style.data = name
    if "no-headings" in options:
        style.headings = False
    style.pretty = "pretty" in options
    width = options.get("max-column-width")
    if width is not None:
        style.max_width = int(width) if width.isdigit() else 0
    return style


def set_timeout(line: Line) -> None:
    """Arrange for SIGALRM to end the process, as it ends ovs-vsctl."""
    text = line.options.get("timeout")
    if text is None:
        text = os.environ.get("OVS_CTL_TIMEOUT", "")
        if not text.isdigit() or int(text) == 0:
            return
    elif not text.isdigit() or int(text) == 0:
        raise VsctlError(f"value {text} on -t or --timeout is invalid")

    set_alarm(int(text), PROGRAM)


def open_database(line: Line) -> Client:
    """Connect to the database server, again and again with `--retry`. VsctlError."""
    target = line.options.get("db") or default_database()
    tls = TlsFiles(
        line.options.get("private-key") or "",
        line.options.get("certificate") or "",
        line.options.get("ca-cert") or line.options.get("bootstrap-ca-cert") or "",
    )
    while True:
        try:
            return Client(target, tls)
        except OSError as error:
            if "retry" not in line.options:
                raise VsctlError(
                    f"{target}: database connection failed ({error.strerror or error})"
                ) from error
            time.sleep(RETRY_S)


OVERVIEW: Final[Mapping[str, tuple[str, ...]]] = {
    ROOT: ("bridges", "manager_options", "ssl", "datapaths", "ovs_version", "next_cfg", "cur_cfg"),
    "Bridge": ("name", "ports", "controller", "fail_mode", "datapath_type", "external_ids", "auto_attach"),
    "Port": ("name", "interfaces", "tag", "trunks", "fake_bridge", "external_ids"),
    "Interface": ("name", "type", "options", "ofport", "error"),
}
"""The columns that the commands on bridges and `show` look at: the others of the biggest tables are
not fetched for them, which a switch with hundreds of ports makes worth it."""
ON_RECORDS: Final = frozenset(
    {"list", "find", "get", "set", "add", "remove", "clear", "wait-until", "destroy"}
)


def columns_for(commands: Sequence[Invocation], schema: DbSchema) -> dict[str, Iterable[str]]:
    """What has to be fetched for `commands`: table -> columns."""
    wanted: dict[str, Iterable[str]] = {name: table.columns for name, table in schema.tables.items()}
    names = {invocation.syntax.name for invocation in commands}
    if "emer-reset" in names or any(
        "@" in word for i in commands for word in (*i.args, *i.options.values()) if word
    ):
        return wanted
    whole: set[str] = set()
    for invocation in commands:
        if invocation.syntax.name in ON_RECORDS:
            name = table_named(schema, invocation.args[0]).name
            whole |= {name, OWNERS.get(name, (name,))[0]}
    # An older database may lack some.
    overview = {
        name: [column for column in columns if column in schema.tables[name].columns]
        for name, columns in OVERVIEW.items()
        if name in schema.tables and name not in whole
    }
    return {**wanted, **overview}


class Session:
    """One command line at work."""

    def __init__(self, line: Line, argv: Sequence[str]) -> None:
        self._line = line
        self._argv = argv
        self._style = style_of(line)
        self._oneline = "oneline" in line.options
        self._wait = "no-wait" not in line.options
        self._warnings: list[str] = []

    def run(self, client: Client) -> str:
        """Carry out the line; its output. VsctlError, OvsdbError, OSError, Exit."""
        replica = Replica(client, partial(columns_for, self._line.commands))
        while True:
            edit = Edit(replica)
            self._warnings = []
            try:
                contexts = self._commands(edit)
            except TryLater:
                replica.follow(client.notifications())
                continue
            uuids = self._commit(client, edit)
            if uuids is None:
                replica.follow(client.notifications(0))
                continue
            for text in self._warnings:
                warn(text)
            self._next_cfg = uuids.pop("next_cfg", None)
            output = "".join(self._output(context, uuids) for context in contexts)
            if self._next_cfg is not None:
                self._wait_for_switch(client, replica)
                self._report(replica, [name for context in contexts for name in context.added])
            return output

    def _commands(self, edit: Edit) -> list[Context]:
        """Run every command on `edit`."""
        symbols = Symbols()
        contexts = []
        for invocation in self._line.commands:
            context = Context(invocation.args, invocation.options, edit, symbols, [], self._warnings.append)
            contexts.append(context)
            invocation.syntax.run(context)
        symbols.check(edit, self._warnings.append)
        return contexts

    def _commit(self, client: Client, edit: Edit) -> dict[str, object] | None:
        """Send the transaction: the UUIDs that new rows got, or None if others were faster."""
        operations = edit.operations()
        if not operations or "dry-run" in self._line.options:
            return {}
        if self._wait:
            operations += [
                {"op": "mutate", "table": ROOT, "where": [], "mutations": [["next_cfg", "+=", 1]]},
                {"op": "select", "table": ROOT, "where": [], "columns": ["next_cfg"]},
            ]
        operations.append({"op": "comment", "comment": f"{PROGRAM}: {shlex.join(['vsctl', *self._argv])}"})
        results = client.call("transact", DATABASE, *operations)
        for result in results:
            if isinstance(result, dict) and "error" in result:
                if result["error"] == "timed out":
                    return None
                raise VsctlError(f"transaction error: {ovs.json.to_string(result, sort_keys=True)}")
        return self._told(operations, results)

    def _told(self, operations: list[Json], results: list[Json]) -> dict[str, object]:
        """What the results say: the UUID of each new row, by the one that it had here; next_cfg."""
        told: dict[str, object] = {}
        for operation, result in zip(operations, results, strict=False):
            if operation["op"] == "insert" and "uuid-name" in operation:
                mine = operation["uuid-name"].removeprefix("row").replace("_", "-")
                told[mine] = UUID(result["uuid"][1])
            elif operation["op"] == "select":
                told["next_cfg"] = result["rows"][0]["next_cfg"]
        return told

    def _output(self, context: Context, uuids: dict[str, object]) -> str:
        if context.table is not None:
            return context.table.text(self._style)
        text = context.text
        if context.late is not None:
            text += context.late({k: v for k, v in uuids.items() if isinstance(v, UUID)})
        if self._oneline:
            return text.removesuffix("\n").replace("\\", "\\\\").replace("\n", "\\n") + "\n"
        return text

    def _wait_for_switch(self, client: Client, replica: Replica) -> None:
        """Until the switch says that it has carried out what was committed."""
        wanted = self._next_cfg
        assert isinstance(wanted, int)
        while True:
            if any((row.number("cur_cfg") or 0) >= wanted for row in replica.rows[ROOT].values()):
                return
            replica.follow(client.notifications())

    def _report(self, replica: Replica, added: list[str]) -> None:
        """Say which of the interfaces that were added the switch could not set up."""
        failed = False
        for record in replica.rows["Interface"].values():
            if record.text("name") in added and record.number("ofport") in (-1, None):
                why = record.text("error")
                why = f": {why}" if why else ""
                warn(f"Error detected while setting up '{record.text('name')}'{why}."
                     "  See ovs-vswitchd log for details.")  # fmt: skip
                failed = True
        if failed and (logs := os.environ.get("OVS_LOGDIR", "/var/log/openvswitch")):
            warn(f'The default log directory is "{logs}".')


def information(line: Line) -> str | None:
    """What `--help` and its like print; None if none of them is there."""
    if "help" in line.options:
        return help_text()
    if "version" in line.options:
        return f"{PROGRAM} ({version_text()})\nDB Schema {VSWITCH['version']}\n"
    if "commands" in line.options:
        return "".join(
            f"{' '.join(f'[--{o}]' for o in s.options)}{' ' if s.options else ''},{s.name},{s.arguments}\n"
            for s in COMMANDS.values()
        )
    if "options" in line.options:
        return "".join(f"--{o}\n" for o in sorted({o for s in COMMANDS.values() for o in s.options}))
    return None


def help_text() -> str:
    """`--help`."""
    lines = [f"{PROGRAM}: configure the switch, in the words of ovs-vsctl(8)",
             f"usage: {PROGRAM} [OPTIONS] COMMAND [ARG...] [-- [OPTIONS] COMMAND [ARG...]]...", "",
             "Commands:"]  # fmt: skip
    for syntax in COMMANDS.values():
        options = "".join(f"[--{o}{'VALUE' if o.endswith('=') else ''}] " for o in syntax.options)
        words = syntax.arguments.replace("!", "").replace("+", "")
        lines.append(f"  {options}{syntax.name} {words}".rstrip())
    lines += ["", "Options:",
              "  --db=DATABASE        unix:FILE, tcp:HOST:PORT or ssl:HOST:PORT of the database server",
              f"                       (default: {default_database()})",
              "  --no-wait            do not wait for the switch to carry it out",
              "  --retry              keep trying to connect",
              "  -t, --timeout=SECS   give up after this long",
              "  --dry-run            change nothing",
              "  --oneline            one line of output a command",
              "  -f, --format=FORMAT  of tables: list, table, csv, json or html",
              "  -d, --data=FORMAT    of their cells: string, bare or json",
              "  --bare               like --format=list --data=bare --no-headings",
              "  -p, --private-key=FILE, -c, --certificate=FILE, -C, --ca-cert=FILE", ""]  # fmt: skip
    return "\n".join(lines)


def carry_out(argv: Sequence[str]) -> str:
    """Carry out a command line; its output. VsctlError, OvsdbError, OSError, Exit."""
    line = parse(argv, COMMANDS)
    said = information(line)
    if said is not None:
        return said
    session = Session(line, argv)
    set_timeout(line)
    try:
        with contextlib.closing(open_database(line)) as client:
            return session.run(client)
    finally:
        set_alarm(0, PROGRAM)


def main(argv: Sequence[str]) -> int:
    """Carry out a command line; the exit status."""
    try:
        sys.stdout.write(carry_out(argv))
        sys.stdout.flush()
    except Exit as end:
        return end.status
    except VsctlError as error:
        return _fail(str(error))
    except OvsdbError as error:
        return _fail(f"{error.tag}: {error.details}" if error.details else error.tag)
    except BrokenPipeError:
        return _broken_pipe()
    except OSError as error:
        return _fail(f"database connection failed ({error.strerror or error})")
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(text: str) -> int:
    warn(text)
    return 1


def _broken_pipe() -> int:
    """Whoever reads the output has gone: end without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
