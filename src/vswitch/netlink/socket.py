"""A Netlink socket: requests, batches, dumps, notifications (man 7 netlink).

A kernel family answers a request before `sendmsg` returns, so nothing here ever waits: what is
not in the receive queue after the send has been lost to a full queue (ENOBUFS), and is asked
again. Interrupted system calls are begun again by Python itself (PEP 475).
"""

from __future__ import annotations

import errno
import os
import random
import socket
import sys
from collections.abc import Generator
from typing import Final, TypeAlias

from vswitch.netlink.attrs import Builder
from vswitch.netlink.errors import NlError, NlOverrun
from vswitch.netlink.message import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_MIN_TYPE,
    Batch,
    NlMessage,
    error_of,
    extended_ack,
    walk,
)

NETLINK_ROUTE: Final = 0
NETLINK_NETFILTER: Final = 12
NETLINK_GENERIC: Final = 16

SOL_NETLINK: Final = 270
NETLINK_ADD_MEMBERSHIP: Final = 1
NETLINK_DROP_MEMBERSHIP: Final = 2
NETLINK_LISTEN_ALL_NSID: Final = 8
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11
SO_RCVBUFFORCE: Final = 33
SO_MEMINFO: Final = 55
SK_MEMINFO_DROPS: Final = 8

RECV_SIZE: Final = 65536
"""Bytes read at a time; a dump's datagrams are at most 32 KB, an upcall at most 64 KB and headers."""
REQUEST_RCVBUF: Final = 4 << 20
MAX_TRIES: Final = 4
"""How often a request is sent whose answer gets lost, and an interrupted dump begun."""


Dump: TypeAlias = Generator[NlMessage, None, bool]
"""The messages of a dump; what the generator returns says whether it was interrupted."""


class NlSocket:
    """One socket of Netlink `protocol`, never blocking, bound to a `pid` that the kernel chose.

    `rcvbuf` is the receive buffer in bytes, forced beyond net.core.rmem_max where this process
    may. OSError (EPROTONOSUPPORT, EMFILE, ENFILE...) if there is none to be had.
    """

    def __init__(self, protocol: int, rcvbuf: int = REQUEST_RCVBUF) -> None:
        self.protocol = protocol
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setblocking(False)
            self._set_rcvbuf(rcvbuf)
            for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
                try:
                    self._socket.setsockopt(SOL_NETLINK, option, 1)
                except OSError as e:  # kernels before 4.12 know only what they know
                    if e.errno != errno.ENOPROTOOPT:
                        raise
            self._socket.bind((0, 0))
            self.pid: int = self._socket.getsockname()[0]
        except BaseException:
            self._socket.close()
            raise
        self._seq = random.getrandbits(32)

    def _set_rcvbuf(self, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    @property
    def rcvbuf(self) -> int:
        """The receive buffer that the kernel granted, in the bytes it counts (twice the asked)."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def drops(self) -> int:
        """Messages that did not fit into the queue so far, mod 2**32 (SO_MEMINFO); 0 before Linux 4.12."""
        try:
            data = self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 64)
        except OSError:
            return 0
        end = 4 * (SK_MEMINFO_DROPS + 1)
        return int.from_bytes(data[end - 4 : end], sys.byteorder) if len(data) >= end else 0

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor; -1 once closed."""
        return self._socket.fileno()

    def new_batch(self) -> Batch:
        """An empty batch whose sequence numbers this socket hasn't used for the last 65536 requests."""
        self._seq = (self._seq + 65536) & 0xFFFFFFFF
        return Batch(self._seq)

    def transact_multiple(self, batch: Batch) -> None:
        """Send all of `batch` at once and sort in the answers; each request has its own error.

        A request whose answer got lost is sent again, so let every request be one that may be
        carried out twice; after MAX_TRIES it has failed with ENOBUFS. NlError if sending fails,
        with nothing carried out.
        """
        for _ in range(MAX_TRIES):
            if batch.done():
                return
            try:
                self._socket.sendto(batch.unanswered(), (0, 0))
            except OSError as e:
                raise NlError(e.errno or errno.EIO, "netlink send") from e
            lost = False
            while not batch.done():
                try:
                    batch.take(self._socket.recv(RECV_SIZE))
                except BlockingIOError:
                    break
                except OSError as e:
                    if e.errno != errno.ENOBUFS:
                        raise NlError(e.errno or errno.EIO, "netlink receive") from e
                    lost = True
            if not lost:
                batch.settle()
        batch.give_up(errno.ENOBUFS)

    def transact(
        self, nl_type: int, flags: int, payload: bytes, request: str, want_reply: bool = False
    ) -> bytes:
        """One request; the payload of its reply (b"" unless `want_reply`).

        `request` names it in the NlError that is raised if the kernel refuses.
        """
        batch = self.new_batch()
        batch.begin(nl_type, flags, want_reply)
        batch.builder.append(payload)
        batch.end()
        self.transact_multiple(batch)
        code = batch.error(0)
        if code:
            raise NlError(code, request, batch.detail(0))
        return batch.reply(0)

    def dump(self, nl_type: int, payload: bytes, request: str, flags: int = 0) -> Dump:
        """Ask for a dump and give its messages as they come.

        The last value of the generator (`return`) is True if the kernel said that what it
        dumped changed meanwhile (NLM_F_DUMP_INTR). The socket can do nothing else before the
        generator is used up. NlError if the kernel refuses or breaks off.
        """
        self._seq = (self._seq + 1) & 0xFFFFFFFF
        b = Builder()
        message = b.begin_message(nl_type, flags | NLM_F_DUMP | NLM_F_REQUEST | NLM_F_ACK, self._seq, 0)
        b.append(payload)
        b.end_message(message)
        try:
            self._socket.sendto(b.getvalue(), (0, 0))
        except OSError as e:
            raise NlError(e.errno or errno.EIO, request) from e
        return self._dump_parts(request)

    def _dump_parts(self, request: str) -> Dump:
        interrupted = False
        while True:
            try:
                data = self._socket.recv(RECV_SIZE)
            except BlockingIOError:
                # The kernel fills the queue again whenever we empty it, so this can't be.
                raise NlError(errno.EPROTO, request, "the dump stopped short") from None
            except OSError as e:
                raise NlError(e.errno or errno.EIO, request) from e
            messages = walk(data)
            if not messages:
                raise NlError(errno.EPROTO, request, f"{len(data)} bytes are no Netlink message")
            for m in messages:
                if m.seq != self._seq:
                    continue
                if m.flags & NLM_F_DUMP_INTR:
                    interrupted = True
                if m.type == NLMSG_DONE or m.type == NLMSG_ERROR:
                    code = error_of(m)
                    if code:
                        raise NlError(code, request, extended_ack(m))
                    return interrupted
                if m.type >= NLMSG_MIN_TYPE:
                    yield m

    def dump_all(self, nl_type: int, payload: bytes, request: str) -> list[NlMessage]:
        """A dump as a whole, begun again up to MAX_TRIES times until nothing changed meanwhile.

        If something always does, the last one is as good as any.
        """
        found: list[NlMessage] = []
        for _ in range(MAX_TRIES):
            found, interrupted = collect(self.dump(nl_type, payload, request))
            if not interrupted:
                break
        return found

    def join(self, group: int) -> None:
        """Receive the notifications of multicast group `group`."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def leave(self, group: int) -> None:
        """Receive them no more."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, group)

    def recv(self) -> bytes:
        """One datagram as it came, b"" if none waits.

        NlOverrun if the kernel had to drop some since the last call: those are gone, the ones
        that were queued before are still there.
        """
        try:
            return self._socket.recv(RECV_SIZE)
        except BlockingIOError:
            return b""
        except OSError as e:
            if e.errno == errno.ENOBUFS:
                raise NlOverrun(errno.ENOBUFS, "netlink receive") from e
            raise NlError(e.errno or errno.EIO, "netlink receive") from e

    def drain(self, most: int = 1 << 16) -> int:
        """Throw away what is queued, up to `most` datagrams in case more keep coming; how many."""
        n = 0
        while n < most:
            try:
                if not self.recv():
                    break
                n += 1
            except NlOverrun:
                continue
        return n

    def __repr__(self) -> str:
        return f"NlSocket(protocol={self.protocol}, pid={self.pid}, fd={self.fileno()})"


def collect(parts: Dump) -> tuple[list[NlMessage], bool]:
    """All messages of a dump, and whether it was interrupted."""
    found: list[NlMessage] = []
    while True:
        try:
            found.append(next(parts))
        except StopIteration as stop:
            return found, bool(stop.value)


class SocketPool:
    """Sockets of one protocol for whoever needs one by itself for a while, such as a dump."""

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol
        self._free: list[NlSocket] = []
        self._process = os.getpid()

    def take(self) -> NlSocket:
        """A socket that nobody else uses; OSError if there is none to be had."""
        return self._free.pop() if self._free else NlSocket(self.protocol)

    def give(self, sock: NlSocket, clean: bool = True) -> None:
        """Give back a socket; one that isn't `clean` (a dump is still running on it) is closed."""
        if clean and len(self._free) < 4:
            self._free.append(sock)
        else:
            sock.close()

    def close(self) -> None:
        """Close the sockets that nobody uses."""
        while self._free:
            self._free.pop().close()
