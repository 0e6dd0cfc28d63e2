"""Interfaces of the kernel through the userspace datapath: real hosts, real TCP, as root."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.netdev.hosts import (
    ROOT,
    A,
    B,
    W,
    crossover,
    namespaces,
    sh,
    switch_environment,
    within,
    within_switch,
)

Require = Callable[..., None]
pytestmark = pytest.mark.system


@pytest.fixture
def hosts(require: Require) -> Iterator[None]:
    require("root", "netns", "command:ip", "command:ping", "tun")
    with namespaces():
        yield


def ping(address: str, host: str = A, *options: str) -> str:
    return within(host, "ping", "-q", "-c", "3", "-i", "0.05", "-W", "2", *options, address)


def transfer(address: str, megabytes: int = 64, server: str = B, client: str = A) -> float:
    """Send over TCP from `client` to `server`; the seconds it took."""
    family = "AF_INET6" if ":" in address else "AF_INET"
    receive = textwrap.dedent(f"""
        import hashlib, socket
        s = socket.create_server(("{address}", 5678), family=socket.{family})
        print("ready", flush=True)
        c, _ = s.accept(); h = hashlib.sha256(); n = 0
        while data := c.recv(1 << 20):
            h.update(data); n += len(data)
        print(n, h.hexdigest(), flush=True)
    """)
    send = textwrap.dedent(f"""
        import hashlib, os, socket
        data = os.urandom(1 << 20); h = hashlib.sha256()
        c = socket.create_connection(("{address}", 5678), 5)
        for _ in range({megabytes}):
            c.sendall(data); h.update(data)
        c.close(); print({megabytes} << 20, h.hexdigest())
    """)
    prefix = ["ip", "netns", "exec"]
    receiver = subprocess.Popen(
        [*prefix, server, "python3", "-c", receive], stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        began = time.monotonic()
        sent = within(client, "python3", "-c", send)
        received, _ = receiver.communicate(timeout=20)
        assert received == sent
        return time.monotonic() - began
    finally:
        receiver.kill()
        receiver.communicate()


def test_two_hosts_ping_and_move_tcp_with_offloads_left_on(hosts: None) -> None:
    with crossover(W, "ndpA", "ndpB"):
        assert " 0% packet loss" in ping("10.8.0.2")
        assert " 0% packet loss" in ping("fd08::2")
        transfer("10.8.0.2")
        transfer("fd08::2", 16)


def test_frames_between_slot_and_gso_size_pass(hosts: None) -> None:
    for host, port in ((A, "ndpA"), (B, "ndpB")):
        sh("ip", "-n", host, "link", "set", "eth0", "mtu", "9000")
        sh("ip", "-n", W, "link", "set", port, "mtu", "9000")
    with crossover(W, "ndpA", "ndpB"):
        for size in ("1400", "1900", "1960", "1970", "2000", "2100", "8972"):
            assert " 0% packet loss" in ping("10.8.0.2", A, "-M", "do", "-s", size), size


def test_vlan_tags_are_put_back_that_the_kernel_strips(hosts: None) -> None:
    said = within_switch(W, f"from tests.netdev.vlan_probe import main; main({A!r}, {B!r})")
    same, *arrived = said.splitlines()
    assert same == "True"
    assert arrived == ["88b5 07e00081", "88b5 0100a888", "8100 0500a888", "88b5 00000000"]


def test_offloaded_segments_cross_a_vlan_trunk(hosts: None) -> None:
    sh("ip", "-n", W, "link", "add", "trA", "type", "veth", "peer", "name", "trB")
    for port in ("trA", "trB"):
        sh("ip", "-n", W, "link", "set", port, "up")
    with crossover(W, "ndpA", "trA", "trB", "ndpB"):
        assert " 0% packet loss" in ping("10.8.0.2")
        transfer("10.8.0.2", 32)
        transfer("fd08::2", 16)


def test_a_host_reaches_a_tap_made_by_the_switch(hosts: None) -> None:
    with crossover(W, "ndpA", "tap:ndtap"):
        sh("ip", "-n", W, "addr", "add", "10.8.0.9/24", "dev", "ndtap")
        assert " 0% packet loss" in ping("10.8.0.9")
        transfer("10.8.0.9", 32, server=W)
        transfer("10.8.0.1", 32, server=A, client=W)
    assert "ndtap" not in sh("ip", "-n", W, "link")


def test_promiscuous_mode_ends_with_the_switch(hosts: None) -> None:
    def promiscuity() -> int:
        (link,) = json.loads(sh("ip", "-n", W, "-j", "-d", "link", "show", "ndpA"))
        return int(link["promiscuity"])

    assert promiscuity() == 0
    with crossover(W, "ndpA", "ndpB") as process:
        assert promiscuity() == 1
        process.kill()
        process.wait()
        assert promiscuity() == 0


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far (proc(5))."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_link_changes_are_noticed_and_counted(hosts: None) -> None:
    said = within_switch(W, f"""
        import subprocess, time
        from vswitch.netdev import links
        from vswitch.netdev.registry import netdev_open, netdev_close
        n = netdev_open("ndpA", "system")
        changes = []
        n.on_change = lambda: changes.append((n.up(), n.carrier(), n.mtu()))
        def step(*words):
            subprocess.run(["ip", "netns", "exec", words[0], "ip", *words[1:]], check=True)
            seq, end = n.change_seq(), time.monotonic() + 4
            while n.change_seq() == seq and time.monotonic() < end:
                time.sleep(0.02); links.watch().run()
        print(n.up(), n.carrier(), n.mtu(), n.mac() > 0xFFFFFFFFFF, n.ifindex() > 0)
        print(n.features())
        step({A!r}, "link", "set", "eth0", "down")
        print(n.up(), n.carrier(), n.carrier_resets())
        step({A!r}, "link", "set", "eth0", "up")
        print(n.up(), n.carrier(), n.carrier_resets())
        n.set_mtu(1400); n.set_mac(0x020000000777); n.set_up(False)
        print(n.mtu(), hex(n.mac()), n.up(), n.carrier())
        n.set_up(True)
        try:
            n.set_mtu(10)
        except OSError as e:
            print(e)
        print(len(changes) > 3, n.recv(32), n.stats().rx_dropped)
        step({W!r}, "link", "del", "ndpA")
        print(n.up(), n.carrier(), n.recv(32))
        netdev_close(n); n.close()
    """)
    first, features, down, up, changed, refused, after, gone = said.splitlines()
    assert first == "True True 1500 True True"
    # A veth says 10 Gbit/s full duplex over twisted pair.
    assert features == "{'current': 2112, 'advertised': 0, 'supported': 0, 'peer': 0}"
    assert down == "True False 1"
    assert up == "True True 2"
    assert changed == "1400 0x20000000777 False False"
    assert refused.startswith("[Errno 22] ndpA: setting the MTU failed")
    assert after.startswith("True ")
    assert gone == "False False []"


def test_an_interface_that_is_not_there(hosts: None) -> None:
    said = within_switch(W, """
        from vswitch.netdev.registry import netdev_open
        for name, type in (("nothere", "system"), ("ndpA", "tap")):
            try:
                netdev_open(name, type)
            except OSError as e:
                print(e)
    """)
    assert said.splitlines() == [
        "[Errno 19] nothere: no such interface", "[Errno 17] ndpA: an interface of that name exists"]


def test_a_tap_deleted_under_the_switch_does_not_keep_it_busy(hosts: None) -> None:
    with crossover(W, "ndpA", "tap:ndtap") as process:
        sh("ip", "-n", W, "link", "del", "ndtap")
        sh("ip", "-n", W, "link", "set", "ndpA", "down")
        time.sleep(0.3)
        before = cpu_seconds(process.pid)
        time.sleep(0.5)
        assert cpu_seconds(process.pid) - before < 0.1


def test_counters_tell_traffic_and_losses(hosts: None) -> None:
    said = within_switch(W, """
        from vswitch.netdev.frame import Frame
        from vswitch.netdev.registry import netdev_open
        a, b = netdev_open("ndpA"), netdev_open("ndpB")
        before = a.stats()
        packet = bytes.fromhex("ffffffffffff02000000000a88b5") + bytes(50)
        print(a.send([Frame(packet)] * 40)); a.flush()
        after = a.stats()
        print(after.tx_packets - before.tx_packets, after.tx_bytes - before.tx_bytes, sorted(after.custom))
        a.set_up(False)
        a.send([Frame(packet)] * 3); a.flush()
        print(a.stats().custom["tx_refused"])
        a.set_up(True)
        a.send([Frame(packet)]); a.flush()
        print(a.stats().tx_packets - after.tx_packets)
    """)
    assert said.splitlines() == [
        "40", "40 2560 ['rx_ring_full', 'rx_truncated', 'tx_refused', 'tx_ring_full']", "3", "1"]


USERNS = """
set -e
mount -t tmpfs none /run 2>/dev/null || true
ip link set lo up
ip link add ndpA type veth peer name ethA
ip link add ndpB type veth peer name ethB
unshare -n sleep 60 & A=$!
unshare -n sleep 60 & B=$!
trap 'kill $A $B' EXIT
sleep 0.3
for x in A B; do
  eval p=\\$$x
  ip link set eth$x netns $p
  ip link set ndp$x up
  n=1; [ $x = B ] && n=2
  nsenter -n -t $p ip addr add 10.8.0.$n/24 dev eth$x
  nsenter -n -t $p ip link set eth$x up
done
"$PYTHON" -m tests.netdev.crossover ndpA ndpB >"$SAID" & S=$!
trap 'kill $A $B $S' EXIT
for i in $(seq 50); do grep -q ready "$SAID" && break; sleep 0.1; done
nsenter -n -t $A ping -q -c 3 -i 0.2 10.8.0.2
nsenter -n -t $B python3 -c '
import socket
s = socket.create_server(("10.8.0.2", 5678)); c, _ = s.accept(); n = 0
while d := c.recv(1 << 20): n += len(d)
print("received", n)' & R=$!
sleep 0.5
nsenter -n -t $A python3 -c '
import socket
c = socket.create_connection(("10.8.0.2", 5678), 5)
for _ in range(32): c.sendall(bytes(1 << 20))'
wait $R
"""


def test_it_works_without_root_in_a_user_namespace(require: Require, tmp_path: Path) -> None:
    require("userns", "command:unshare", "command:nsenter")
    done = subprocess.run(
        ["unshare", "-Urn", "sh", "-c", USERNS], capture_output=True, text=True, cwd=ROOT, timeout=60,
        env=dict(switch_environment(), PYTHON=sys.executable, SAID=str(tmp_path / "said")), check=False)
    assert " 0% packet loss" in done.stdout, done.stdout + done.stderr
    assert f"received {32 << 20}" in done.stdout, done.stdout + done.stderr
