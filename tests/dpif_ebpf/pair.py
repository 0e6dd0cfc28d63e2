"""`Pair`: an eBPF datapath and a userspace datapath, which the same packets and actions are given to."""

from __future__ import annotations

import errno
from itertools import count

from tests.dpif.lab import key_of
from tests.dpif_ebpf.lab import EbpfLab
from vswitch.base.clock import Clock
from vswitch.dpif.actions import Actions
from vswitch.dpif.ebpf.provider import EbpfDpif
from vswitch.dpif.ops import Execute, FlowDel, FlowPut
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.ebpf.program import Ran, skb
from vswitch.ebpf.syscall import BpfError
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.netdev.dummy import find
from vswitch.netdev.registry import netdev_close, netdev_open

REDIRECT, STOLEN = 7, 4
CHECKSUM_COMPLETE = 4
"""BPF_F_TEST_SKB_CHECKSUM_COMPLETE (Linux 6.16): the packet comes with the device's sum over all of it, which
must be right afterwards, too."""
_numbers = count(1)


class Pair:
    """An eBPF datapath with two ports, and a userspace datapath with a dummy to compare with."""

    def __init__(self, lab: EbpfLab) -> None:
        dpif = lab.open()
        assert isinstance(dpif, EbpfDpif)
        self.ebpf = dpif
        (self.name, self.port), (self.out_name, self.out) = lab.attach(dpif), lab.attach(dpif)
        self.ifindex = dpif.offload.by_number[self.port].ifindex
        self.dummy = f"pair{next(_numbers)}"
        self.device = netdev_open(self.dummy, "dummy")
        self.device.set_mtu(65_535)
        self.userspace = UserspaceDpif(f"pairdp{next(_numbers)}", Clock(), dummy=True)
        self.to = self.userspace.port_add(self.dummy, "dummy", self.out)

    def close(self) -> None:
        self.userspace.destroy()
        netdev_close(self.device)

    def in_kernel(self, packet: bytes, actions: Actions, flags: int = 0) -> tuple[int, bytes, int]:
        """(verdict, packet, packets counted) of `packet` in the kernel; it must be there."""
        ran, counted = self.ran(packet, actions, flags)
        return ran.result, ran.packet, counted

    def ran(self, packet: bytes, actions: Actions, flags: int = 0) -> tuple[Ran, int]:
        """What the programs make of `packet`, and how many packets the flow counted."""
        key = key_of(packet, self.port)
        put = FlowPut(key.masked(EXACT), EXACT, actions, b"test".ljust(16))
        self.ebpf.operate([put])
        assert not put.error, put.detail
        offload = self.ebpf.offload
        assert put.ufid in offload.flows, f"{offload.reasons} for {packet.hex()} {actions}"
        gone = FlowDel(key, put.ufid)
        try:
            ran = offload.programs.classify.run(packet, skb(ifindex=self.ifindex), flags=flags)
        finally:
            self.ebpf.operate([gone])
        assert gone.stats is not None
        return ran, gone.stats.n_packets

    def sums_are_checked(self) -> bool:
        """Whether BPF_PROG_TEST_RUN here can give a packet the device's sum, and look at it afterwards."""
        program = self.ebpf.offload.programs.classify
        try:
            program.run(bytes(60), skb(ifindex=self.ifindex), flags=CHECKSUM_COMPLETE)
        except BpfError as e:
            if e.errno == errno.EINVAL:
                return False
            raise
        return True

    def in_userspace(self, packet: bytes, actions: Actions) -> list[bytes]:
        self.userspace.operate([Execute(packet, key_of(packet, 0), actions)])
        return find(self.dummy).transmitted()


def _exact() -> Flow:
    mask = Flow()
    for word in (at.W_IN_PORT, *range(at.W_PACKET, at.N_WORDS)):
        mask.words[word] = -1
    mask.words[at.W_TP_SRC] = -1 << 32
    return mask


EXACT = _exact()
