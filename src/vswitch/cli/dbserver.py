"""`vswitch ovsdb-server`: the embedded database server as a process, with ovsdb-server(1)'s options.

It is found and asked under the name that the tools expect: `ovs-appctl -t ovsdb-server`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, final

from vswitch.base import vlog, vlog_commands
from vswitch.base.clock import Clock
from vswitch.base.records import dataclass, field
from vswitch.base.vlog import Destination, Level, Vlog
from vswitch.cli.long_options import OptionError, Takes, parse
from vswitch.cli.processes import dbdir
from vswitch.cli.version import version_text
from vswitch.daemon.daemon import Daemon
from vswitch.daemon.detach import Background
from vswitch.daemon.mainloop import Part
from vswitch.daemon.process import logdir, rundir
from vswitch.ovsdb import commands
from vswitch.ovsdb.configured import Configured, parse_column
from vswitch.ovsdb.errors import OvsdbError
from vswitch.ovsdb.operations import execute
from vswitch.ovsdb.remotes import Remotes
from vswitch.ovsdb.server import Server
from vswitch.vconn.tls import TlsSettings

log: Final = Vlog("ovsdb_server")

PROGRAM: Final = "ovsdb-server"
IDLE_MS: Final = 3_600_000

_NOTHING, _REQUIRED, _OPTIONAL = Takes.NOTHING, Takes.REQUIRED, Takes.OPTIONAL
LONG: Final = {
    "remote": _REQUIRED, "unixctl": _REQUIRED, "no-dbs": _NOTHING, "detach": _NOTHING, "no-chdir": _NOTHING,
    "pidfile": _OPTIONAL, "overwrite-pidfile": _NOTHING, "monitor": _NOTHING, "no-self-confinement": _NOTHING,
    "verbose": _OPTIONAL, "log-file": _OPTIONAL, "private-key": _REQUIRED, "certificate": _REQUIRED,
    "ca-cert": _REQUIRED, "bootstrap-ca-cert": _REQUIRED, "peer-ca-cert": _REQUIRED,
    "ssl-protocols": _REQUIRED, "ssl-ciphers": _REQUIRED, "disable-file-column-diff": _NOTHING,
    "create": _NOTHING, "help": _NOTHING, "version": _NOTHING,
}  # fmt: skip
SHORT: Final = {"h": "help", "V": "version", "v": "verbose", "p": "private-key", "c": "certificate",
                "C": "ca-cert"}  # fmt: skip


class Fatal(Exception):
    """The server can't run; the text says why."""


@dataclass
class Options:
    """What the command line asked for."""

    databases: list[str] = field(default_factory=list)
    remotes: list[str] = field(default_factory=list)
    unixctl: str = ""
    pidfile: str = ""
    log_file: str | None = None
    verbose: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    tls: dict[str, str] = field(default_factory=dict)


def read_options(argv: Sequence[str]) -> Options:
    """Read the command line. Fatal."""
    try:
        parsed = parse(argv, LONG, SHORT)
    except OptionError as error:
        raise Fatal(str(error)) from error
    options = Options(databases=list(parsed.arguments))
    for name, value in parsed.options:
        if name == "remote":
            options.remotes.append(value or "")
        elif name == "unixctl":
            options.unixctl = value or ""
        elif name == "pidfile":
            options.pidfile = str(rundir() / (value or f"{PROGRAM}.pid"))
        elif name == "log-file":
            options.log_file = value or str(logdir() / f"{PROGRAM}.log")
        elif name == "verbose":
            options.verbose.append(value or "dbg")
        elif value is not None:
            options.tls[name] = value
        else:
            options.flags.add(name)
    if not options.databases and "no-dbs" not in options.flags:
        options.databases = [str(dbdir() / "conf.db")]
    return options


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's loop where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@final
class DbServer:
    """The server in its process. Its sockets are the event loop's; as a `Part` it has nothing to do."""

    def __init__(self, options: Options, clock: Clock, serving: Callable[[], None]) -> None:
        self._options = options
        self._serving = serving
        self._server = Server(clock)
        self._columns: dict[str, Configured] = {}
        self._remotes: Remotes | None = None

    def start(self, daemon: Daemon) -> Part:
        """Open the databases and the sockets. Fatal."""
        for path in self._options.databases:
            try:
                if "create" in self._options.flags:
                    self._open_or_create(Path(path))
                elif not Path(path).exists():
                    raise Fatal(f"{path}: there is no such database")
                else:
                    self._server.open(Path(path))
            except OvsdbError as error:
                raise Fatal(error.details or error.tag) from error
            except ValueError as error:
                raise Fatal(str(error)) from error
            except OSError as error:
                raise Fatal(f"{path}: {error.strerror or error}") from error
        for name, value in self._options.tls.items():
            if value.startswith("db:"):
                self._columns[name] = self._column(value)
        self._remotes = Remotes(self._server, self._tls)
        for remote in self._options.remotes:
            try:
                self._remotes.add(remote)
            except ValueError as error:
                raise Fatal(str(error)) from error
            except OSError as error:
                raise Fatal(f"{remote}: listen failed: {error.strerror or error}") from error
        commands.register(daemon.commands, self._server, self._sockets)
        daemon.memory.register(self._server.memory)
        log.info("%s (%s)", PROGRAM, version_text())
        self._serving()
        return self

    def _open_or_create(self, path: Path) -> None:
        """Open a database of Open vSwitch, made if it is not there, with the row of the switch's
        configuration, which clients that aren't ovs-vsctl expect. OvsdbError, ValueError, OSError."""
        from vswitch.ovsdb.vswitch_schema import VSWITCH

        path.parent.mkdir(parents=True, exist_ok=True)
        self._server.open(path, VSWITCH)
        db = self._server.databases.get(VSWITCH["name"])
        if db is not None and not db.tables["Open_vSwitch"]:
            execute(db, [{"op": "insert", "table": "Open_vSwitch", "row": {}}])

    def _sockets(self) -> Remotes:
        assert self._remotes is not None
        return self._remotes

    def _column(self, name: str) -> Configured:
        try:
            return parse_column(self._server, name)
        except ValueError as error:
            raise Fatal(str(error)) from error

    def _tls(self) -> TlsSettings:
        def setting(name: str) -> str:
            column = self._columns.get(name)
            return column.text() if column is not None else self._options.tls.get(name, "")

        bootstrap = setting("bootstrap-ca-cert")
        return TlsSettings(
            private_key=setting("private-key"),
            certificate=setting("certificate"),
            ca_cert=bootstrap or setting("ca-cert"),
            bootstrap_ca_cert=bool(bootstrap),
            protocols=setting("ssl-protocols"),
            ciphers=setting("ssl-ciphers"),
        )

    def close(self) -> None:
        """Let go of sockets and files."""
        if self._remotes is not None:
            self._remotes.close()
        self._server.close()

    def run(self, now: int) -> bool:
        """Nothing: what is to be done comes through the loop."""
        return False

    def wakeup(self, now: int) -> int:
        """Never."""
        return now + IDLE_MS

    def fds(self) -> list[int]:
        """None."""
        return []

    def write_fds(self) -> list[int]:
        """None."""
        return []


def serve(options: Options) -> int:
    """Be the server until told to end: the number of the signal that ended it, or 0. Fatal."""
    background = Background(
        PROGRAM,
        detach="detach" in options.flags,
        monitor="monitor" in options.flags,
        chdir="no-chdir" not in options.flags,
    )
    background.start()
    clock = Clock()
    server = DbServer(options, clock, background.complete)
    unixctl = options.unixctl or f"{PROGRAM}.{os.getpid()}.ctl"
    daemon = Daemon(
        version=f"{PROGRAM} ({version_text()})",
        clock=clock,
        unixctl_path="" if unixctl == "none" else str(rundir() / unixctl),
        pidfile_path=options.pidfile,
        overwrite_pidfile="overwrite-pidfile" in options.flags,
    )
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            daemon.run(server.start, server.close, runner.get_loop())
    except BlockingIOError as error:
        raise Fatal(f"{error.strerror}, aborting") from error
    except OSError as error:
        raise Fatal(str(error.strerror or error)) from error
    return daemon.signal


def usage() -> str:
    """`--help`."""
    return (
        f"vswitch {PROGRAM}: the embedded database server\n"
        f"usage: vswitch {PROGRAM} [OPTIONS] [DATABASE...]\n"
        f"where each DATABASE is a database file (default: {dbdir()}/conf.db)\n\n"
        "  --remote=REMOTE          punix:FILE, ptcp:PORT[:IP], pssl:PORT[:IP], unix:FILE, tcp:HOST:PORT,\n"
        "                           ssl:HOST:PORT or db:DATABASE,TABLE,COLUMN; again for more\n"
        "  --create                 make a DATABASE that is not there, of Open vSwitch's schema\n"
        "  --detach, --no-chdir, --pidfile[=FILE], --overwrite-pidfile, --monitor, --unixctl=SOCKET\n"
        "  -vSPEC, --verbose=SPEC, --log-file[=FILE]\n"
        "  -p, --private-key=FILE, -c, --certificate=FILE, -C, --ca-cert=FILE, --bootstrap-ca-cert=FILE\n"
        "                           each also as db:DATABASE,TABLE,COLUMN\n"
        "  --ssl-protocols=LIST, --ssl-ciphers=LIST\n"
    )


def main(argv: Sequence[str]) -> int:
    """Carry out `vswitch ovsdb-server`; the exit status."""
    vlog.init(PROGRAM, time.time)
    vlog.set_levels(None, Destination.SYSLOG, Level.INFO)
    number = 0
    try:
        options = read_options(argv)
        if "help" in options.flags:
            sys.stdout.write(usage())
            return 0
        if "version" in options.flags:
            print(f"{PROGRAM} ({version_text()})")
            return 0
        for spec in options.verbose:
            if wrong := vlog_commands.set_levels_from_string(spec):
                raise Fatal(f'processing "{spec}": {wrong}')
        if options.log_file is not None:
            try:
                vlog.set_log_file(options.log_file)
            except OSError as error:
                raise Fatal(f"can't log to {options.log_file}: {error.strerror or error}") from error
        options.databases = [os.path.abspath(path) for path in options.databases]
        number = serve(options)
    except Fatal as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    if number:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return 0
