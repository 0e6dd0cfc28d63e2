"""`Switch`: the connection of one command, with requests that print their replies.

In OpenFlow 1.0 flows, groups and packet-ins are told in Nicira's extensions, as ovs-ofctl does:
1.0 itself has words for few of them.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, final

from vswitch.base.clock import Clock
from vswitch.base.records import dataclass, field
from vswitch.cli.ofctl.color import Painter
from vswitch.cli.ofctl.progress import shown
from vswitch.daemon.process import rundir
from vswitch.openflow.action_format import Names
from vswitch.openflow.message_value import message_value
from vswitch.openflow.messages.bundle import BundleAdd
from vswitch.openflow.messages.nicira import NXFF_NXM, FlowModTableId, SetFlowFormat
from vswitch.openflow.messages.port import Port, PortDescRequest
from vswitch.openflow.messages.session import BarrierReply, BarrierRequest, Error
from vswitch.openflow.messages.table import TableFeaturesRequest, TableStatsRequest
from vswitch.openflow.print import format_message
from vswitch.openflow.wire.codec import Message, encode
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP13, VERSION_NAMES
from vswitch.vconn.client import Client, ClientError
from vswitch.vconn.settings import ACTIVE
from vswitch.vconn.tls import Tls, TlsSettings

LONG_S: Final = 24 * 3600.0
"""How long an answer may take: `--timeout` is what limits a command."""


class OfctlError(Exception):
    """The command can't be carried out; its text is the message, in ovs-ofctl's words."""


class SwitchError(Exception):
    """The switch refused a request: `text` is its message, printed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass
class Process:
    """How a command that goes on for long is to be a process (ovs-ofctl(8), "Daemon Options")."""

    detach: bool = False
    monitor: bool = False
    chdir: bool = True
    pidfile: str | None = None
    """None: it has none; "": the usual one. Relative to the run directory, as `unixctl` is."""
    overwrite_pidfile: bool = False
    unixctl: str = ""
    """ "none" is none, "" the usual one."""
    log_file: str | None = None


@dataclass
class Settings:
    """What the options ask for."""

    versions: tuple[int, ...] = (OFP10,)
    strict: bool = False
    bundle: bool = False
    readd: bool = False
    names: bool = False
    stats: bool = True
    may_create: bool = False
    timestamp: bool = False
    verbosity: int = 0
    """As ofp-print's: 0 nothing extra, above that more."""
    sort: list[tuple[str, bool]] = field(default_factory=list)
    """(field, whether descending)."""
    packet_in_format: str = ""
    tls: TlsSettings = field(default_factory=TlsSettings)
    asked_versions: bool = False
    formats: frozenset[str] | None = None
    """What `-F` says of flow formats (`formats.py`); None if it isn't given."""
    json: bool = False
    """Whether answers are printed as JSON, an object a message and a line."""
    process: Process = field(default_factory=Process)
    painter: Painter | None = None
    """What gives the output its colours; None: it has none."""

    def shown(self, text: str) -> str:
        """A text as it is printed."""
        return text if self.painter is None else self.painter.paint(text)


def find_target(name: str, suffix: str = "mgmt") -> str:
    """The connection method for SWITCH: one already, a bridge of this machine, or a socket. OfctlError."""
    if name.partition(":")[0] in ACTIVE and ":" in name:
        return name
    path = name if "/" in name else str(rundir() / f"{name}.{suffix}")
    for candidate in (path, name):
        try:
            if stat.S_ISSOCK(os.stat(candidate).st_mode):
                return f"unix:{candidate}"
        except OSError:
            continue
    raise OfctlError(f"{name} is not a bridge or a socket")


class TableNames(Mapping[str, int]):
    """Table name -> number, asked of the switch when the first name is looked up."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._known: dict[str, int] | None = None

    def _ask(self) -> dict[str, int]:
        if self._known is None:
            wanted = TableFeaturesRequest() if self._switch.version >= OFP13 else TableStatsRequest()
            tables = [table for message in self._switch.ask(wanted) for table in message.body.tables]
            self._known = {table.name: int(table.table_id) for table in tables if table.name}
        return self._known

    def __getitem__(self, name: str) -> int:
        return self._ask()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ask())

    def __len__(self) -> int:
        return len(self._ask())


class PortNames(Mapping[str, int]):
    """Port name -> number, asked of the switch when the first name is looked up."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def __getitem__(self, name: str) -> int:
        for port in self._switch.ports():
            if port.name == name:
                return port.port_no
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter([port.name for port in self._switch.ports()])

    def __len__(self) -> int:
        return len(self._switch.ports())


@final
class Switch:
    """A connection to the switch that an argument names. OfctlError."""

    def __init__(self, name: str, settings: Settings, suffix: str = "mgmt") -> None:
        self.name = name
        self.settings = settings
        tls = Tls(Clock(), settings.tls)
        try:
            self.client = Client(find_target(name, suffix), settings.versions, tls, timeout=LONG_S)
        except ClientError as error:
            text = str(error)
            where, _, why = text.rpartition(": ")
            if where.endswith(f"/{name}.{suffix}"):
                # A bridge's socket: it is there, and hangs up.
                why = "Broken pipe" if why == os.strerror(errno.EPROTO) else why
                raise OfctlError(f"{name}: failed to connect to socket ({why})") from error
            raise OfctlError(f"connecting to {where} ({why})" if where else text) from error
        self._ports: tuple[Port, ...] | None = None
        self._nxm = False
        self._bundled = 0
        self.port_names = PortNames(self)
        self.table_names = TableNames(self)

    def __enter__(self) -> Switch:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.client.close()

    @property
    def version(self) -> int:
        """The version that was negotiated."""
        return self.client.version

    @property
    def extended(self) -> Form:
        """The form in which this version has what came with later ones."""
        return Form.EXTENSION if self.version == OFP10 else Form.OPENFLOW

    def needs(self, what: str, first: int, *versions: int) -> None:
        """OfctlError if the version is below `first`."""
        if self.version < first:
            raise OfctlError(f"{what} needs OpenFlow 1.{first - 1} or later ('-O {VERSION_NAMES[first]}')")

    # Asking.

    def ask(self, body: Any, form: Form = Form.OPENFLOW) -> list[Message]:
        """All parts of the answer. SwitchError, OfctlError."""
        try:
            xid = self.client.send(body, form)
            replies: list[Message] = []
            while True:
                message = self._receive()
                if message.xid != xid:
                    continue
                if isinstance(message.body, Error):
                    raise SwitchError(format_message(message, self.settings.verbosity + 1))
                replies.append(message)
                if not getattr(message.body, "more", False):
                    return replies
        except ClientError as error:
            raise OfctlError(str(error)) from error

    def _receive(self) -> Message:
        message = self.client.recv()
        if message is None:
            try:
                self.client.send(BarrierRequest())
                self.client.barrier()
            except ClientError as error:
                raise OfctlError(f"{self.name}: {str(error).rpartition(': ')[2]}") from error
            raise OfctlError(f"{self.name}: no answer")
        return message

    def show(self, body: Any, form: Form = Form.OPENFLOW) -> None:
        """Ask, and print the answer, which may be an error: that it was asked is what was to be done."""
        try:
            replies = self.ask(body, form)
        except SwitchError as error:
            sys.stdout.write(error.text)
            return
        for message in replies:
            self.print_message(message)

    def print_message(self, message: Message) -> None:
        """To standard output, with the ports' names if the options ask for them; or as JSON."""
        if self.settings.json:
            sys.stdout.write(json.dumps(message_value(message)) + "\n")
            return
        names = self.number_names() if self.settings.names else None
        sys.stdout.write(self.settings.shown(format_message(message, self.settings.verbosity + 1, names)))

    def do(self, bodies: Sequence[tuple[Any, Form]]) -> None:
        """Have requests carried out that have no answer but an error, then a barrier. SwitchError."""
        try:
            for body, form in shown(bodies, "sending flows"):
                self.client.send(body, form)
            barrier = self.client.send(BarrierRequest())
            refused: Message | None = None
            while True:
                message = self._receive()
                if isinstance(message.body, Error):
                    refused = refused or message
                if message.xid == barrier and isinstance(message.body, BarrierReply):
                    break
        except ClientError as error:
            raise OfctlError(str(error)) from error
        if refused is not None:
            raise SwitchError(format_message(refused, self.settings.verbosity + 1))

    def send_in_bundle(self, bundle_id: int, body: Any, form: Form, flags: int) -> None:
        """Add a request to a bundle. Both messages have the same transaction id (OpenFlow 1.4, 7.3.9.6)."""
        self._bundled = self._bundled % 0xFFFFFFFF + 1
        xid = self._bundled | 0x40000000
        inner = encode(body, self.version, xid, form, self.client.flow_mod_table_id)
        try:
            self.client.send_bytes(encode(BundleAdd(bundle_id, inner, flags), self.version, xid))
        except ClientError as error:
            raise OfctlError(str(error)) from error

    def collect_errors(self, body: Any) -> list[Error]:
        """Ask; all errors that come until the answer, or the refusal, is there."""
        found: list[Error] = []
        xid = self.client.send(body)
        while True:
            message = self._receive()
            if isinstance(message.body, Error):
                found.append(message.body)
            if message.xid == xid:
                return found

    # What the switch is.

    def use_nxm(self) -> None:
        """In 1.0, describe flows in Nicira's format from now on."""
        if self._nxm or self.version != OFP10:
            return
        self._nxm = True
        self.do([(SetFlowFormat(NXFF_NXM), Form.OPENFLOW)])

    def use_table_ids(self) -> None:
        """In 1.0, let flow mods name tables from now on."""
        if self.version == OFP10 and not self.client.flow_mod_table_id:
            self.do([(FlowModTableId(True), Form.OPENFLOW)])
            self.client.flow_mod_table_id = True

    def ports(self) -> tuple[Port, ...]:
        """The switch's ports; asked once."""
        if self._ports is None:
            found: list[Port] = []
            for message in self.ask(PortDescRequest()):
                found += message.body.ports
            self._ports = tuple(found)
        return self._ports

    def number_names(self) -> Names:
        """Port and table number -> name."""
        ports = {port.port_no: port.name for port in self.ports()}
        return Names(ports, {number: name for name, number in self.table_names.items()})
