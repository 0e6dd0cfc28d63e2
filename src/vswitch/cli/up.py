"""`vswitch up` and `vswitch down`: switch and database as one thing, with no other package.

Two processes, under the names by which the tools look for them: the embedded database server and
the switch that follows it. They start at the same time, and both detach once they serve, so that `up` returns
when everything works.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from vswitch.base.records import dataclass
from vswitch.base.unixctl import CommandError
from vswitch.cli import processes
from vswitch.cli.errors import CliError
from vswitch.cli.processes import DATABASE, SWITCH, dbdir, log_path
from vswitch.daemon.process import rundir

SELF: Final = (sys.executable, "-m", "vswitch")
START_S: Final = 60
"""How long a process may take to serve."""
END_BEGUN_S: Final = 5.0
"""How long one that shall not start after all may take until it can be told so."""
POLL_S: Final = 0.02


@dataclass(frozen=True)
class UpOptions:
    """What the command line asked for. `database` "" is the usual file."""

    bridges: Sequence[str] = ()
    ports: Sequence[str] = ()
    """"[BRIDGE:]DEVICE" to attach; the first bridge if none is named."""
    datapath: str = ""
    database: str = ""
    remotes: Sequence[str] = ()
    foreground: bool = False
    web: bool = False
    """Serve the live page too."""
    switch_options: Sequence[str] = ()
    """More options for the switch's process."""


def _database_path(options: UpOptions) -> Path:
    return Path(options.database).absolute() if options.database else dbdir() / "conf.db"


def _socket() -> Path:
    return rundir() / "db.sock"


def _database_command(options: UpOptions) -> list[str]:
    remotes = [f"punix:{_socket()}", "db:Open_vSwitch,Open_vSwitch,manager_options", *options.remotes]
    return [
        *SELF, DATABASE, "--create", *(f"--remote={r}" for r in remotes), "--pidfile", "-vconsole:emer",
        "-vsyslog:off", f"--log-file={log_path(DATABASE)}", "--private-key=db:Open_vSwitch,SSL,private_key",
        "--certificate=db:Open_vSwitch,SSL,certificate", "--ca-cert=db:Open_vSwitch,SSL,ca_cert",
        str(_database_path(options)),
    ]  # fmt: skip


def _switch_command(options: UpOptions) -> list[str]:
    return [
        *SELF, "vswitchd", "--pidfile", "-vconsole:emer", "-vsyslog:off", f"--log-file={log_path(SWITCH)}",
        *options.switch_options, f"unix:{_socket()}",
    ]  # fmt: skip


@contextlib.contextmanager
def _busy(what: str) -> Iterator[None]:
    """Say what is being done, to who looks on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(highlight=False, emoji=False, stderr=True).status(what):
        yield


def _begin(command: list[str]) -> subprocess.Popen[str]:
    """Run a command that detaches once it serves."""
    return subprocess.Popen(
        [*command[: len(SELF) + 1], "--detach", *command[len(SELF) + 1 :]],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _wait_begun(what: str, process: subprocess.Popen[str]) -> None:
    """Wait until it has detached. CliError with its last words."""
    log = log_path(what)
    try:
        errors = process.communicate(timeout=START_S)[1]
    except subprocess.TimeoutExpired:
        raise CliError(f"{what} did not start within {START_S} s; its log is {log}") from None
    if process.returncode:
        said = [line for line in errors.splitlines() if line.strip()]
        last = said[-1].removeprefix(f"{what}: ") if said else f"its log is {log}"
        raise CliError(f"{what} did not start: {last}")


def _end_begun(program: str, process: subprocess.Popen[str]) -> None:
    """End what was begun, whether it serves by now or not."""
    deadline = time.monotonic() + END_BEGUN_S
    pid = processes.running(program)
    while not pid and process.poll() is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
        pid = processes.running(program)
    if pid:
        processes.end(program, pid, *(("--cleanup",) if program == SWITCH else ()))
    elif process.poll() is None:
        process.kill()


def up(options: UpOptions) -> None:
    """Bring up what does not run yet, and make the bridges. CliError; then what was started is ended."""
    if options.foreground:
        _foreground(options)
        return
    started: dict[str, subprocess.Popen[str]] = {}
    try:
        _begin_both(options, started)
        with _busy("starting"):
            for program in (DATABASE, SWITCH):
                if program in started:
                    _wait_begun(program, started[program])
        with _busy("making bridges"):
            configure(options)
    except BaseException:
        for program in (SWITCH, DATABASE):
            if program in started:
                _end_begun(program, started[program])
        raise
    if options.web:
        _serve_page()
    pids = ", ".join(f"{name} {processes.running(name)}" for name in (DATABASE, SWITCH))
    how = "is up" if started else "was up already"
    print(f"vswitch {how} (processes: {pids}; database: {_database_path(options)}; sockets: {rundir()})")


def _begin_both(options: UpOptions, started: dict[str, subprocess.Popen[str]]) -> None:
    """Begin both at the same time, unless they run; `started` gets what was begun. CliError."""
    wanted = [DATABASE, SWITCH]
    for program in list(wanted):
        if pid := processes.running(program):
            if not processes.is_ours(program, pid):
                raise CliError(f"another {program} runs here already (pid {pid}, {rundir()})")
            wanted.remove(program)
    rundir().mkdir(parents=True, exist_ok=True)
    if DATABASE in wanted:
        with contextlib.suppress(OSError):
            # One that an earlier life left refuses whoever comes before the server.
            os.unlink(_socket())
    if SWITCH in wanted:
        started[SWITCH] = _begin(_switch_command(options))
    if DATABASE in wanted:
        started[DATABASE] = _begin(_database_command(options))


def _serve_page() -> None:
    """Start the live page's server, unless it runs; prints where. CliError."""
    if processes.running(processes.PAGE):
        return
    log = log_path(processes.PAGE)
    with open(log, "ab") as errors:
        started = subprocess.Popen(
            [*SELF, "web", "--pidfile"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            start_new_session=True,
        )  # fmt: skip
    assert started.stdout is not None
    with started.stdout as said:
        first = said.readline() if select.select([said], [], [], START_S)[0] else b""
    if not first:
        started.kill()
        raise CliError(f"{processes.PAGE} did not start; its log is {log}")
    print(first.decode().strip())


def configure(options: UpOptions) -> None:
    """Make the bridges and ports that were asked for, as one transaction. CliError."""
    words: list[str] = []
    for name in options.bridges:
        words += ["--", "--may-exist", "add-br", name]
        if options.datapath:
            words += ["--", "set", "bridge", name, f"datapath_type={options.datapath}"]
    for text in options.ports:
        bridge, colon, device = text.rpartition(":")
        if not colon:
            if not options.bridges:
                raise CliError(f"--port {text}: give a --bridge too, or BRIDGE:{text}")
            bridge, device = options.bridges[0], text
        words += ["--", "--may-exist", "add-port", bridge, device]
    if not words:
        return
    from vswitch.cli.vsctl.errors import VsctlError
    from vswitch.cli.vsctl.main import carry_out
    from vswitch.ovsdb.errors import OvsdbError

    try:
        carry_out([f"--db=unix:{_socket()}", *words])
    except (VsctlError, OvsdbError) as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"the database is gone: {error.strerror or error}") from error


# In the foreground.


def _die_with_parent() -> None:
    """Runs in a new child: SIGTERM for it when this process dies (prctl(2), PR_SET_PDEATHSIG)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@contextlib.contextmanager
def _child(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent, process_group=0
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(processes.END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _foreground(options: UpOptions) -> None:
    """Be there until SIGTERM or Ctrl-C; the processes are children of this one."""
    for program in (DATABASE, SWITCH):
        if pid := processes.running(program):
            raise CliError(f"{program} runs here already (pid {pid}, {rundir()})")
    rundir().mkdir(parents=True, exist_ok=True)
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _frame: ended.append(n))
    with (
        _child(_database_command(options)) as database,
        _child_switch(options, database) as switch,
        _child([*SELF, "web"]) if options.web else contextlib.nullcontext() as page,
    ):
        children = {DATABASE: database, SWITCH: switch, **({processes.PAGE: page} if page else {})}
        configure(options)
        what = f"vswitch is up (database: {_database_path(options)}; sockets: {rundir()})"
        print(what, file=sys.stderr, flush=True)
        while not ended:
            for name, child in children.items():
                if child.poll() is not None:
                    raise CliError(
                        f"{name} ended with status {child.returncode}; its log is {log_path(name)}"
                    )
            time.sleep(POLL_S * 10)
        from vswitch.cli.appctl import ask

        with contextlib.suppress(OSError, CommandError):
            ask(str(processes.socket_of(SWITCH, switch.pid)), "exit", "--cleanup")
        with contextlib.suppress(subprocess.TimeoutExpired):
            switch.wait(processes.END_S)


@contextlib.contextmanager
def _child_switch(options: UpOptions, database: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    _wait_for(DATABASE, database)
    with _child(_switch_command(options)) as switch:
        _wait_for(SWITCH, switch)
        yield switch


def _wait_for(program: str, child: subprocess.Popen[bytes]) -> None:
    """Wait until a child's control socket is there. CliError if it ends, or takes too long."""
    deadline = time.monotonic() + START_S
    while not processes.socket_of(program, child.pid).exists():
        if child.poll() is not None:
            raise CliError(f"{program} did not start; its log is {log_path(program)}")
        if time.monotonic() > deadline:
            raise CliError(f"{program} did not start within {START_S} s; its log is {log_path(program)}")
        time.sleep(POLL_S)


# Down.


def down(wipe: bool = False) -> None:
    """End both processes; devices, datapath and sockets go with them. The configuration stays in the
    database unless `wipe`. CliError."""
    ended = []
    with _busy("ending"):
        if page := processes.running(processes.PAGE):
            processes.end_page(page)
        for program in (SWITCH, DATABASE):
            pid = processes.running(program)
            if not pid:
                continue
            if not processes.is_ours(program, pid) and processes.alive(pid):
                raise CliError(f"{program} (pid {pid}) is no vswitch")
            processes.end(program, pid, *(("--cleanup",) if program == SWITCH else ()))
            ended.append(program)
        _sweep()
    if wipe:
        path = dbdir() / "conf.db"
        for name in (path, path.parent / f".{path.name}.~lock~"):
            with contextlib.suppress(FileNotFoundError):
                name.unlink()
    print("vswitch is down" if ended else "vswitch was not up", f"({rundir()})")


def _sweep() -> None:
    """Remove what killed processes left in the run directory."""
    for program in (SWITCH, DATABASE):
        for path in (*rundir().glob(f"{program}.*.ctl"), rundir() / f"{program}.pid"):
            pid = path.name.removeprefix(f"{program}.").removesuffix(".ctl")
            if path.suffix == ".pid" or (pid.isdigit() and not processes.alive(int(pid))):
                with contextlib.suppress(OSError):
                    path.unlink()
    if not processes.running(DATABASE):
        with contextlib.suppress(OSError):
            os.unlink(_socket())
