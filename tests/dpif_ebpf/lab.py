"""A `Lab` for the eBPF datapath: veth pairs in a network namespace of the process's own."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from tests.dpif.lab import Lab
from vswitch.base.clock import Clock
from vswitch.dpif.ebpf.provider import EbpfDpif
from vswitch.dpif.provider import Dpif

CLONE_NEWNET = 0x40000000
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
TP_STATUS_VLAN_VALID = 0x10
PACKET_OUTGOING = 4
_numbers = count(1)
_libc = ctypes.CDLL(None, use_errno=True)


def sh(*lines: str) -> None:
    """Run commands, each of which must succeed."""
    for line in lines:
        subprocess.run(line.split(), check=True, capture_output=True)


@contextmanager
def own_namespace() -> Iterator[None]:
    """This thread in a network namespace that nobody else is in; afterwards in the one before, and the
    namespace with all its devices is gone."""
    from vswitch.netdev import links

    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    watch, links._watch = links._watch, None
    if _libc.unshare(CLONE_NEWNET):
        os.close(before)
        raise OSError(ctypes.get_errno(), "unshare")
    try:
        sh("ip link set lo up")
        for name in ("all", "default"):
            with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as f:
                f.write("1")
        yield
    finally:
        links._watch = watch
        _libc.setns(before, CLONE_NEWNET)
        os.close(before)


class EbpfLab(Lab):
    """Within `own_namespace`. Device "vN" is attached; its peer "vNx" is the outside."""

    def __init__(self) -> None:
        self.dpif: EbpfDpif | None = None
        self.sockets: dict[str, socket.socket] = {}

    def open(self) -> Dpif:
        self.dpif = EbpfDpif(f"eb{os.getpid() % 100000}x{next(_numbers)}", Clock())
        return self.dpif

    def device(self) -> str:
        name = f"v{next(_numbers)}"
        sh(f"ip link add {name} type veth peer name {name}x", f"ip link set {name} up",
           f"ip link set {name}x up promisc on")
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(3))
        sock.bind((f"{name}x", 3))
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.sockets[name] = sock
        return name

    def inject(self, device: str, packet: bytes) -> None:
        assert self.dpif is not None
        self.sockets[device].send(packet)

    def transmitted(self, device: str) -> list[bytes]:
        got: list[bytes] = []
        while True:
            try:
                data, notes, _flags, address = self.sockets[device].recvmsg(70000, 256)
            except BlockingIOError:
                return got
            if address[2] == PACKET_OUTGOING:
                continue
            for _level, _type, note in notes:
                status, _len, _snap, _mac, _net, tci, tpid = struct.unpack("=IIIHHHH", note[:20])
                if status & TP_STATUS_VLAN_VALID:
                    data = data[:12] + tpid.to_bytes(2, "big") + tci.to_bytes(2, "big") + data[12:]
            got.append(data)

    def turn(self, dpif: Dpif) -> None:
        dpif.run()
        time.sleep(0.001)

    def kernel_hits(self) -> int:
        """Packets that the kernel forwarded by itself."""
        assert self.dpif is not None
        self.dpif.offload.sync_all()
        return self.dpif.offload.n_hit

    def close(self) -> None:
        if self.dpif is not None:
            self.dpif.destroy()
        for name, sock in self.sockets.items():
            sock.close()
            subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)


def opened(lab: EbpfLab) -> EbpfDpif:
    """The lab's datapath, made."""
    dpif = lab.open()
    assert isinstance(dpif, EbpfDpif)
    return dpif
