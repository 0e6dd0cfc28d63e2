"""A minimal switch over the userspace datapath: ports 1 and 2 are connected crosswise.

Run as a program: `python -m tests.netdev.crossover PORT PORT [ACTIONS]`. A miss puts a flow on
in_port, Ethernet addresses, type and VLAN, and sends the packet on. Ports called `tap:NAME` are made.
"""

from __future__ import annotations

import select
import signal
import sys

from vswitch.base.clock import Clock
from vswitch.dpif.actions import Output
from vswitch.dpif.types import Execute, FlowPut
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.netdev.tap import TapNetdev


def main(ports: list[str]) -> None:
    dpif = UserspaceDpif("crossover", Clock(), dummy=True)
    numbers = []
    for port in ports:
        kind, _, name = port.rpartition(":")
        number = dpif.port_add(name, kind or "system")
        netdev = dpif.netdev(number)
        if isinstance(netdev, TapNetdev):
            netdev.set_up(True)
        numbers.append(number)
    peer = dict(zip(numbers, reversed(numbers), strict=True))
    dpif.recv_set(True)
    mask = Flow()
    for field in ("in_port", "packet_type", "recirc_id", "dl_type", "dl_src", "dl_dst"):
        mask.set_ones(by_name(field))
    mask.vlan_tci = 0xFFFF
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    print("ready", flush=True)
    misses = 0
    with select.epoll() as epoll:
        for fd in (*dpif.run_fds(), dpif.recv_fd()):
            epoll.register(fd, select.EPOLLIN)
        while not stopped:
            more = dpif.run()
            for upcall in dpif.recv(50):
                misses += 1
                actions = (Output(peer[upcall.key.in_port]),)
                ufid = misses.to_bytes(16, "big")
                dpif.operate([
                    FlowPut(upcall.key, mask, actions, ufid),
                    Execute(upcall.packet, upcall.key, actions, offload=upcall.offload),
                ])
            if not more:
                epoll.poll(0.5)
    stats = dpif.stats()
    print(f"hit:{stats.n_hit} missed:{stats.n_missed} drops:{dpif.drops()}", flush=True)
    dpif.destroy()


if __name__ == "__main__":
    main(sys.argv[1:])
