"""The kernel's datapath: what only it has, and what the real tools say of ours."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dpif.lab import ALL_UDP, execute, flow_put, key_of, mask_of, put, udp, ufid_of
from tests.uml.inside.lab import KernelLab, ip
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Destination, Level, set_levels
from vswitch.dpif.actions import Ct, Output, Recirc, Userspace
from vswitch.dpif.kernel import datapath
from vswitch.dpif.kernel.provider import DpifKernel
from vswitch.dpif.logged import LoggedDpif
from vswitch.dpif.open import dpif_create_and_open, dpif_open, enumerate_datapaths
from vswitch.dpif.ops import FlowDel, FlowPut, Op
from vswitch.dpif.probe import probe
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import CtLimit, DpifError, PutFlags


@pytest.fixture
def lab() -> Iterator[KernelLab]:
    lab = KernelLab()
    yield lab
    lab.close()


@pytest.fixture
def dpif(lab: KernelLab) -> Iterator[Dpif]:
    dpif = lab.open()
    yield dpif
    dpif.close()


def provider(dpif: Dpif) -> DpifKernel:
    assert isinstance(dpif, LoggedDpif)
    assert isinstance(dpif.provider, DpifKernel)
    return dpif.provider


def run(*words: str, check: bool = True) -> str:
    done = subprocess.run(" ".join(words).split(), capture_output=True, text=True, check=False)
    assert not (check and done.returncode), f"{' '.join(words)}: {done.stderr}"
    return done.stdout


# Opening.


def test_the_datapath_is_made_reused_and_destroyed(lab: KernelLab) -> None:
    with pytest.raises(DpifError, match=r"system@lab: open failed \(No such device\)"):
        dpif_open("lab", "system", lab.clock)
    first = lab.open()
    again = dpif_create_and_open("lab", "system", lab.clock)
    assert provider(first).dp_ifindex == provider(again).dp_ifindex
    assert enumerate_datapaths("system") == ["lab"]
    assert run("ovs-dpctl dump-dps").split() == ["system@lab"]
    again.destroy()
    with pytest.raises(DpifError) as e:
        first.stats()
    assert e.value.errno == errno.ENODEV
    assert enumerate_datapaths("system") == []
    first.close()
    again.close()
    again.close()


def test_a_name_that_a_device_has_already_is_refused(lab: KernelLab) -> None:
    name = lab.device()
    with pytest.raises(DpifError, match=f"system@{name}"):
        dpif_create_and_open(name, "system", lab.clock)


def test_an_unknown_type_says_which_there_are(lab: KernelLab) -> None:
    with pytest.raises(DpifError, match="no datapaths of type magic, only ebpf, netdev, system"):
        dpif_create_and_open("x", "magic", lab.clock)


LEAVE_A_DATAPATH = """
import os, sys
from vswitch.base.clock import Clock
from vswitch.dpif.open import dpif_create_and_open
from tests.dpif.lab import put, udp
from vswitch.dpif.actions import Output
dpif = dpif_create_and_open("lab", "system", Clock())
port = dpif.port_add(sys.argv[1], "system")
dpif.recv_set(True)
put(dpif, udp(), port, (Output(0),))
os._exit(9)
"""


def test_a_datapath_left_by_a_killed_process_is_taken_over(lab: KernelLab) -> None:
    name = lab.device()
    assert subprocess.run([sys.executable, "-c", LEAVE_A_DATAPATH, name], check=False).returncode == 9
    dpif = lab.open()
    kernel = provider(dpif)
    number = dpif.port_query_by_name(name).port_no
    stale = {p.port_no: p.upcall_pids for p in kernel._ports()}
    assert stale[number] != (0,)
    assert len(list(dpif.flow_dump())) == 1
    dpif.flow_flush()
    dpif.recv_set(True)
    assert list(dpif.flow_dump()) == []
    assert {p.port_no: p.upcall_pids for p in kernel._ports()} == {
        n: (dpif.port_get_pid(n),) for n in (0, number)
    }
    lab.inject(name, udp())
    (upcall,) = lab.upcalls(dpif)
    assert upcall.key.in_port == number
    dpif.close()


def test_a_datapath_left_with_per_cpu_upcalls_gets_ours(lab: KernelLab) -> None:
    dpif = lab.open()
    kernel = provider(dpif)
    families = kernel._families
    features = datapath.USER_FEATURES | datapath.OVS_DP_F_DISPATCH_UPCALL_PER_CPU
    datapath.set_features(kernel._sock, families.datapath, kernel.dp_ifindex, features)
    dpif.close()
    again = lab.open()
    info = datapath.get(provider(again)._sock, families.datapath, "lab")
    assert info.user_features == datapath.USER_FEATURES
    again.close()


# Ports.


def test_the_modules_own_tunnel_ports_are_made_with_their_udp_port(lab: KernelLab, dpif: Dpif) -> None:
    """They are what there is under names other than those of the ports that tunnels share."""
    for name, kind, options, expected in (
        ("vx0", "vxlan", {}, 4789),
        ("vx1", "vxlan", {"dst_port": "9999", "exts": "gbp"}, 9999),
        ("ge0", "geneve", {}, 6081),
        ("gr0", "gre", None, 0),
    ):
        number = dpif.port_add(name, kind, None, options)
        info = next(p for p in provider(dpif)._ports() if p.port_no == number)
        assert (info.name, info.type, info.dst_port) == (name, kind, expected)
        assert f"{name} ({kind}" in run("ovs-dpctl show system@lab")
        dpif.port_del(number)
    with pytest.raises(DpifError, match="'12x' is no UDP port"):
        dpif.port_add("v", "vxlan", None, {"dst_port": "12x"})
    with pytest.raises(DpifError, match="no ports of type patch"):
        dpif.port_add("p", "patch")


def test_a_device_of_another_bridge_is_busy(lab: KernelLab, dpif: Dpif) -> None:
    name = lab.device()
    other = dpif_create_and_open("lab2", "system", lab.clock)
    number = other.port_add(name, "system")
    try:
        with pytest.raises(DpifError) as e:
            dpif.port_add(name, "system")
        assert e.value.errno == errno.EBUSY
        with pytest.raises(DpifError, match=r"port query failed .*another datapath"):
            dpif.port_query_by_name(name)
        assert [p.port_no for p in other.port_dump()] == [0, number]
    finally:
        other.destroy()
        other.close()


# Refused requests.


def test_what_the_kernel_refuses_names_operation_object_and_errno(lab: KernelLab, dpif: Dpif) -> None:
    with pytest.raises(DpifError) as e:
        dpif.port_add("no-such-dev", "system")
    assert (e.value.errno, e.value.operation) == (errno.ENODEV, "port add")
    assert str(e.value).endswith("system@lab: no-such-dev: port add failed (No such device)")
    with pytest.raises(DpifError) as e:
        dpif.port_query_by_number(77)
    assert (e.value.errno, e.value.obj) == (errno.ENODEV, "system@lab: port 77")
    bad = FlowPut(key_of(udp(), 1), mask_of(), (Output(1 << 20),), ufid_of(1))
    dpif.operate([bad])
    assert bad.error == errno.EINVAL
    long = flow_put(udp(), 1, tuple(Output(n % 1000) for n in range(20000)))
    fine = flow_put(udp(), 1, (Output(0),))
    dpif.operate([long, fine])
    assert long.error == errno.E2BIG
    assert "don't fit" in long.detail or "doesn't fit" in long.detail
    assert fine.error == 0


def test_operations_are_logged_as_the_real_switch_does(
    lab: KernelLab, dpif: Dpif, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vswitch.dpif.logged.error_rl", RateLimit(60, 5))
    set_levels("dpif", Destination.CONSOLE, Level.DBG)
    try:
        _, port = lab.attach(dpif)
        put(dpif, udp(), port, (Output(0),))
        dpif.operate([flow_put(udp(), port, (), flags=PutFlags.MODIFY, n=5)])
        execute(dpif, udp(), (Output(0),), port)
        dpif.operate([FlowDel(key_of(udp(), port), ufid_of(44))])
    finally:
        set_levels("dpif", Destination.CONSOLE, Level.WARN)
    log = capsys.readouterr().err
    assert re.search(r"\|dpif\|DBG\|system@lab: added k\d+ as port 1\n", log)
    assert "|dpif|DBG|system@lab: put[create][modify] ufid:00000000-0000-0000-0000-000000000001 " in log
    assert "|dpif|WARN|system@lab: failed to put[modify] (No such file or directory) ufid:" in log
    assert re.search(r"\|dpif\|DBG\|system@lab: execute 0 on packet udp,.*\n with metadata .* mtu 0\n", log)
    assert "|dpif|DBG|system@lab: failed to flow_del (No such file or directory) ufid:" in log


# Flows, as the real tools see them.


def test_the_real_ovs_dpctl_shows_our_ports_and_flows(lab: KernelLab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Output(port_b), Userspace(7, b"\1\2\3")), fields=ALL_UDP)
    lab.inject(a, udp())
    assert lab.sent(dpif, b) == [udp()]
    shown = run("ovs-dpctl show system@lab")
    assert f"port {port_a}: {a}" in shown
    assert "flows: 1" in shown
    (line,) = run("ovs-dpctl dump-flows system@lab").splitlines()
    assert re.sub(r"used:[\d.]+s", "used:T", line) == (
        f"recirc_id(0),in_port({port_a}),eth(src=02:00:00:00:00:0a,dst=02:00:00:00:00:0b),eth_type(0x0800),"
        "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,frag=no),udp(src=1000,dst=2000), packets:1, "
        f"bytes:{len(udp())}, used:T, actions:{port_b},userspace(pid=7,userdata(010203))"
    )


def test_flows_that_ovs_dpctl_put_are_read_and_deleted(lab: KernelLab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    key = f"in_port({port}),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0,frag=no)"
    run("ovs-dpctl add-flow system@lab", key, "0")
    (flow,) = dpif.flow_dump()
    assert flow.actions == (Output(0),)
    assert flow.mask.nw_dst == 0xFF000000
    op = FlowDel(flow.key, flow.ufid)
    dpif.operate([op])
    assert (op.error, list(dpif.flow_dump())) == (0, [])


def test_a_flow_used_a_moment_ago_says_so_by_our_clock(lab: KernelLab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Output(port_b),))
    lab.clock.stop()
    lab.clock.warp(500_000)
    lab.inject(a, udp())
    lab.sent(dpif, b)
    (flow,) = dpif.flow_dump()
    assert 0 <= lab.clock.now() - flow.stats.used < 2000


def test_ten_thousand_flows_are_put_dumped_and_flushed(lab: KernelLab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    ops: list[Op] = []
    for n in range(10_000):
        packet = udp(sport=n % 60000 + 1, dst=f"10.1.{n >> 8}.{n & 255}")
        ops.append(flow_put(packet, port, (Output(0),), n + 1, ALL_UDP))
    dpif.operate(ops)
    assert not any(op.error for op in ops)
    started = time.monotonic()
    seen = {flow.ufid for flow in dpif.flow_dump()}
    print(f"dump of 10,000 flows: {time.monotonic() - started:.2f} s")
    assert len(seen) == 10_000
    dpif.flow_flush()
    assert dpif.stats().n_flows == 0


# Upcalls.


def test_an_action_upcall_brings_userdata_actions_and_the_recirculation_id(
    lab: KernelLab, dpif: Dpif
) -> None:
    a, port = lab.attach(dpif)
    dpif.recv_set(True)
    up = Userspace(dpif.port_get_pid(port), b"cookie", None, True)
    put(dpif, udp(), port, (up, Recirc(5)))
    lab.inject(a, udp())
    action, miss = sorted(lab.upcalls(dpif, 2), key=lambda u: -u.type)
    assert (action.type.name, action.userdata, action.actions) == ("ACTION", b"cookie", (up, Recirc(5)))
    assert (miss.type.name, miss.key.recirc_id, miss.key.in_port) == ("MISS", 5, port)
    assert miss.packet == action.packet == udp()
    assert miss.raw_key


def test_the_tap_of_the_local_port_sends_up_too(lab: KernelLab, dpif: Dpif) -> None:
    dpif.recv_set(True)
    ip("link set lab up")
    ip("addr add 192.0.2.1/24 dev lab")
    run("ping -c 1 -W 1 192.0.2.2", check=False)
    upcalls = lab.upcalls(dpif)
    assert {u.key.in_port for u in upcalls} == {0}
    assert 0x0806 in {u.key.dl_type for u in upcalls}


# Connection tracking.


def test_connections_are_dumped_limited_and_flushed(lab: KernelLab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    dpif.ct_flush()
    commit = (Ct(commit=True, mark=(0x77, 0xFFFFFFFF)),)
    for n in range(3):
        assert execute(dpif, udp(sport=n + 1), commit, port).error == 0
    entries = sorted(dpif.ct_dump(), key=lambda e: e.orig[2])
    assert [e.orig for e in entries] == [("10.0.0.1", "10.0.0.2", n + 1, 2000) for n in range(3)]
    assert [e.reply for e in entries] == [("10.0.0.2", "10.0.0.1", 2000, n + 1) for n in range(3)]
    assert {(e.proto, e.zone) for e in entries} == {(17, 0)}
    assert {e.mark for e in entries} <= {0x77, 0}
    assert list(dpif.ct_dump(zone=9)) == []
    dpif.ct_flush(zone=9)
    assert len(list(dpif.ct_dump())) == 3
    dpif.ct_flush(zone=0)
    assert list(dpif.ct_dump()) == []
    execute(dpif, udp(), commit, port)
    dpif.ct_flush()
    assert list(dpif.ct_dump()) == []


def test_zone_limits_are_set_read_and_taken_back(dpif: Dpif) -> None:
    dpif.ct_set_limits([CtLimit(None, 1000), CtLimit(0, 5)])
    limits = dpif.ct_get_limits([])
    assert (limits[0].zone, limits[0].limit) == (None, 1000)
    assert [(c.zone, c.limit) for c in dpif.ct_get_limits([0])][-1] == (0, 5)
    dpif.ct_del_limits([0])
    assert [(c.zone, c.limit) for c in dpif.ct_get_limits([0])][-1] == (0, 1000)


# What it can do.


def test_the_probe_finds_what_the_real_switch_finds(lab: KernelLab) -> None:
    """The real ovs-vswitchd on the same kernel says the same of every feature, line by line."""
    dpif = lab.open()
    ours = probe(dpif).show()
    assert list(dpif.flow_dump()) == []
    assert probe(dpif).max_meters > 0
    dpif.destroy()
    dpif.close()
    # It finds out how many cores there are only 10 s after boot, and has no upcall handlers before.
    while float(Path("/proc/uptime").read_text().split()[0]) < 11:
        time.sleep(0.2)
    home = Path("/run/ovs")
    home.mkdir()
    env = {**os.environ, "OVS_RUNDIR": str(home), "OVS_DBDIR": str(home), "OVS_LOGDIR": str(home)}

    def ovs(command: str) -> str:
        done = subprocess.run(
            command.split(), env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return done.stdout

    ovs(f"ovsdb-tool create {home}/conf.db /usr/share/openvswitch/vswitch.ovsschema")
    ovs(f"ovsdb-server {home}/conf.db --remote=punix:{home}/db.sock --detach --no-chdir --pidfile --log-file")
    ovs("ovs-vsctl --no-wait init")
    ovs("ovs-vswitchd --detach --no-chdir --pidfile --log-file")
    ovs("ovs-vsctl add-br br0")
    theirs = ovs("ovs-appctl dpif/show-dp-features br0")
    ovs("ovs-appctl exit --cleanup")
    ovs("ovs-appctl -t ovsdb-server exit")
    assert ours == theirs


