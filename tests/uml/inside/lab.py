"""A `Lab` over the kernel's openvswitch module: ports are veth pairs, whose other end we hold."""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import subprocess
import time

from tests.dpif.lab import Lab
from vswitch.base.clock import Clock
from vswitch.dpif.open import dpif_create_and_open
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifError

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6

_numbers = itertools.count(1)


def ip(*words: str) -> None:
    """`ip WORDS`; CalledProcessError, with what it said, if it fails."""
    subprocess.run(["ip", *" ".join(words).split()], check=True, capture_output=True, text=True)


def packet_socket(device: str) -> socket.socket:
    """A socket that sends and receives whole frames on `device`, never blocking."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.bind((device, 0))
    s.setblocking(False)
    return s


def receive(s: socket.socket) -> bytes | None:
    """One whole frame, its outer VLAN tag (which the kernel hands over beside it) included."""
    try:
        frame, messages, _, _ = s.recvmsg(65536, 64)
    except BlockingIOError:
        return None
    for level, kind, data in messages:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data)
            if status & TP_STATUS_VLAN_VALID:
                tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                return frame[:12] + struct.pack(">HH", tpid, tci) + frame[12:]
    return frame


class KernelLab(Lab):
    """One kernel datapath "lab" and veth pairs kN (attached) and kNp (ours)."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.peers: dict[str, socket.socket] = {}
        self.dpif: Dpif | None = None

    def open(self) -> Dpif:
        self.dpif = dpif_create_and_open("lab", "system", self.clock)
        return self.dpif

    def device(self) -> str:
        name = f"k{next(_numbers)}"
        ip(f"link add {name} type veth peer name {name}p")
        for end in (name, f"{name}p"):
            if os.path.isdir("/proc/sys/net/ipv6"):
                ip(f"link set {end} addrgenmode none")
            ip(f"link set {end} up")
        self.peers[name] = packet_socket(f"{name}p")
        return name

    def inject(self, device: str, packet: bytes) -> None:
        peer = self.peers[device]
        while True:
            try:
                peer.send(packet)
                return
            except BlockingIOError:  # what was sent before is still on its way
                writable = select.select([], [peer], [], 5)[1]
                assert writable, f"{device} takes no more packets"

    def transmitted(self, device: str) -> list[bytes]:
        frames: list[bytes] = []
        while (frame := receive(self.peers[device])) is not None:
            frames.append(frame)
        return frames

    def turn(self, dpif: Dpif) -> None:
        dpif.run()
        fd = dpif.recv_fd()
        if fd >= 0:
            select.select([fd], [], [], 0.002)
        else:
            time.sleep(0.002)

    def close(self) -> None:
        for name, sock in self.peers.items():
            sock.close()
            ip(f"link del {name}")
        try:
            dpif = dpif_create_and_open("lab", "system", self.clock)
            dpif.destroy()
            dpif.close()
        except DpifError:
            pass
