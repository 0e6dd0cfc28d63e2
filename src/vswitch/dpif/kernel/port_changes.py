"""What happens to a datapath, its ports and their devices, as the kernel notifies of it.

Two sockets under one epoll descriptor: the multicast groups of ovs_vport (ports attached,
changed, detached) and ovs_datapath (somebody changed the datapath's settings), and rtnetlink's
links (devices that appear, vanish, go up or down). Links are needed because a device that comes
back is no port yet, and because a vport says nothing of its link.
"""

from __future__ import annotations

import errno
import select
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.dpif.kernel.datapath import DatapathInfo, parse_datapath
from vswitch.dpif.kernel.family import Families
from vswitch.dpif.kernel.vport import VportInfo, parse_vport
from vswitch.dpif.types import DpifError
from vswitch.netdev.links import IFLA_IFNAME, RTM_DELLINK, RTM_NEWLINK, RTNLGRP_LINK
from vswitch.netlink.attrs import NlAttrError, parse, text
from vswitch.netlink.errors import NlOverrun
from vswitch.netlink.message import NlMessage, walk
from vswitch.netlink.socket import NETLINK_GENERIC, NETLINK_ROUTE, NlSocket

_IFINFOMSG_LEN: Final = 16


@dataclass
class Changes:
    """What changed, in every datapath: the caller picks its own."""

    vports: list[VportInfo] = field(default_factory=list)
    datapaths: list[DatapathInfo] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    """Names of the devices that appeared, vanished or changed."""
    lost: bool = False
    """Notifications were lost, so anything may have changed."""


class PortChanges:
    """Listens from the moment it is made. DpifError of `obj` if it can't."""

    def __init__(self, obj: str, families: Families) -> None:
        self._families = families
        self._sockets: list[NlSocket] = []
        self._epoll: select.epoll | None = None
        try:
            self._vports = NlSocket(NETLINK_GENERIC)
            self._sockets.append(self._vports)
            self._vports.join(families.vport_group)
            if families.datapath_group:
                self._vports.join(families.datapath_group)
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

    def poll(self) -> Changes:
        """What changed since the last call."""
        changes = Changes()
        for sock in self._sockets:
            while self._epoll is not None:
                try:
                    data = sock.recv()
                except NlOverrun:
                    changes.lost = True
                    continue
                if not data:
                    break
                try:
                    for message in walk(data):
                        self._note(changes, sock is self._links, message)
                except (NlAttrError, KeyError):
                    changes.lost = True  # Unreadable is as good as lost.
        return changes

    def _note(self, changes: Changes, from_links: bool, message: NlMessage) -> None:
        if from_links:
            if message.type in (RTM_NEWLINK, RTM_DELLINK):
                changes.links.add(text(parse(message.payload(), _IFINFOMSG_LEN)[IFLA_IFNAME]))
        elif message.type == self._families.vport:
            changes.vports.append(parse_vport(message.payload()))
        elif message.type == self._families.datapath:
            changes.datapaths.append(parse_datapath(message.payload()))
