"""A minimal switch over the userspace datapath: two ports are connected crosswise.

Run as a program: `python -m tests.netdev.crossover PORT PORT [PORT PORT]`. A miss puts a flow on
in_port, Ethernet addresses, type and VLAN, and sends the packet on. Ports called `tap:NAME` are made.
Four ports are two switches, with VLAN 5 on their second and third port, which a cable joins.
"""

from __future__ import annotations

import select
import signal
import sys

from vswitch.base.clock import Clock
from vswitch.dpif.actions import Actions, Output, PopVlan, PushVlan
from vswitch.dpif.ops import Execute, FlowPut
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.netdev.tap import TapNetdev


def connect(ports: list[int]) -> dict[int, Actions]:
    """What to do with the packets of each port."""
    if len(ports) == 2:
        a, b = ports
        return {a: (Output(b),), b: (Output(a),)}
    a, trunk_a, trunk_b, b = ports
    push, pop = PushVlan(0x8100, 0x1005), PopVlan()
    return {a: (push, Output(trunk_a)), trunk_a: (pop, Output(a)),
            b: (push, Output(trunk_b)), trunk_b: (pop, Output(b))}


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
    wiring = connect(numbers)
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
                actions = wiring[upcall.key.in_port]
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
