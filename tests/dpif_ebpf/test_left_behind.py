"""What a switch leaves at its ports: nothing, whether it ends in order or is killed."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.dpif.lab import key_of, put, udp, ufid_of
from tests.dpif_ebpf.lab import EbpfLab, own_namespace, sh
from vswitch.dpif.actions import Output
from vswitch.dpif.ebpf import attach
from vswitch.dpif.ops import FlowPut
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.clsact import ClsactFilter, remove_stale
from vswitch.ebpf.link import TCX_INGRESS
from vswitch.ebpf.owner import is_left, mark
from vswitch.ebpf.program import Program
from vswitch.ebpf.syscall import BpfError, Buffer, bpf
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.netdev.tunnel_link import TunnelLinks
from vswitch.netlink.errors import NlError

pytestmark = pytest.mark.system
PROG_QUERY = 16

CHILD = """
import sys, time
from vswitch.base.clock import Clock
from vswitch.dpif.ebpf.provider import EbpfDpif
{before}
dpif = EbpfDpif("left", Clock())
dpif.port_add("left0", "system")
print("ready", flush=True)
sys.stdin.read()
dpif.destroy()
"""
WITHOUT_TCX = """
import errno
from vswitch.dpif.ebpf import attach
from vswitch.ebpf.syscall import BpfError
class NoTcx:
    def __init__(self, *args):
        raise BpfError(errno.EINVAL, "no tcx")
attach.TcxLink = NoTcx
"""
TUNNEL = """
class WithTunnel(EbpfDpif):
    def __init__(self, *args):
        super().__init__(*args)
        self.port_add("vxlan_sys_4789", "vxlan", options={"dst_port": "4789"})
EbpfDpif = WithTunnel
"""
NOTHING = """
from vswitch.dpif.open import dpif_create_and_open
class EbpfDpif:
    def __init__(self, name, clock):
        self.dpif = dpif_create_and_open(name + "2", "{type}", clock)
    def port_add(self, name, type):
        pass
    def destroy(self):
        self.dpif.destroy()
"""


def attached(name: str) -> int:
    """How many programs are at an interface's tcx ingress."""
    attr = Buffer(64)
    struct.pack_into("=II", attr.view, 0, socket.if_nametoindex(name), TCX_INGRESS)
    bpf(PROG_QUERY, attr, "asking what is attached")
    return int(struct.unpack_from("=I", attr.view, 24)[0])


def interfaces() -> dict[str, int]:
    return {name: number for number, name in socket.if_nameindex()}


def alias(name: str) -> str:
    return subprocess.run(["ip", "link", "show", name], capture_output=True, text=True,
                          check=True).stdout.partition(" alias ")[2]


def filters(name: str) -> str:
    return subprocess.run(["tc", "filter", "show", "dev", name, "ingress"], capture_output=True, text=True,
                          check=False).stdout


@pytest.fixture
def device(require: Callable[..., None]) -> Iterator[str]:
    require("root", "netns", "tun", "ebpf", "command:tc")
    with own_namespace():
        sh("ip link add left0 type veth peer name left1", "ip link set left0 up", "ip link set left1 up")
        yield "left0"


def switch(before: str = "") -> subprocess.Popen[str]:
    """A process with a datapath that has port left0."""
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(before=before)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def end(child: subprocess.Popen[str], kill: bool) -> None:
    if kill:
        child.send_signal(signal.SIGKILL)
    child.communicate(timeout=20)
    assert child.returncode == (-signal.SIGKILL if kill else 0)


@pytest.mark.parametrize("kill", [False, True], ids=["in order", "killed"])
def test_nothing_is_left_with_tcx(device: str, kill: bool) -> None:
    child = switch()
    assert attached(device) == 1
    assert "left" in {name for _, name in socket.if_nameindex()}
    end(child, kill)
    assert attached(device) == 0
    assert {name for _, name in socket.if_nameindex()} == {"lo", "left0", "left1"}


def test_a_clsact_filter_ends_with_its_switch(device: str) -> None:
    child = switch(WITHOUT_TCX)
    assert f"vswitch.{child.pid}" in filters(device)
    end(child, kill=False)
    assert "vswitch" not in filters(device)


def test_many_ports_and_flows_go_quickly(device: str) -> None:
    """By tcx each waits for all CPUs, 10 to 30 ms with the kernel's lock held, and so does each packet
    socket; each flow names a port that goes, some of them all."""
    n, n_flows = 200, 4000
    names = [f"many{i}" for i in range(n)]
    lines = "".join(f"link add {name} type veth peer name {name}x\nlink set {name} up\n" for name in names)
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)
    lab = EbpfLab()
    dpif = lab.open()
    try:
        ports = [dpif.port_add(name, "system") for name in names]
        by_tcx = [attached(name) for name in names]
        assert by_tcx == [1] * attach.MAX_TCX + [0] * (n - attach.MAX_TCX)
        assert all("vswitch" in filters(name) for name in names[attach.MAX_TCX :: 40])
        everywhere = tuple(map(Output, ports))
        mask = Flow()
        mask.words[at.W_IN_PORT] = mask.words[at.W_NW_SRC] = -1
        mask.words[at.W_ETH_TYPE] |= 0xFFFF
        flows = []
        for i in range(n_flows):
            key = key_of(udp(src=f"10.0.{i >> 8}.{i & 255}"), ports[i % n]).masked(mask)
            actions = (Output(ports[i % 7]),) if i % 100 else everywhere
            flows.append(FlowPut(key, mask, actions, ufid_of(i)))
        dpif.operate(flows)
        assert len(dpif.offload.flows) == n_flows, set(dpif.offload.reasons.values())
        began = time.monotonic()
        for port in ports[:20]:
            dpif.port_del(port)
        dpif.destroy()
        took = time.monotonic() - began
        assert took < 4, took
        assert not any(attached(name) for name in names)
        assert not any("vswitch" in filters(name) for name in names[::40])
    finally:
        lab.dpif = None
        lab.close()


def test_the_next_switch_removes_the_filters_of_one_that_was_killed(device: str) -> None:
    sh("ip link add other0 type veth peer name other1")
    child = switch(WITHOUT_TCX)
    a = Asm()
    a.ret(-1)
    program = Program(a, "test_other")
    living = ClsactFilter(program, socket.if_nametoindex("other0"), egress=False)
    end(child, kill=True)
    assert "vswitch" in filters(device)
    assert remove_stale() == [socket.if_nametoindex(device)]
    assert "vswitch" not in filters(device)
    assert "vswitch" in filters("other0"), "a living process's filter stays"
    living.close()
    program.close()
    assert "vswitch" not in filters("other0")


def test_the_next_switch_removes_what_a_killed_one_left_whatever_its_type(device: str) -> None:
    """Filters at ports that it doesn't have, and devices of tunnels, which another one gets anew."""
    child = switch(WITHOUT_TCX + TUNNEL)
    assert f"vswitch.{child.pid}." in filters(device)
    left = interfaces()["vxlan_sys_4789"]
    assert alias("vxlan_sys_4789").startswith(f"vswitch.{child.pid}.")
    end(child, kill=True)
    assert "vswitch" in filters(device)
    assert interfaces()["vxlan_sys_4789"] == left
    # A process of the same number is another one, as it is in a container at each start.
    assert not is_left(mark())
    assert is_left(f"vswitch.{os.getpid()}.1")
    end(switch(NOTHING.format(type="netdev")), kill=False)
    assert "vswitch" not in filters(device)
    assert set(interfaces()) == {"lo", "left0", "left1"}


def test_a_tunnels_device_of_a_living_switch_stays(device: str) -> None:
    child = switch(TUNNEL)
    before = interfaces()
    other = switch(NOTHING.format(type="ebpf"))
    assert interfaces().items() >= before.items()
    links = TunnelLinks()
    try:
        with pytest.raises(NlError, match="device vxlan_sys_4789 is somebody else's"):
            links.create_marked("vxlan_sys_4789", "vxlan", {"dst_port": "4789"}, mark())
    finally:
        links.close()
    end(other, kill=False)
    assert interfaces() == before
    end(child, kill=False)
    assert set(interfaces()) == {"lo", "left0", "left1"}


def test_traffic_passes_by_clsact_too(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_tcx(*_args: object) -> None:
        raise BpfError(errno.EINVAL, "no tcx")

    monkeypatch.setattr(attach, "TcxLink", no_tcx)
    lab = EbpfLab()
    try:
        dpif = lab.open()
        (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
        put(dpif, udp(), port_a, (Output(port_b),))
        lab.inject(a, udp())
        assert lab.sent(dpif, b) == [udp()]
        assert lab.kernel_hits() == 1
        assert "vswitch" in filters(a)
    finally:
        lab.close()
