"""What happens to a datapath's ports and to their devices, as the kernel tells it.

Two sources under one epoll descriptor: family ovs_vport's multicast group (ports attached,
changed, detached) and rtnetlink's links (devices that appear, vanish, go up or down). The second
is needed because a device that comes back is no port yet, and because a vport says nothing of
its link.
"""

from __future__ import annotations

import errno
import select
from typing import Final

from vswitch.dpif.kernel.vport import VportInfo, parse_vport
from vswitch.dpif.types import DpifError
from vswitch.netlink.attrs import NlAttrError, parse, text
from vswitch.netlink.errors import NlOverrun
from vswitch.netlink.message import walk
from vswitch.netlink.socket import NETLINK_GENERIC, NETLINK_ROUTE, NlSocket

RTNLGRP_LINK: Final = 1
RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
IFLA_IFNAME: Final = 3
_IFINFOMSG_LEN: Final = 16


class PortChanges:
    """Listens from the moment it is made. DpifError of `obj` if it can't.

    `family` and `group` are the numbers of ovs_vport and its multicast group.
    """

    def __init__(self, obj: str, family: int, group: int) -> None:
        self._family = family
        self._sockets: list[NlSocket] = []
        self._epoll: select.epoll | None = None
        try:
            self._vports = NlSocket(NETLINK_GENERIC)
            self._sockets.append(self._vports)
            self._vports.join(group)
            self._links = NlSocket(NETLINK_ROUTE)
            self._sockets.append(self._links)
            self._links.join(RTNLGRP_LINK)
            self._epoll = select.epoll()
            for sock in self._sockets:
                self._epoll.register(sock.fileno(), select.EPOLLIN)
        except OSError as e:
            self.close()
            raise DpifError(e.errno or errno.EIO, "open", obj, "listen for port changes") from e

    def close(self) -> None:
        """Listen no more. Idempotent."""
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
        for sock in self._sockets:
            sock.close()

    def fileno(self) -> int:
        """Readable when something changed; -1 once closed."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def poll(self) -> tuple[list[VportInfo], set[str], bool]:
        """What changed since the last call: vport notifications of every datapath, the names of
        links, and whether notifications were lost, so that anything may have changed."""
        vports: list[VportInfo] = []
        links: set[str] = set()
        lost = False
        for sock in self._sockets:
            while self._epoll is not None:
                try:
                    data = sock.recv()
                except NlOverrun:
                    lost = True
                    continue
                if not data:
                    break
                try:
                    for message in walk(data):
                        if sock is self._links:
                            if message.type in (RTM_NEWLINK, RTM_DELLINK):
                                links.add(text(parse(message.payload(), _IFINFOMSG_LEN)[IFLA_IFNAME]))
                        elif message.type == self._family:
                            vports.append(parse_vport(message.payload()))
                except (NlAttrError, KeyError):
                    lost = True  # Unreadable is as good as lost.
        return vports, links, lost
