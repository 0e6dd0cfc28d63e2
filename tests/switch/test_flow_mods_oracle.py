"""The same random flow mods to the real switch and to ours: the same tables, the same refusals."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

import pytest

from tests.oracle.real import OracleError, RealSwitch
from tests.oracle.setup import Bridge, Port, Setup
from vswitch import Switch
from vswitch.openflow.errors import OfpError

MATCHES = [
    "", "ip", "tcp", "tcp,tp_dst=80", "tcp,tp_dst=80/0xfff0", "arp", "in_port=1", "in_port=1,ip",
    "ip,nw_dst=10.0.0.0/8", "ip,nw_dst=10.0.0.1", "dl_vlan=3", "dl_vlan=3,ip", "reg0=1/1", "udp",
    "ip,nw_src=10.0.0.0/9", "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
]  # fmt: skip
ACTIONS = [
    "output:1", "output:2,output:3", "drop", "NORMAL", "mod_vlan_vid:5,output:2", "enqueue:3:1",
    "CONTROLLER:20", "resubmit(,3)", "output(port=2,max_len=50)", "clone(output:3)",
]  # fmt: skip
TOOLS = {"add": "add-flow", "modify": "mod-flows", "delete": "del-flows"}
FLAGS = re.compile("send_flow_rem |check_overlap ")


@pytest.fixture(scope="module")
def real(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSwitch]:
    """The real ovs-vswitchd."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-ofctl")
    switch = RealSwitch(tmp_path_factory.mktemp("ovs"))
    try:
        switch.start()
        yield switch
    finally:
        switch.close()


def random_mod(rnd: random.Random) -> tuple[str, bool, str]:
    """(command, strict, flow text)."""
    command = rnd.choices(list(TOOLS), [8, 4, 3])[0]
    strict = command != "add" and rnd.random() < 0.6
    words = []
    if command == "add" or strict or rnd.random() < 0.5:
        words.append(f"table={rnd.choice([0, 1, 2])}")
    if command == "add" or strict:
        words.append(f"priority={rnd.choice([1, 5, 9])}")
    if rnd.random() < 0.4:
        mask = f"/{rnd.choice(['-1', '1', '2'])}"
        if command == "add" or (command == "modify" and rnd.random() < 0.5):
            mask = ""
        words.append(f"cookie={rnd.randrange(4)}{mask}")
    if command == "add":
        words += [w for w in ("check_overlap", "idle_timeout=60", "hard_timeout=60,send_flow_rem")
                  if rnd.random() < 0.2]
    if command == "delete" and rnd.random() < 0.3:
        words.append(f"out_port={rnd.choice([1, 2, 3])}")
    words.append(rnd.choice(MATCHES))
    if command != "delete":
        words.append(f"actions={rnd.choice(ACTIONS)}")
    return command, strict, ",".join(w for w in words if w)


def on_real(real: RealSwitch, command: str, strict: bool, text: str) -> str:
    """Carry out a flow mod; the name of OpenFlow's error or ""."""
    try:
        real.run("ovs-ofctl", *(["--strict"] if strict else []), TOOLS[command], "br0", text)
    except OracleError as error:
        found = re.search(r"OFP[A-Z]+C_\w+", str(error))
        return found[0] if found else str(error)
    return ""


def on_ours(sw: Switch, command: str, strict: bool, text: str) -> str:
    """The same."""
    try:
        if command == "add":
            sw.add_flow(text)
        elif command == "modify":
            sw.mod_flows(text, strict)
        else:
            sw.del_flows(text, strict)
    except OfpError as error:
        return error.name
    return ""


@pytest.mark.parametrize("seed", range(5))
def test_random_flow_mods(real: RealSwitch, seed: int) -> None:
    rnd = random.Random(seed)
    real.configure(Setup(f"seed {seed}", [Bridge("br0", {}, [Port("p1"), Port("p2"), Port("p3")])]))
    with Switch(ports=["p1", "p2", "p3"]) as sw:
        for _ in range(40):
            mod = random_mod(rnd)
            assert on_ours(sw, *mod) == on_real(real, *mod), mod
            dumped = real.run("ovs-ofctl", "--no-stats", "dump-flows", "br0").splitlines()
            ours = FLAGS.sub("", sw.dump_flows(stats=False)).splitlines()
            shown = [line for line in dumped if "reply" not in line]
            assert sorted(x.strip() for x in ours) == sorted(x.strip() for x in shown), mod
