"""The `vswitchd` command: the command line of ovs-vswitchd(8), in front of `daemon/vswitchd.py`.

Until the process has detached it loads next to nothing; the switch itself is imported in the
process that will be one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from vswitch.base import vlog, vlog_commands, vlog_syslog
from vswitch.base.records import dataclass, field, replace
from vswitch.base.vlog import Destination, Level, Vlog
from vswitch.cli.long_options import OptionError, Takes, parse
from vswitch.cli.vswitchd_usage import usage
from vswitch.daemon.process import logdir, rundir

if TYPE_CHECKING:
    from vswitch.daemon.vswitchd import Settings

log: Final = Vlog("vswitchd")

PROGRAM: Final = "ovs-vswitchd"
"""The name that ovs-appctl and ovs-ctl look for; what the command is called as does not matter."""

_NOTHING, _REQUIRED, _OPTIONAL = Takes.NOTHING, Takes.REQUIRED, Takes.OPTIONAL
LONG: Final = {
    "help": _NOTHING,
    "version": _NOTHING,
    "mlockall": _NOTHING,
    "unixctl": _REQUIRED,
    "detach": _NOTHING,
    "no-self-confinement": _NOTHING,
    "no-chdir": _NOTHING,
    "pidfile": _OPTIONAL,
    "overwrite-pidfile": _NOTHING,
    "monitor": _NOTHING,
    "user": _REQUIRED,
    "verbose": _OPTIONAL,
    "log-file": _OPTIONAL,
    "syslog-method": _REQUIRED,
    "syslog-target": _REQUIRED,
    "private-key": _REQUIRED,
    "certificate": _REQUIRED,
    "ca-cert": _REQUIRED,
    "ssl-protocols": _REQUIRED,
    "ssl-ciphers": _REQUIRED,
    "peer-ca-cert": _REQUIRED,
    "bootstrap-ca-cert": _REQUIRED,
    "enable-dummy": _OPTIONAL,
    "disable-system": _NOTHING,
    "disable-system-route": _NOTHING,
    "dpdk": _OPTIONAL,
    "dummy-numa": _REQUIRED,
}
SHORT: Final = {
    "h": "help",
    "V": "version",
    "v": "verbose",
    "p": "private-key",
    "c": "certificate",
    "C": "ca-cert",
}


@dataclass(frozen=True)
class Options:
    """The command line, checked."""

    database: str = ""
    detach: bool = False
    monitor: bool = False
    chdir: bool = True
    mlockall: bool = False
    unixctl: str = ""
    """The control socket's path; "" for the usual one (it has the process's id), "none" for none."""
    pidfile: str = ""
    overwrite_pidfile: bool = False
    user: str = ""
    log_file: str = ""
    dummy: str | None = None
    disable_system: bool = False
    system_routes: bool = True
    tls: dict[str, str] = field(default_factory=dict)


class Fatal(Exception):
    """The command can't be carried out; its text is what is printed, after the program's name."""


def version_lines() -> str:
    """The program's name and version as the switch's tools print them, and which build this is."""
    from vswitch.base.version import OVS_VERSION, VERSION
    from vswitch.cli.version import compiled_modules, python_version

    n = len(compiled_modules())
    how = f"compiled, {n} modules" if n else "interpreted"
    return (
        f"{PROGRAM} (Open vSwitch) {OVS_VERSION}\n"
        f"vswitch {VERSION} ({how}; Python {python_version()})"
    )


def _print_and_exit(text: str) -> NoReturn:
    sys.stdout.write(text)
    sys.stdout.flush()
    sys.exit(0)


def _in_rundir(path: str) -> str:
    return path if path.startswith("/") else str(rundir() / path)


def read_options(args: Sequence[str]) -> Options:
    """Read the command line and put its logging into effect, option by option. Fatal; `--help` and
    `--version` print and end the process."""
    try:
        parsed = parse(args, LONG, SHORT)
    except OptionError as e:
        raise Fatal(str(e)) from e
    options = Options()
    for name, value in parsed.options:
        options = _apply(options, name, value or "", value is not None)
    if len(parsed.arguments) > 1:
        raise Fatal("at most one non-option argument accepted; use --help for usage")
    database = parsed.arguments[0] if parsed.arguments else f"unix:{rundir()}/db.sock"
    return replace(options, database=database)


def _apply(options: Options, name: str, value: str, given: bool) -> Options:
    match name:
        case "help":
            _print_and_exit(usage(PROGRAM, str(rundir()), str(logdir())))
        case "version":
            _print_and_exit(f"{version_lines()}\n")
        case "detach":
            return replace(options, detach=True)
        case "monitor":
            return replace(options, monitor=True)
        case "mlockall":
            return replace(options, mlockall=True)
        case "no-chdir":
            return replace(options, chdir=False)
        case "overwrite-pidfile":
            return replace(options, overwrite_pidfile=True)
        case "disable-system":
            return replace(options, disable_system=True)
        case "disable-system-route":
            return replace(options, system_routes=False)
        case "pidfile":
            return replace(options, pidfile=_in_rundir(value or f"{PROGRAM}.pid"))
        case "unixctl":
            return replace(options, unixctl=value if value == "none" else _in_rundir(value))
        case "user":
            from vswitch.daemon.user import UserError, find

            try:
                find(value)
            except UserError as e:
                raise Fatal(str(e)) from e
            return replace(options, user=value)
        case "enable-dummy":
            if value not in ("", "system", "override"):
                raise Fatal(f"{value}: unknown dummy level")
            return replace(options, dummy=value)
        case "dpdk":
            raise Fatal("Using --dpdk to configure DPDK is not supported.")
        case "verbose" | "log-file" | "syslog-method" | "syslog-target":
            _logging(name, value, given)
        case "private-key" | "certificate" | "ca-cert" | "ssl-protocols" | "ssl-ciphers":
            return _tls(options, name, value)
        case "peer-ca-cert" | "bootstrap-ca-cert":
            return _tls(options, name, value)
    # The rest has no effect here: --no-self-confinement, --dummy-numa.
    return options


def _logging(name: str, value: str, given: bool) -> None:
    """Options about the log count at once: those that follow may have something to say."""
    match name:
        case "verbose":
            if wrong := vlog_commands.set_levels_from_string(value):
                raise Fatal(f'processing "{value}": {wrong}')
        case "log-file":
            path = value if given else str(logdir() / f"{PROGRAM}.log")
            try:
                vlog.set_log_file(path)
            except OSError as e:
                Vlog("vlog").warn("failed to open %s for logging: %s", path, e.strerror or e)
                sys.exit(1)
        case "syslog-method":
            try:
                vlog.set_syslogger(vlog_syslog.syslogger(value))
            except ValueError as e:
                raise Fatal(str(e)) from e
        case "syslog-target":
            try:
                address = vlog_syslog.udp_address(value)
            except ValueError as e:
                Vlog("socket_util").err("%s", e)
            else:
                vlog.set_syslog_target(vlog_syslog.SocketSyslogger(address))


_UNREADABLE: Final = {
    "private-key": "SSL_use_PrivateKey_file: %s: %s",
    "certificate": "SSL_use_certificate_file: %s: %s",
    "ca-cert": "failed to load client certificates from %s: %s",
    "peer-ca-cert": "failed to open %s for reading: %s",
}
"""What the log says of a file of these options that can't be read."""


def _tls(options: Options, name: str, value: str) -> Options:
    if name == "ca-cert" and value == "none":
        Vlog("stream_ssl").warn("Peer certificate validation disabled (this is a security risk)")
    elif name in _UNREADABLE:
        try:
            os.close(os.open(value, os.O_RDONLY))
        except OSError as e:
            Vlog("stream_ssl").err(_UNREADABLE[name], value, e.strerror or e)
    elif name == "ssl-protocols":
        from vswitch.vconn.tls_protocols import unknown_protocols

        for word in unknown_protocols(value):
            Vlog("stream_ssl").err("%s: SSL protocol not recognized", word)
    return replace(options, tls=options.tls | {name: value})


def _lock_memory() -> None:
    """`--mlockall`: everything that the process has now or later stays in RAM (mlockall(2))."""
    current, future = 1, 2
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(current | future):
        log.err("mlockall failed: %s", os.strerror(ctypes.get_errno()))


def _name_process() -> None:
    """Be called as the real daemon is in `ps` and for `pgrep`; an interpreter's name says nothing."""
    try:
        Path("/proc/self/comm").write_text(PROGRAM)
    except OSError:
        pass


def _serve(options: Options) -> int:
    """Detach, then be the switch. The number of the signal that ended it, or 0."""
    from vswitch.daemon.detach import Background

    background = Background(
        PROGRAM, detach=options.detach, monitor=options.monitor, chdir=options.chdir
    )
    _name_process()
    background.start()
    if options.mlockall:
        _lock_memory()
    from vswitch.daemon.serve import serve

    version = version_lines()
    if options.user:
        # The other user may not be able to read where Python's modules are.
        import vswitch.daemon.preload  # noqa: F401
        from vswitch.daemon.user import UserError, become

        try:
            become(options.user)
        except UserError as e:
            raise Fatal(str(e)) from e
    usual = str(rundir() / f"{PROGRAM}.{os.getpid()}.ctl")
    try:
        return serve(
            lambda: _settings(options, version),
            background.complete,
            version=version,
            unixctl_path={"": usual, "none": ""}.get(options.unixctl, options.unixctl),
            pidfile_path=options.pidfile,
            overwrite_pidfile=options.overwrite_pidfile,
        )
    except BlockingIOError as e:
        raise Fatal(f"{e.strerror}, aborting") from e
    except OSError as e:
        where = f"{e.filename}: " if e.filename else ""
        raise Fatal(f"{where}{e.strerror or e}") from e


def _settings(options: Options, version: str) -> Settings:
    """What the command line settled."""
    from vswitch.daemon.vswitchd import Settings
    from vswitch.vconn.tls import TlsSettings

    tls = options.tls
    return Settings(
        version=version,
        remote=options.database,
        dummy=options.dummy,
        disable_system=options.disable_system,
        system_routes=options.system_routes,
        tls=TlsSettings(
            private_key=tls.get("private-key", ""),
            certificate=tls.get("certificate", ""),
            ca_cert=tls.get("bootstrap-ca-cert") or tls.get("ca-cert", ""),
            bootstrap_ca_cert="bootstrap-ca-cert" in tls,
            protocols=tls.get("ssl-protocols", ""),
            ciphers=tls.get("ssl-ciphers", ""),
        ),
    )


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of `vswitchd`."""
    import time

    vlog.init(PROGRAM, time.time)
    vlog.set_levels(None, Destination.SYSLOG, Level.INFO)
    number = 0
    try:
        if method := os.environ.get("OVS_SYSLOG_METHOD"):
            _logging("syslog-method", method, True)
        number = _serve(read_options(sys.argv[1:] if args is None else args))
    except Fatal as e:
        print(f"{PROGRAM}: {e}", file=sys.stderr)
        sys.exit(1)
    if number:
        # Whoever started it is to see that a signal ended it.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
