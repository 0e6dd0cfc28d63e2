"""Auto Attach beside the real switch: mappings in a port's trunks, and LLDP that was silenced."""

from __future__ import annotations

import re

import pytest

from tests.bridge.pair import Side

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]
SET_UP = (
    "add-br b0 -- set bridge b0 datapath_type=dummy auto_attach=@a"
    " -- --id=@a create autoattach system_name=s system_description=d mappings:5=6"
    " -- add-port b0 p1 -- set interface p1 type=dummy lldp:enable=true"
    " -- add-port b0 p2 tag=9 -- set interface p2 type=dummy lldp:enable=false"
)
STEPS = (
    (SET_UP, "trunk [6]|[] []", "p1"),
    ("add-aa-mapping b0 100 200", "trunk [6, 200]|[] []", "p1"),
    ("set port p1 trunks=2,3", "trunk [2, 3]|[] []", "p1"),
    ("add-aa-mapping b0 101 3", "trunk [2, 3]|[] []", "p1"),
    ("add-aa-mapping b0 102 4", "trunk [2, 3, 4]|[] []", "p1"),
    ("del-aa-mapping b0 102 4", "trunk [2, 3]|[] []", "p1"),
    ("del-aa-mapping b0 100 200", "trunk [2, 3]|[] []", "p1"),
    ("set interface p1 lldp:enable=false", "trunk [2, 3]|[] []", "p1"),
    ("set interface p2 lldp:enable=true", "trunk [2, 3]|trunk [3, 6]", "p1 p2"),
    ("clear interface p2 lldp", "trunk [2, 3]|trunk [3, 6]", "p1"),
)
"""What ovs-vsctl is told; then vlan_mode and trunks of each port, and which have LLDP. One port at a time: of
two the real switch forgets one."""


def test_mappings_come_to_the_trunks_of_ports(real: Side, ours: Side) -> None:
    for side in (real, ours):
        side.appctl("time/stop")
        for command, wanted, named in STEPS:
            assert "exit" not in side.vsctl(command)
            side.appctl("time/warp", "3000")

            def trunks(side: Side = side) -> str:
                columns = [(side.get("port", f"p{n}", "vlan_mode"), side.get("port", f"p{n}", "trunks"))
                           for n in (1, 2)]  # fmt: skip
                return "|".join(f"{mode} {vlans}" for mode, vlans in columns)

            side.wait(lambda wanted=wanted, trunks=trunks: trunks() == wanted, f"{command}: {wanted}")
            shown = re.findall(r"LLDP: (\w+)", side.appctl("autoattach/status", "b0"))
            assert sorted(shown) == named.split(), (side, command)
        # The real switch would give those of a bridge that is gone to whatever has LLDP next.
        assert "exit" not in side.vsctl("clear autoattach b0 mappings")
        side.appctl("time/warp", "3000")
