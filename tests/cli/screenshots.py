"""Pictures of each view of `vswitch web`, for the documentation: `tools/screenshots`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.cli.place import Place
from tests.cli.test_web import Browser

BRIDGES = """add-br br-int -- set bridge br-int datapath_type=dummy fail_mode=secure
-- add-br br-ex -- set bridge br-ex datapath_type=dummy
-- add-port br-int to-ex -- set interface to-ex type=patch options:peer=to-int
-- add-port br-ex to-int -- set interface to-int type=patch options:peer=to-ex
-- add-port br-int vx1 -- set interface vx1 type=vxlan options:remote_ip=192.0.2.11 options:key=flow
-- add-port br-int vx2 -- set interface vx2 type=vxlan options:remote_ip=192.0.2.12 options:key=flow
-- add-bond br-ex bond0 eth0 eth1 -- set interface eth0 type=dummy -- set interface eth1 type=dummy
-- set-controller br-int tcp:127.0.0.1:9"""
FLOWS = (
    "table=0,priority=100,ip,actions=resubmit(,10)",
    "table=0,priority=100,arp,actions=NORMAL",
    "table=10,priority=50,tcp,tp_dst=80,actions=resubmit(,20)",
    "table=10,priority=50,tcp,tp_dst=443,actions=resubmit(,20)",
    "table=10,priority=10,udp,actions=resubmit(,30)",
    "table=10,priority=0,actions=drop",
    "table=20,priority=1,ip,actions=NORMAL",
    "table=30,priority=1,udp,tp_dst=53,actions=NORMAL",
)
PACKET = (
    "in_port({n}),eth(src=0a:00:00:00:00:0{n},dst=0a:00:00:00:00:0{to}),eth_type(0x0800),"
    "ipv4(src=10.0.0.{n},dst=10.0.0.{to},proto={proto},tos=0,ttl=64,frag=no),{l4}(src={sport},dst={dport})"
)
VIEWS = {
    "topology": "topology",
    "flows": "flows?bridge=br-int",
    "datapath": "datapath",
    "trace": "trace?bridge=br-int&flow=in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80",
}


def _traffic(place: Place, seconds: float) -> None:
    end = time.monotonic() + seconds
    sport = 1000
    while time.monotonic() < end:
        for n in (1, 2, 3, 4):
            for proto, l4, dport in ((6, "tcp", 80), (6, "tcp", 443), (17, "udp", 53), (17, "udp", 9)):
                sport += 1
                packet = PACKET.format(n=n, to=n % 4 + 1, proto=proto, l4=l4, sport=sport, dport=dport)
                place.run("appctl", "netdev-dummy/receive", f"vm{n}", packet)


def main(directory: Path) -> None:
    """Make the pictures in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as run:
        os.environ.update(OVS_RUNDIR=run, OVS_DBDIR=run, OVS_LOGDIR=run)
        place = Place()
        place.run("up", "--switch-option=--enable-dummy=override")
        try:
            vms = "".join(f" -- add-port br-int vm{n} -- set interface vm{n} type=dummy ofport_request={n}"
                          for n in (1, 2, 3, 4))  # fmt: skip
            place.run("vsctl", *(BRIDGES + vms).split())
            for flow in FLOWS:
                place.run("ofctl", "add-flow", "br-int", flow)
            place.run("ofctl", "mod-port", "br-int", "vm4", "down")
            browser = Browser(place.serve("web", "--listen", "127.0.0.1:0"))
            try:
                _traffic(place, 8)
                for name, view in VIEWS.items():
                    browser.open(view)
                    _traffic(place, 60 if name == "datapath" else 4)
                    time.sleep(1)
                    browser.driver.save_screenshot(str(directory / f"{name}.png"))
            finally:
                browser.close()
        finally:
            place.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
