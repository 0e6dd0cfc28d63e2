"""Names that interfaces can't have, beside the real switch; tunnels are no dummies here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bridge.pair import Ours, Real, Side

pytestmark = pytest.mark.system

NAMES = (
    "ovs-dummy", "ovs-netdev", "ovs-nothing", "genev_sys", "genev_sys_6081", "vxlan_sys_1", "gre_sys",
    "gre_sysx", "gre_sy", "lisp_sys", "stt_sys", "erspan_sys", "ip6erspan_sys", "ip6gre_sys", "gtpu_sys",
    "udp_sys", "geneve_sys", "xgenev_sys",
)  # fmt: skip


class RealTunnels(Real):
    options = ("--enable-dummy", "--disable-system")


class OurTunnels(Ours):
    options = ("--dummy",)


def test_names_of_datapaths_and_of_their_ports_for_tunnels(
    require: Callable[..., None], tmp_path: Path
) -> None:
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-vsctl")

    def refused(kind: type[Side]) -> tuple[list[str], set[str]]:
        directory = tmp_path / kind.__name__
        directory.mkdir()
        side = kind(directory)
        try:
            side.start()
            ports = [f"add-port br0 {name} -- set interface {name} type=dummy" for name in NAMES]
            side.vsctl(" -- ".join(["add-br br0 -- set bridge br0 datapath_type=dummy", *ports]))
            numbers = {name: side.get("interface", name, "ofport") for name in NAMES}
            log = side.log("ovs-vswitchd").splitlines()
            said = {line.split("|", 2)[2] for line in log if "reserved" in line}
        finally:
            side.close()
        return [name for name, number in numbers.items() if number == "-1"], said

    with ThreadPoolExecutor(2) as both:
        (theirs, warnings), (ours, our_warnings) = both.map(refused, (RealTunnels, OurTunnels))
    assert ours == theirs
    assert len(ours) == 14
    assert our_warnings == warnings
