"""One epoll set for all connections of a process, so that an idle one costs a turn nothing.

The main loop waits on the set's own descriptor. `poll` tells the owner of each descriptor that is ready.
"""

from __future__ import annotations

import os
import select
from typing import Final, Protocol, final

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
MAX_EVENTS: Final = 256
"""How many descriptors one `poll` reports; the others' turn comes in the next."""


class Owner(Protocol):
    """Whoever watches a descriptor."""

    def ready(self) -> None:
        """The descriptor has something to read, room to write, or an error. Nothing may be read,
        written or closed within."""


@final
class Poller:
    """The set, and a doorbell that makes the main loop take a turn."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        """There once something is watched: most switches in tests never have a connection."""
        self._bell = -1
        self._rung = False
        self._watched: dict[int, tuple[int, Owner]] = {}
        self.in_turn: bool = False
        """Whether the main loop is in a turn, at whose end what waits will go out anyway."""
        self.answers: int = 0
        """How often something was sent to a peer, who may have the next question at once."""

    def watch(self, fd: int, events: int, owner: Owner) -> None:
        """Tell `owner` when `fd` is ready for `events` (READ | WRITE). A hang-up is always reported, so a
        descriptor that nobody would read or write now is forgotten rather than watched."""
        known = self._watched.get(fd)
        epoll = self._epoll or self._open()
        if known is None:
            epoll.register(fd, events)
        elif known[0] != events:
            epoll.modify(fd, events)
        elif known[1] is owner:
            return
        self._watched[fd] = (events, owner)

    def _open(self) -> select.epoll:
        epoll = self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        epoll.register(self._bell, READ)
        return epoll

    def forget(self, fd: int) -> None:
        """Watch `fd` no more. Must come before it is closed."""
        if self._watched.pop(fd, None) is not None and self._epoll is not None:
            self._epoll.unregister(fd)

    def ring(self) -> None:
        """Have the main loop take a turn, unless it is in one."""
        if not self.in_turn and not self._rung and self._bell >= 0:
            self._rung = True
            os.eventfd_write(self._bell, 1)

    def poll(self) -> None:
        """Tell the owners of the descriptors that are ready now."""
        if self._epoll is None:
            return
        watched = self._watched
        for fd, _events in self._epoll.poll(0, MAX_EVENTS):
            if fd == self._bell:
                os.eventfd_read(fd)
                self._rung = False
                continue
            entry = watched.get(fd)
            if entry is not None:
                entry[1].ready()

    def fds(self) -> list[int]:
        """The descriptor to wait on."""
        return [] if self._epoll is None else [self._epoll.fileno()]

    def close(self) -> None:
        """Give up the set. Idempotent."""
        if self._epoll is not None:
            self._epoll.close()
            os.close(self._bell)
            self._epoll = None
            self._bell = -1
            self._watched.clear()

    def __len__(self) -> int:
        return len(self._watched)
