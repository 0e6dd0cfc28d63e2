"""`Datapath`: what a userspace datapath is while nobody has it open, its ports, flows, meters and queues.

It lives in this process until it is destroyed, in the scope of devices in which it was made; `provider.py`
opens it. Ports come and go here; packets are `core.py`'s.
"""

from __future__ import annotations

import os
import select
from typing import Protocol

from vswitch.base.clock import Clock
from vswitch.base.heap import keep_freed
from vswitch.base.vlog import Vlog
from vswitch.dpif.userspace.core import Core
from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.dpif.userspace.ports import Port
from vswitch.dpif.userspace.tunnel import TunnelEnd
from vswitch.dpif.userspace.upcalls import UpcallQueues
from vswitch.netdev.host_stack import HostStack
from vswitch.netdev.links import LinkWatch, watch
from vswitch.netdev.provider import Netdev
from vswitch.netdev.registry import DEFAULT_TYPE, netdev_close
from vswitch.netdev.scope import Scope
from vswitch.netdev.tunnel import TunnelNetdev

log = Vlog("dpif_netdev")

LOCAL_PORT = 0
MAX_FD_ERRORS = 100
"""Errors of a device's descriptor until it is waited for no longer."""


def port_open_type(type: str, dummy: bool) -> str:
    """The type of the device that a port of `type` is, in a datapath whose internal ports are dummies or
    taps."""
    if type == "internal":
        return "dummy-internal" if dummy else "tap"
    return type or DEFAULT_TYPE


class Accelerator(Protocol):
    """What forwards some of a datapath's packets in its place, and must know of its ports."""

    def receives_for(self, port: Port, tunnel: TunnelNetdev) -> bool:
        """Whether what the host gets for the tunnel comes by another way than its sockets, from when the port
        is attached."""

    def port_attached(self, port: Port) -> None:
        """OSError: the port can't be had."""

    def port_moved(self, port: Port) -> None:
        """Something about the port's device is different; its interface's index may be."""

    def port_detached(self, port: Port) -> None:
        """The port is out already."""

    def close(self) -> None:
        """The datapath goes away, with all ports and flows, of which nothing is said any more."""


class Datapath:
    """The state that outlives its openings: ports, flows, meters, queues."""

    def __init__(self, name: str, type: str, clock: Clock, dummy: bool, scope: Scope) -> None:
        self.name = name
        self.type = type
        self.clock = clock
        self.dummy = dummy
        if not dummy:
            keep_freed()
        self.number_by_name = False
        self.scope = scope
        """Where its devices are open."""
        self.queues = UpcallQueues()
        self.core = Core(self.queues)
        self.core.validates = scope.validates_actions
        self.ports: dict[int, Port] = {}
        self.by_name: dict[str, Port] = {}
        self.by_fd: dict[int, Port] = {}
        self.flows: dict[bytes, FlowEntry] = {}
        self.changed: set[str] = set()
        self.changed_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.epoll = select.epoll()
        self.ranked_at = 0
        self.vanished: list[Port] = []
        """Ports whose devices somebody else deleted: `run` takes them out."""
        self.accelerator: Accelerator | None = None
        self.awaited: set[str] = set()
        """Names of such ports. When a device of the name appears, `port_poll` tells."""
        self.links = _watch()
        if self.links is not None:
            self.epoll.register(self.links.fileno(), select.EPOLLIN)

    def note_change(self, name: str) -> None:
        """`port_poll` is to report port `name`."""
        if not self.changed:
            os.eventfd_write(self.changed_fd, 1)
        self.changed.add(name)

    def device_changed(self, port: Port) -> None:
        """The device of `port` says that something about it is different."""
        self.note_change(port.name)
        if self.accelerator is not None:
            self.accelerator.port_moved(port)
        if port.netdev.gone and self.links is not None and self.ports.get(int(port.number)) is port:
            self.links.wait_for(port.name, self, lambda: self.note_change(port.name))
            self.awaited.add(port.name)
            self.vanished.append(port)

    def remove_vanished(self) -> None:
        """Take the ports out whose devices are gone. The local port stays: it is the datapath's."""
        vanished, self.vanished = self.vanished, []
        for port in vanished:
            number = int(port.number)
            if number != LOCAL_PORT and self.ports.get(number) is port:
                self.detach(port)

    def close(self) -> None:
        """Close every device and descriptor."""
        for name in self.awaited:
            if self.links is not None:
                self.links.give_up(name, self)
        if self.accelerator is not None:
            self.accelerator.close()
        for port in list(self.ports.values()):
            self.detach(port)
        self.queues.disable()
        self.epoll.close()
        os.close(self.changed_fd)

    def detach(self, port: Port) -> None:
        """Take the port out and give its device back."""
        number = int(port.number)
        del self.ports[number]
        del self.by_name[port.name]
        self.core.ports[number] = None
        fd = port.netdev.fileno()
        if fd >= 0:
            self.by_fd.pop(fd, None)
            try:
                self.epoll.unregister(fd)
            except OSError:
                # The device is gone and took its registration along.
                pass
        if port.host is not None:
            for host_fd in port.host.filenos():
                self.by_fd.pop(host_fd, None)
                self.epoll.unregister(host_fd)
            port.host.close()
            port.host = None
        if self.accelerator is not None:
            self.accelerator.port_detached(port)
        port.netdev.on_change = None
        netdev_close(port.netdev, self.scope)
        self.queues.forget(number)

    def renumber(self, port: Port, number: int) -> None:
        """Give the port, which is a dummy, another number, as if it had gone and come back."""
        old = int(port.number)
        core_ports = self.core.ports
        core_ports[old] = None
        core_ports.extend([None] * (number + 1 - len(core_ports)))
        core_ports[number] = port
        del self.ports[old]
        self.ports[number] = port
        port.number = number
        self.queues.forget(old)
        self.note_change(port.name)

    def note_error(self, port: Port) -> None:
        """The port's descriptor reports an error. Reading clears it if the device is down; if it
        comes again and again the device is gone, and its descriptor would keep the loop awake."""
        port.fd_errors += 1
        if port.fd_errors > MAX_FD_ERRORS:
            fd = port.netdev.fileno()
            self.by_fd.pop(fd, None)
            self.epoll.unregister(fd)
            self.note_change(port.name)

    def open_host_stack(self, port: Port, netdev: TunnelNetdev) -> None:
        """Have the tunnel reach remotes to which no bridge leads. Where that can't be, it says why."""
        try:
            carried = self.accelerator is not None and self.accelerator.receives_for(port, netdev)
            port.host = HostStack(netdev.kind, netdev.dst_port, not carried)
        except OSError as e:
            port.host_refused = e.strerror or str(e)
            log.warn("%s: packets can leave by bridges only, not through the host's own stack (%s)",
                     port.name, port.host_refused)
            return
        log.info("%s: packets to which no bridge leads go through the host's own stack", port.name)
        for fd in port.host.filenos():
            self.by_fd[fd] = port
            self.epoll.register(fd, select.EPOLLIN)

    def attach(self, number: int, name: str, type: str, netdev: Netdev) -> None:
        """Put an open device in as port `number`."""
        port = Port(number, name, type, netdev)
        if isinstance(netdev, TunnelNetdev):
            port.tunnel = TunnelEnd(netdev.kind, netdev.payload_type)
            if not self.dummy:
                self.open_host_stack(port, netdev)
        if self.accelerator is not None:
            self.accelerator.port_attached(port)
        core_ports = self.core.ports
        core_ports.extend([None] * (number + 1 - len(core_ports)))
        core_ports[number] = port
        self.ports[number] = port
        self.by_name[name] = port
        fd = netdev.fileno()
        if fd >= 0:
            self.by_fd[fd] = port
            self.epoll.register(fd, select.EPOLLIN)
        netdev.on_change = lambda: self.device_changed(port)
        if name in self.awaited and self.links is not None:
            self.awaited.discard(name)
            self.links.give_up(name, self)
        self.note_change(name)


def _watch() -> LinkWatch | None:
    """The watch over the kernel's interfaces; None where there is no rtnetlink."""
    try:
        return watch()
    except OSError:
        return None


def enumerate_names(scope: Scope, type: str = "netdev") -> list[str]:
    """The datapaths in `scope` that are of `type`."""
    return sorted(name for name, dp in scope.datapaths.items() if dp.type == type)
