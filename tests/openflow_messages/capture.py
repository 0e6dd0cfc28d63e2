# ruff: noqa: E501 (commands stand on one line each)
"""Records what the real ovs-ofctl and ovs-vswitchd say to each other: `python capture.py > real_messages.txt`.

A dummy switch of its own, and between it and each ovs-ofctl command a proxy on a Unix socket. One line a
message: hexadecimal bytes. Needs Debian's openvswitch-switch.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ("OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15")

FLOWS = """\
table=0,priority=100,in_port=1,tcp,tp_dst=80,actions=output:2
table=0,priority=90,in_port=1,dl_vlan=5,ip,nw_src=10.0.0.0/8,actions=strip_vlan,normal
table=0,cookie=0x1234,idle_timeout=60,hard_timeout=300,send_flow_rem,arp,actions=flood
table=0,priority=7,udp,actions=mod_nw_dst:1.2.3.4,mod_tp_src:99,controller
"""
NX_FLOWS = """\
table=1,priority=5,reg0=1,tun_id=7,actions=load:0x5->NXM_NX_REG1[],resubmit(,2)
table=2,ct_state=+trk+new,ip,actions=ct(commit),note:01.02.03
table=3,ipv6,ipv6_src=2001:db8::/32,actions=move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31],drop
"""
COMMANDS = (
    "show", "get-frags", "set-frags nx-match", "set-frags normal", "dump-desc", "dump-tables", "dump-flows",
    "dump-flows tcp,out_port=2", "dump-flows table=1,cookie=0x1/-1", "dump-aggregate", "dump-aggregate ip",
    "dump-ports", "dump-ports 1", "dump-ports-desc", "dump-ports-desc 1", "mod-port 1 down", "mod-port 1 up",
    "mod-port 2 noflood", "dump-table-features", "dump-table-desc", "mod-table 3 evict", "mod-table 3 noevict",
    "mod-table 0 controller", "mod-table 4 vacancy:20,80", "queue-stats", "queue-stats 1 2", "queue-get-config",
    "queue-get-config 1", "queue-get-config 1 1",
    "dump-groups", "dump-groups 1", "dump-group-stats", "dump-group-stats 1", "dump-group-features",
    "meter-features", "dump-meters", "meter-stats", "dump-tlv-map", "dump-ipfix-bridge", "dump-ipfix-flow",
    "ct-flush-zone @ 5", "probe", "bundle group group_id=77,type=all,bucket=actions=1",
    "packet-out in_port=controller,packet=ffffffffffff0a00000000010800,actions=output:1",
    "packet-out in_port=1,packet=ffffffffffff0a00000000010800,actions=normal",
    "add-group group_id=1,type=all,bucket=actions=1,bucket=actions=2",
    "add-group group_id=2,type=select,selection_method=hash,fields(ip_src,tcp_dst),bucket=weight:10,actions=1,"
    "bucket=weight:20,actions=2",
    "add-group group_id=3,type=ff,bucket=watch_port:1,actions=1,bucket=watch_port:2,watch_group:1,actions=2",
    "add-group group_id=4,type=indirect,bucket=actions=2", "mod-group group_id=4,type=indirect,bucket=actions=1",
    "insert-buckets group_id=1,command_bucket_id=last,bucket=bucket_id:9,actions=1",
    "remove-buckets group_id=1,command_bucket_id=9", "dump-groups", "dump-group-stats", "del-groups group_id=4",
    "add-meter meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=50",
    "add-meter meter=2,pktps,bands=type=dscp_remark,rate=10,prec_level=1",
    "mod-meter meter=2,pktps,bands=type=dscp_remark,rate=20,prec_level=2", "dump-meters", "dump-meter meter=1",
    "meter-stats", "meter-stats meter=1", "del-meter meter=2",
    "add-tlv-map {class=0xffff,type=0,len=4}->tun_metadata0", "dump-tlv-map", "del-tlv-map",
    "mod-flows tcp,actions=3", "--strict mod-flows priority=100,in_port=1,tcp,tp_dst=80,actions=3",
    "mod-flows cookie=0x1234/-1,actions=4", "--strict del-flows priority=100,in_port=1,tcp,tp_dst=80",
    "del-flows cookie=0x1/-1", "del-flows udp", "del-flows arp", "del-flows", "del-groups", "del-meters",
)  # fmt: skip


class Proxy:
    """Passes bytes between a client and the switch, and keeps the messages."""

    def __init__(self, path: Path, switch: Path) -> None:
        self.switch = switch
        self.seen: dict[bytes, None] = {}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            client = self.listener.accept()[0]
            threading.Thread(target=self.pass_on, args=(client,), daemon=True).start()

    def pass_on(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self.switch))
        rest = {client: b"", server: b""}
        other = {client: server, server: client}
        while True:
            for side in select.select([client, server], [], [])[0]:
                data = side.recv(65536)
                if not data:
                    client.close()
                    server.close()
                    return
                other[side].sendall(data)
                rest[side] += data
                while len(rest[side]) >= 4:
                    length = int.from_bytes(rest[side][2:4], "big")
                    if len(rest[side]) < length:
                        break
                    self.seen.setdefault(rest[side][:length])
                    rest[side] = rest[side][length:]


def run(*args: str, timeout: float = 20, quiet: bool = False) -> str:
    done = subprocess.run(args, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode and not quiet:
        print(" ".join(args), done.stderr.strip().splitlines()[-1:], file=sys.stderr)
    return done.stdout


def switch(directory: Path) -> Iterator[Path]:
    """Starts a dummy switch with bridge br0 and two ports; yields its management socket."""
    os.environ.update(OVS_RUNDIR=str(directory), OVS_DBDIR=str(directory), OVS_LOGDIR=str(directory))
    db = directory / "db.sock"
    run("ovsdb-tool", "create", str(directory / "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
    server = subprocess.Popen(["ovsdb-server", str(directory / "conf.db"), f"--remote=punix:{db}", "--log-file"],
                              stderr=subprocess.DEVNULL)  # fmt: skip
    vsctl = ["ovs-vsctl", f"--db=unix:{db}", "--retry", "--timeout=20"]
    run(*vsctl, "--no-wait", "init")
    daemon = subprocess.Popen(["ovs-vswitchd", f"unix:{db}", "--enable-dummy=override", "--disable-system", "--pidfile",
                               "--log-file"], stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        run(*vsctl, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure",
            f"protocols={','.join(VERSIONS)}", "--", "add-port", "br0", "p1", "--", "set", "interface", "p1",
            "type=dummy", "ofport_request=1", "--", "add-port", "br0", "p2", "--", "set", "interface", "p2",
            "type=dummy", "ofport_request=2", "--", "set", "port", "p1", "qos=@q", "--", "--id=@q", "create", "qos",
            "type=linux-htb", "queues:1=@q1", "--", "--id=@q1", "create", "queue",
            "other_config:min-rate=1000000")  # fmt: skip
        yield directory / "br0.mgmt"
    finally:
        daemon.terminate()
        server.terminate()
        daemon.wait()
        server.wait()


def talk(target: str, directory: Path, version: str) -> None:
    """Everything that ovs-ofctl can say in one version."""
    flows = directory / "flows.txt"
    monitor = subprocess.Popen(["ovs-ofctl", "-O", version, "monitor", target, "65534", "watch:", "--no-stdin"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip
    nx_monitor = subprocess.Popen(["ovs-ofctl", "-O", version, "-P", "nxt_packet_in", "monitor", target, "64", "watch:!initial",
                                   ], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip
    nx2_monitor = subprocess.Popen(["ovs-ofctl", "-O", version, "-P", "nxt_packet_in2", "monitor", target, "65534", "resume"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip
    try:
        flows.write_text(FLOWS)
        run("ovs-ofctl", "-O", version, "add-flows", target, str(flows))
        run("ovs-ofctl", "-O", version, "--bundle", "replace-flows", target, str(flows), quiet=True)
        run(
            "ovs-ofctl",
            "-O",
            version,
            "add-flow",
            target,
            "importance=9,icmp,actions=controller(userdata=01.02)",
            quiet=True,
        )
        flows.write_text(NX_FLOWS)
        run("ovs-ofctl", "-O", version, "add-flows", target, str(flows), quiet=True)
        run(
            "ovs-ofctl",
            "-O",
            version,
            "add-flow",
            target,
            "priority=200,in_port=2,actions=controller(pause,userdata=aa),1",
            quiet=True,
        )
        for packet in (
            "in_port(1),eth(src=50:54:00:00:00:05,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,"
            "proto=17,tos=0,ttl=64,frag=no),udp(src=8,dst=9)",
            "in_port(2),eth(src=50:54:00:00:00:07,dst=50:54:00:00:00:05),eth_type(0x0806)",
        ):
            name = "p" + packet[8]
            run("ovs-appctl", "netdev-dummy/receive", name, packet)
        for command in COMMANDS:
            words = command.split()
            options = []
            while words[0].startswith("--"):
                options.append(words.pop(0))
            where = words.index("@") if "@" in words else 1
            words[where : where + (words[where : where + 1] == ["@"])] = [target]
            run("ovs-ofctl", "-O", version, *options, *words, timeout=10, quiet=True)
        flows.write_text(FLOWS)
        run("ovs-ofctl", "-O", version, "add-flows", target, str(flows))
        run("ovs-ofctl", "-O", version, "add-flow", target, "not=a flow", quiet=True)
        run("ovs-ofctl", "-O", version, "--bundle", "del-flows", target, quiet=True)
    finally:
        for process in (monitor, nx_monitor, nx2_monitor):
            process.terminate()
            process.wait()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="vswitch-capture-") as name:
        directory = Path(name)
        for mgmt in switch(directory):
            proxy = Proxy(directory / "proxy", mgmt)
            for version in VERSIONS:
                talk(f"unix:{directory / 'proxy'}", directory, version)
            shown: set[bytes] = set()
            for message in list(proxy.seen):
                key = message[:4] + message[8:]
                if key not in shown:
                    shown.add(key)
                    print(message.hex())


if __name__ == "__main__":
    main()
