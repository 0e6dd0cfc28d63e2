"""The 17 channels on a real kernel: pids, fairness, losses, teardown."""

from __future__ import annotations

import os
import re
import resource
import select
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.dpif.lab import udp
from tests.uml.inside.lab import KernelLab, ip
from vswitch.base.vlog import Destination, Level, Vlog, set_levels
from vswitch.dpif.kernel import datapath, vport
from vswitch.dpif.kernel.channels import N_CHANNELS, N_SKETCHES, channel_of
from vswitch.dpif.kernel.provider import DpifKernel
from vswitch.dpif.logged import LoggedDpif
from vswitch.dpif.provider import RECV_BATCH
from vswitch.dpif.types import ODPP_NONE, DpifError


@pytest.fixture
def lab() -> Iterator[KernelLab]:
    lab = KernelLab()
    yield lab
    lab.close()


@pytest.fixture
def kernel(lab: KernelLab) -> Iterator[DpifKernel]:
    dpif = lab.open()
    assert isinstance(dpif, LoggedDpif)
    assert isinstance(dpif.provider, DpifKernel)
    yield dpif.provider
    dpif.close()


def pids(kernel: DpifKernel) -> dict[int, tuple[int, ...]]:
    """Port number -> upcall pids, as the kernel has them."""
    return {p.port_no: p.upcall_pids for p in kernel._ports()}


def open_fds() -> list[str]:
    """What this process's descriptors are, in order."""
    with os.scandir("/proc/self/fd") as entries:
        links = [os.readlink(f"/proc/self/fd/{e.name}") for e in entries if os.path.islink(e.path)]
    return sorted(link for link in links if not link.startswith("/proc"))


def test_one_epoll_set_holds_17_netlink_sockets(kernel: DpifKernel) -> None:
    kernel.recv_set(True)
    with open(f"/proc/self/fdinfo/{kernel.recv_fd()}") as f:
        targets = [int(line.split()[1]) for line in f if line.startswith("tfd:")]
    assert len(targets) == N_CHANNELS == 17
    inodes = {int(re.sub(r"\D", "", os.readlink(f"/proc/self/fd/{fd}"))) for fd in targets}
    with open("/proc/net/netlink") as f:
        rows = [line.split() for line in f][1:]
    generic = {int(row[9]): int(row[2]) for row in rows if row[1] == "16"}
    assert sorted(generic[inode] for inode in inodes) == sorted(kernel.channels.pids())


def test_every_port_has_the_pid_of_its_channel(lab: KernelLab, kernel: DpifKernel) -> None:
    for number in (1, 2, 15, 16, 17, 33):
        kernel.port_add(lab.device(), "system", number)
    assert set(pids(kernel).values()) == {(0,)}
    kernel.recv_set(True)
    by_channel = kernel.channels.pids()
    assert pids(kernel) == {n: (by_channel[1 + n % 16],) for n in (0, 1, 2, 15, 16, 17, 33)}
    assert kernel.port_get_pid(ODPP_NONE) == by_channel[0]
    assert channel_of(ODPP_NONE) == 0


def test_a_port_added_while_receiving_has_its_pid_at_once(lab: KernelLab, kernel: DpifKernel) -> None:
    kernel.recv_set(True)
    chosen = kernel.port_add(lab.device(), "system")
    asked = kernel.port_add(lab.device(), "system", 40)
    assert pids(kernel)[chosen] == (kernel.port_get_pid(chosen),)
    assert pids(kernel)[asked] == (kernel.port_get_pid(asked),) == (kernel.channels.pids()[9],)


def test_a_port_that_somebody_else_added_gets_its_pid_when_noticed(
    lab: KernelLab, kernel: DpifKernel
) -> None:
    kernel.recv_set(True)
    kernel.port_poll()
    name = lab.device()
    subprocess.run(["ovs-dpctl", "add-if", "system@lab", name], check=True)
    number = kernel.port_query_by_name(name).port_no
    assert select.select([kernel.port_poll_fd()], [], [], 5)[0]
    assert name in (kernel.port_poll() or ())
    assert pids(kernel)[number] == (kernel.port_get_pid(number),)
    assert kernel.port_poll() == set()


def test_per_cpu_upcalls_that_ovs_dpctl_turns_on_are_turned_off_at_once(
    lab: KernelLab, kernel: DpifKernel
) -> None:
    name, _ = lab.attach(kernel)
    kernel.recv_set(True)
    kernel.port_poll()
    families = kernel._families
    per_cpu = datapath.USER_FEATURES | datapath.OVS_DP_F_DISPATCH_UPCALL_PER_CPU
    datapath.set_features(kernel._sock, families.datapath, kernel.dp_ifindex, per_cpu)
    assert select.select([kernel.port_poll_fd()], [], [], 5)[0]
    assert kernel.port_poll() == set()
    info = datapath.get(kernel._sock, families.datapath, "lab")
    assert info.user_features == datapath.USER_FEATURES
    lab.inject(name, udp())
    assert len(lab.upcalls(kernel)) == 1
    subprocess.run(["ovs-dpctl", "show"], check=True, stdout=subprocess.DEVNULL)
    kernel.port_poll()
    lab.inject(name, udp())
    assert len(lab.upcalls(kernel)) == 1


def test_turning_receiving_on_and_off_is_idempotent_and_leaves_nothing(
    lab: KernelLab, kernel: DpifKernel
) -> None:
    name, number = lab.attach(kernel)
    before = open_fds()
    for _ in range(2):
        kernel.recv_set(True)
    assert len(open_fds()) == len(before) + N_CHANNELS + 1
    first = kernel.channels.pids()
    for _ in range(2):
        kernel.recv_set(False)
    assert open_fds() == before
    assert kernel.recv_fd() == -1
    assert kernel.port_get_pid(number) == 0
    assert set(pids(kernel).values()) == {(0,)}
    assert kernel.recv(50) == []
    kernel.recv_set(True)
    assert pids(kernel)[number] == (kernel.port_get_pid(number),)
    assert set(first) != set(kernel.channels.pids())
    lab.inject(name, udp())
    assert len(lab.upcalls(kernel)) == 1


def test_an_error_half_way_leaves_nothing_open(lab: KernelLab, kernel: DpifKernel) -> None:
    _, number = lab.attach(kernel)
    before = open_fds()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 9, hard))
        with pytest.raises(DpifError, match=r"system@lab: recv set failed \(Too many open files\).*of 17"):
            kernel.recv_set(True)
        assert open_fds() == before
        assert kernel.recv_fd() == -1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert set(pids(kernel).values()) == {(0,)}
    kernel.recv_set(True)
    assert pids(kernel)[number] == (kernel.port_get_pid(number),)


def test_a_recv_takes_at_most_50_messages(lab: KernelLab, kernel: DpifKernel) -> None:
    name, _ = lab.attach(kernel)
    kernel.recv_set(True)
    for i in range(120):
        lab.inject(name, udp(sport=i + 1))
    time.sleep(0.1)
    sizes = [len(kernel.recv(1000)) for _ in range(4)]
    assert sizes[:2] == [RECV_BATCH, RECV_BATCH]
    assert sum(sizes) == 120


def test_a_flooded_channel_does_not_starve_another(lab: KernelLab, kernel: DpifKernel) -> None:
    (flooder, low), (victim, high) = lab.attach(kernel), lab.attach(kernel)
    assert channel_of(low) < channel_of(high)
    kernel.recv_set(True)
    for i in range(300):
        lab.inject(flooder, udp(sport=i + 1))
    for i in range(5):
        lab.inject(victim, udp(sport=i + 1))
    time.sleep(0.1)
    upcalls = kernel.recv(50)
    assert len(upcalls) == 50
    assert [u.key.tp_src for u in upcalls if u.key.in_port == high] == [1, 2, 3, 4, 5]
    # And the next call goes on where this one stopped, the queue's order kept.
    sources = [u.key.tp_src for u in upcalls + kernel.recv(50) if u.key.in_port == low]
    assert sources == list(range(1, len(sources) + 1))


def test_purging_discards_what_is_queued(lab: KernelLab, kernel: DpifKernel) -> None:
    name, _ = lab.attach(kernel)
    kernel.recv_set(True)
    for _ in range(70):
        lab.inject(name, udp())
    time.sleep(0.1)
    kernel.recv_purge()
    assert kernel.recv(50) == []
    lab.inject(name, udp(sport=9))
    (upcall,) = lab.upcalls(kernel)
    assert upcall.key.tp_src == 9


def test_the_loss_report_names_the_ports_and_its_bounds_hold(
    lab: KernelLab, kernel: DpifKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten ports share channel 2; the first sends far more than fits into the queue."""
    Vlog("dpif_linux")
    set_levels("dpif_linux", Destination.CONSOLE, Level.WARN)
    numbers = [1 + 16 * i for i in range(10)]
    names = [lab.device() for _ in numbers]
    for name, number in zip(names, numbers, strict=True):
        kernel.port_add(name, "system", number)
    kernel.recv_set(True)
    received: dict[int, int] = {}

    def drain() -> None:
        while upcalls := kernel.recv(50):
            for upcall in upcalls:
                received[upcall.key.in_port] = received.get(upcall.key.in_port, 0) + 1

    for _ in range(3):
        for name in names:
            lab.inject(name, udp())
        for i in range(100):
            lab.inject(names[0], udp(sport=i + 1))
    drain()
    time.sleep(0.3)
    sent = 5000
    for i in range(sent):
        lab.inject(names[0], udp(sport=i % 60000 + 1, payload=bytes(900)))
    before = received.get(1, 0)
    drain()
    got = received[1] - before
    assert 0 < got < sent
    channel = kernel.channels._channels[2]
    assert channel.n_lost == sent - got
    assert channel.n_overruns == 1
    report = next(line for line in capsys.readouterr().err.splitlines() if "lost" in line)
    m = re.search(
        r"system@lab: lost (\d+) packets on channel 2 \(last polled (\d+) ms ago\), "
        r"most frequent sources are port (\d+) \((\S+): (\d+) to (\d+) upcalls\)",
        report,
    )
    assert m, report
    assert int(m[1]) == sent - got
    assert int(m[2]) >= 300
    assert (int(m[3]), m[4]) == (1, names[0])
    assert len(channel.sketch.top()) == N_SKETCHES
    for port, hits, error in channel.sketch.top():
        assert hits - error <= received[port] <= hits
    assert kernel.channels.loss_of(1) > 0.9 * (sent - got)
    shown = kernel.show_channels()
    assert f"lost {sent - got}, overruns 1" in shown
    assert f"port 1 ({names[0]})" in shown


def test_counts_are_halved_every_minute(lab: KernelLab, kernel: DpifKernel) -> None:
    name, number = lab.attach(kernel)
    kernel.recv_set(True)
    for _ in range(40):
        lab.inject(name, udp())
    assert len(lab.upcalls(kernel, 40)) == 40
    sketch = kernel.channels._channels[channel_of(number)].sketch
    assert sketch.top() == [(number, 40, 0)]
    lab.clock.stop()
    lab.clock.warp(61_000)
    kernel.recv(50)
    assert sketch.top() == [(number, 20, 0)]


def test_a_device_that_vanishes_takes_its_port_along(lab: KernelLab, kernel: DpifKernel) -> None:
    kernel.recv_set(True)
    name, number = lab.attach(kernel)
    kernel.port_poll()
    ip(f"link del {name}")
    lab.peers.pop(name).close()
    assert select.select([kernel.port_poll_fd()], [], [], 5)[0]
    assert name in (kernel.port_poll() or ())
    with pytest.raises(DpifError):
        kernel.port_query_by_number(number)
    kernel.set_upcall_pids()


def test_a_device_that_comes_back_or_changes_is_noticed(lab: KernelLab, kernel: DpifKernel) -> None:
    name, _ = lab.attach(kernel)
    while kernel.port_poll():
        pass
    for change in (f"link set {name} down", f"link set {name} up", f"link set {name} mtu 1400"):
        ip(change)
        assert select.select([kernel.port_poll_fd()], [], [], 5)[0]
        assert name in (kernel.port_poll() or ())
        time.sleep(0.05)
        kernel.port_poll()
    ip(f"link del {name}")
    lab.peers.pop(name).close()
    time.sleep(0.1)
    assert name in (kernel.port_poll() or ())
    ip(f"link add {name} type dummy")
    assert name in (kernel.port_poll() or ())
    ip(f"link del {name}")


def test_lost_notifications_mean_that_everything_may_have_changed(
    lab: KernelLab, kernel: DpifKernel
) -> None:
    kernel.recv_set(True)
    name = lab.device()
    kernel.port_poll()
    kernel._changes._vports._set_rcvbuf(1)
    for _ in range(30):
        kernel.port_del(kernel.port_add(name, "system"))
    subprocess.run(["ovs-dpctl", "add-if", "system@lab", name], check=True)
    assert kernel.port_poll() is None
    number = kernel.port_query_by_name(name).port_no
    assert pids(kernel)[number] == (kernel.port_get_pid(number),)
    assert isinstance(kernel._vport("x", vport.get, number, None), vport.VportInfo)
