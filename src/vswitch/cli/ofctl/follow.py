"""What comes on a connection, printed until it ends: `monitor` and `snoop`, in the foreground or as a daemon.

Either way the process is one that `ovs-appctl -t ovs-ofctl` can talk to (ovs-ofctl(8), "RUNTIME MANAGEMENT
COMMANDS"). Messages are printed to standard error, as ovs-ofctl does, and a daemon keeps it; as JSON to
standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO, final

from vswitch.base import vlog
from vswitch.base.clock import Clock
from vswitch.base.unixctl import CommandError
from vswitch.base.version import OVS_VERSION
from vswitch.cli.ofctl.switch import OfctlError, Switch
from vswitch.daemon.daemon import Daemon
from vswitch.daemon.detach import Background
from vswitch.daemon.process import logdir, rundir
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.errors import OfpError
from vswitch.openflow.message_value import message_value
from vswitch.openflow.messages.packet import PacketIn, Resume
from vswitch.openflow.messages.session import BarrierReply, BarrierRequest
from vswitch.openflow.packet_out_text import parse_packet_out
from vswitch.openflow.print import format_bytes, format_message
from vswitch.openflow.wire.codec import Message, encode
from vswitch.openflow.wire.messages_base import Form
from vswitch.vconn.client import ClientError

PROGRAM: Final = "ovs-ofctl"
"""The name that ovs-appctl finds the process by."""
OPENFLOW_HEADER: Final = 8
IDLE_MS: Final = 3600_000
STDOUT, STDERR = 1, 2


@final
class Follower:
    """A `Part` of the daemon: prints what comes. With `resume` a packet that waits for its controller goes on
    when it has been printed."""

    def __init__(self, switch: Switch, daemon: Daemon, resume: bool) -> None:
        self._switch = switch
        self._client = switch.client
        self._daemon = daemon
        self._resume = resume
        self._names = switch.number_names() if switch.settings.names else None
        self._out: TextIO = sys.stdout if switch.settings.json else sys.stderr
        self._blocked = False
        self.ended = ""
        """How the connection ended, once it has."""
        daemon.commands.register_all((
            ("ofctl/send", "OFMSG...", 1, 1 << 30, self._send),
            ("ofctl/packet-out", '"in_port=<port> packet=<hex data> actions=..."', 1, 1, self._packet_out),
            ("ofctl/barrier", "", 0, 0, self._barrier),
            ("ofctl/set-output-file", "FILE", 1, 1, self._set_output_file),
            ("ofctl/block", "", 0, 0, lambda _args: self._block(True)),
            ("ofctl/unblock", "", 0, 0, lambda _args: self._block(False)),
        ))  # fmt: skip

    # The daemon's part.

    def run(self, now: int) -> bool:
        while not self._blocked and not self.ended:
            try:
                message = self._client.recv(0)
            except ClientError as error:
                self._end(error)
                break
            if message is None:
                break
            self._print(message)
        return False

    def wakeup(self, now: int) -> int:
        return now + IDLE_MS

    def fds(self) -> list[int]:
        return [] if self._blocked or self.ended else [self._client.fd]

    def write_fds(self) -> list[int]:
        return [self._client.fd] if self._client.sending and not self.ended else []

    def _end(self, error: ClientError) -> None:
        self.ended = f"{self._switch.name}: {str(error).rpartition(': ')[2]}"
        self._daemon.stop("the connection ended")

    # Printing.

    def _print(self, message: Message) -> None:
        settings = self._switch.settings
        if settings.json:
            self._write(json.dumps(message_value(message)) + "\n")
        else:
            stamp = f"{datetime.now():%Y-%m-%d %H:%M:%S.%f}"[:-3] + ": " if settings.timestamp else ""
            text = format_message(message, settings.verbosity + 2, self._names)
            self._write(stamp + settings.shown(text))
        if self._resume and isinstance(message.body, PacketIn) and message.body.continuation:
            data = encode(Resume(message.body), self._client.version, 0, Form.OPENFLOW)
            self._write("send: " + settings.shown(format_bytes(data, settings.verbosity + 2, self._names)))
            self._client.send_bytes(data)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    # Commands.

    def _send(self, args: Sequence[str]) -> str:
        for text in args:
            try:
                data = bytes.fromhex(text)
            except ValueError:
                raise CommandError("Trailing garbage in hex data") from None
            if len(data) < OPENFLOW_HEADER:
                raise CommandError("Message too short for OpenFlow")
            self._write("send: " + format_bytes(data, self._switch.settings.verbosity + 1, self._names))
            self._client.send_bytes(data)
        return "sent\n" * len(args)

    def _packet_out(self, args: Sequence[str]) -> str:
        try:
            body = parse_packet_out(args[0], self._switch.port_names)
            data = encode(body, self._client.version, 0, Form.OPENFLOW)
        except FlowSyntaxError as error:
            raise CommandError(error.message) from error
        except OfpError as error:
            raise CommandError(str(error)) from error
        self._write(format_bytes(data, self._switch.settings.verbosity, self._names))
        self._client.send_bytes(data)
        return ""

    def _barrier(self, _args: Sequence[str]) -> str:
        """Its answer is printed behind all that came before it."""
        try:
            xid = self._client.send(BarrierRequest())
            while True:
                message = self._client.recv()
                if message is None:
                    raise CommandError("barrier: no answer")
                self._print(message)
                if message.xid == xid and isinstance(message.body, BarrierReply):
                    return ""
        except ClientError as error:
            self._end(error)
            raise CommandError(str(error)) from error

    def _set_output_file(self, args: Sequence[str]) -> str:
        try:
            file = Path(args[0]).open("w")  # noqa: SIM115
        except OSError as error:
            raise CommandError(error.strerror or str(error)) from error
        before, self._out = self._out, file
        if before not in (sys.stdout, sys.stderr):
            before.close()
        return ""

    def _block(self, blocked: bool) -> str:
        self._blocked = blocked
        return ""


def _in_rundir(path: str) -> str:
    return path if path.startswith("/") else str(rundir() / path)


def follow(switch: Switch, resume: bool = False) -> None:
    """Print what comes until the connection ends or somebody ends this. OfctlError."""
    process = switch.settings.process
    vlog.init(PROGRAM, time.time)
    if process.log_file is not None:
        try:
            vlog.set_log_file(process.log_file or str(logdir() / f"{PROGRAM}.log"))
        except OSError as error:
            raise OfctlError(f"{process.log_file}: {error.strerror}") from error
    background = Background(
        PROGRAM, detach=process.detach, monitor=process.monitor, chdir=process.chdir,
        keep=(STDOUT, STDERR) if switch.settings.json else (STDERR,),
    )
    background.start()
    usual = f"{PROGRAM}.{os.getpid()}.ctl"
    daemon = Daemon(
        version=f"{PROGRAM} (Open vSwitch) {OVS_VERSION}", clock=Clock(),
        unixctl_path="" if process.unixctl == "none" else _in_rundir(process.unixctl or usual),
        pidfile_path="" if process.pidfile is None else _in_rundir(process.pidfile or f"{PROGRAM}.pid"),
        overwrite_pidfile=process.overwrite_pidfile,
    )  # fmt: skip
    made: list[Follower] = []

    def start(daemon: Daemon) -> Follower:
        made.append(Follower(switch, daemon, resume))
        background.complete()
        return made[0]

    try:
        daemon.run(start, lambda: None)
    except BlockingIOError as error:
        raise OfctlError(f"{error.strerror}, aborting") from error
    except OSError as error:
        raise OfctlError(str(error.strerror or error)) from error
    if daemon.signal:
        signal.signal(daemon.signal, signal.SIG_DFL)
        os.kill(os.getpid(), daemon.signal)
    if made[0].ended:
        raise OfctlError(made[0].ended)
