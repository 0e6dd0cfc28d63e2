"""The real tools explain the userdata that our datapath flows carry."""

from __future__ import annotations

import pytest

from tests.oracle.real import RealSwitch
from vswitch.dpif.actions import Userspace
from vswitch.dpif.cookie import (
    ControllerCookie,
    Cookie,
    FlowSampleCookie,
    IpfixCookie,
    SflowCookie,
    SlowPathCookie,
)
from vswitch.dpif.odp_text import format_actions

pytestmark = pytest.mark.system

COOKIES: list[Cookie] = [
    SlowPathCookie(0b1000001),
    ControllerCookie(128, 7, True, False, 0x12345678, 0x1122334455667788, 9),
    FlowSampleCookie(1000, 1, 2, 3, 4, 1),
    SflowCookie(0x6064, 0x2000003),
    IpfixCookie(77),
]


@pytest.mark.parametrize("cookie", COOKIES, ids=lambda cookie: type(cookie).__name__)
def test_the_real_switch_reads_a_cookie_as_we_do(real: RealSwitch, cookie: Cookie) -> None:
    if not real.run("ovs-vsctl", "list-br").split():
        real.run("ovs-vsctl", "add-br", "br0", "--", "add-port", "br0", "q1", "--", "set", "interface", "q1",
                 "type=dummy")  # fmt: skip
        real.bridges.append("br0")
    number = COOKIES.index(cookie)
    eth = f"eth(src=00:00:00:00:00:01,dst=00:00:00:00:c0:{number:02x}),eth_type(0x1234)"
    key = f"recirc_id(0x7fff),in_port(1),{eth}"
    # Its revalidators would soon delete a flow that no rule stands behind.
    real.appctl("revalidator/pause")
    real.appctl("dpctl/add-flow", key, f"userspace(pid=0,userdata({cookie.pack().hex()}))")
    try:
        lines = [line for line in real.appctl("dpctl/dump-flows").splitlines() if f"c0:{number:02x}" in line]
    finally:
        real.appctl("dpctl/del-flow", key)
        real.appctl("revalidator/resume")
    assert lines[0].partition("actions:")[2] == format_actions((Userspace(0, cookie.pack()),))
