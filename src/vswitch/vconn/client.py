"""`Client`: a controller's side of a connection for tools and tests, which wait for their answers.

Everything else of this package never blocks; a tool has nothing to do but wait, so this does, with a
limit.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable
from typing import Any, Final, final

from vswitch.base.clock import Clock
from vswitch.openflow.messages.session import BarrierReply, BarrierRequest, EchoReply, EchoRequest, Error
from vswitch.openflow.wire.codec import Message, decode, encode
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import VERSIONS
from vswitch.vconn.open_stream import open_stream
from vswitch.vconn.poller import READ, WRITE
from vswitch.vconn.retval import error_of, retval_to_string
from vswitch.vconn.settings import ACTIVE
from vswitch.vconn.tls import Tls
from vswitch.vconn.vconn import Vconn

DEFAULT_TIMEOUT_S: Final = 30.0


class ClientError(Exception):
    """The connection failed or ended; the text says how."""


class Refused(Exception):
    """The switch answered with an error, which is `error`."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.name or f"error {error.numbers}")
        self.error = error


def target_of(switch: str, rundir: str, suffix: str = "mgmt") -> str:
    """Where the switch is that an ovs-ofctl(8) argument names: a target, a socket's file or a bridge."""
    if switch.partition(":")[0] in ACTIVE:
        return switch
    if "/" in switch:
        return f"unix:{switch}"
    return f"unix:{os.path.join(rundir, f'{switch}.{suffix}')}"


@final
class Client:
    """A connection to the switch at `target`. ClientError: there is none, or no common version.

    `timeout` is how many seconds any one call may take.
    """

    def __init__(
        self,
        target: str,
        versions: Iterable[int] = VERSIONS,
        tls: Tls | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self.target: str = target
        self.timeout: float = timeout
        self._clock = Clock()
        self._xid = 0
        self._unasked: list[Message] = []
        """Messages that came while waiting for others."""
        self.flow_mod_table_id: bool = False
        """Whether flow mods carry table numbers in 1.0 (NXT_FLOW_MOD_TABLE_ID has been sent)."""
        try:
            stream = open_stream(target, Tls(self._clock) if tls is None else tls)
        except OSError as e:
            raise ClientError(f"{target}: {retval_to_string(error_of(e))}") from e
        self._vconn = Vconn(stream, versions)
        end = time.monotonic() + timeout
        try:
            while not self._vconn.connected:
                self._vconn.run(self._clock.now())
                self._check()
                if not self._vconn.connected:
                    self._wait(end)
        except BaseException:
            self.close()
            raise

    @property
    def version(self) -> int:
        """The version that was negotiated."""
        return self._vconn.version

    @property
    def fd(self) -> int:
        """The socket, which is readable when something comes."""
        return self._vconn.stream.fd

    @property
    def sending(self) -> bool:
        """Whether something waits for the socket to be writable."""
        return bool(self._vconn.events() & WRITE)

    def _check(self) -> None:
        if self._vconn.error:
            raise ClientError(f"{self.target}: {retval_to_string(self._vconn.error)}")

    def _wait(self, end: float) -> None:
        """Wait for the socket. ClientError when `end` has passed."""
        left = end - time.monotonic()
        if left <= 0:
            raise ClientError(f"{self.target}: no answer in {self.timeout:g} seconds")
        events = self._vconn.events()
        poll = select.poll()
        poll.register(
            self._vconn.stream.fd,
            (select.POLLIN if events & READ else 0) | (select.POLLOUT if events & WRITE else 0),
        )
        poll.poll(left * 1000)

    def send(self, body: Any, form: Form = Form.OPENFLOW) -> int:
        """Send a message; its transaction id."""
        self._xid = self._xid % 0xFFFFFFFF + 1
        self.send_bytes(encode(body, self.version, self._xid, form, self.flow_mod_table_id))
        return self._xid

    def send_bytes(self, data: bytes) -> None:
        """Send a message that is ready."""
        self._vconn.send(data)
        self._vconn.flush()

    def recv(self, timeout: float | None = None) -> Message | None:
        """The next message, None if none comes in `timeout` seconds (None: the client's own). Echo
        requests are answered here."""
        if self._unasked:
            return self._unasked.pop(0)
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            data = self._vconn.recv(self._clock.now())
            if data is not None:
                message = decode(data, self.flow_mod_table_id)
                if isinstance(message.body, EchoRequest):
                    self.send_bytes(encode(EchoReply(message.body.data), self.version, message.xid))
                    continue
                return message
            self._check()
            try:
                self._vconn.flush()
                self._wait(end)
            except ClientError:
                return None

    def _recv_until(self, end: float) -> Message:
        message = self.recv(max(end - time.monotonic(), 0))
        if message is None:
            raise ClientError(f"{self.target}: no answer in {self.timeout:g} seconds")
        return message

    def transact(self, body: Any, form: Form = Form.OPENFLOW) -> list[Any]:
        """Ask, and wait for all parts of the answer. Refused: the switch says no."""
        xid = self.send(body, form)
        end = time.monotonic() + self.timeout
        kept: list[Message] = []
        replies: list[Any] = []
        while True:
            message = self._recv_until(end)
            if message.xid != xid:
                kept.append(message)
                continue
            if isinstance(message.body, Error):
                self._unasked[:0] = kept
                raise Refused(message.body)
            replies.append(message.body)
            if not getattr(message.body, "more", False):
                self._unasked[:0] = kept
                return replies

    def execute(self, *bodies: Any, form: Form = Form.OPENFLOW) -> None:
        """Have requests carried out that have no answer but an error. Refused: the first of those."""
        xids = {self.send(body, form) for body in bodies}
        refused: Error | None = None
        kept: list[Message] = []
        for message in self._until_barrier():
            if message.xid in xids and isinstance(message.body, Error):
                refused = refused or message.body
            else:
                kept.append(message)
        self._unasked[:0] = kept
        if refused is not None:
            raise Refused(refused)

    def barrier(self) -> None:
        """Wait until all that was asked before is done."""
        self._unasked[:0] = self._until_barrier()

    def _until_barrier(self) -> list[Message]:
        """What comes before the answer to a barrier."""
        xid = self.send(BarrierRequest())
        end = time.monotonic() + self.timeout
        found, self._unasked = self._unasked, []
        while True:
            message = self._recv_until(end)
            if message.xid == xid and isinstance(message.body, BarrierReply):
                return found
            found.append(message)

    def close(self) -> None:
        """End the connection. Idempotent."""
        self._vconn.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
