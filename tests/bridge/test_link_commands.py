"""The commands about links, with arguments that fit and such as don't: the real switch answers the same."""

from __future__ import annotations

import pytest

from tests.bridge.pair import Side
from tests.bridge.test_bonds import Bonds
from tests.bridge.test_link_keys import differences, plain
from tests.oracle.real import OracleError

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]

COMMANDS = """
bond/list x
bond/show bond0
bond/show bond1
bond/show nothing
bond/show bond0 bond1
bond/migrate
bond/migrate bond0
bond/migrate nothing 1 m0-1
bond/migrate bond0 1 m0-1
bond/migrate bond1 1 m1-2
bond/migrate bond1 1 nothing
bond/migrate bond1 256 m1-1
bond/migrate bond1 -1 m1-1
bond/migrate bond1 x m1-1
bond/migrate bond1 00:00:00:00:00:07 m1-1
bond/set-active-member bond0 m0-2
bond/set-active-member bond0 m0-2
bond/set-active-member bond0 nothing
bond/set-active-member nothing m0-1
bond/set-active-member bond0 m0-1
bond/disable-member bond0 m0-2
bond/set-active-member bond0 m0-2
bond/show bond0
bond/enable-member bond0 m0-2
bond/enable-member bond0 nothing
bond/disable-member nothing m0-1
bond/hash 00:11:22:33:44:55
bond/hash 00:11:22:33:44:55 7
bond/hash 00:11:22:33:44:55 7 9
bond/hash 00:11:22:33:44:55 x
bond/hash 00:11:22:33:44:55 5x
bond/hash 00:11:22:33:44:55 5 6x
bond/hash 00:11:22:33:44:55 5 x
bond/hash 00:11:22:33:44:55 -1
bond/hash 00:11:22:33:44:55 5 -1
bond/hash 00:11:22:33:44:55 +5
bond/hash 00:11:22:33:44:55 0x5
bond/hash 00:11:22:33:44:55 4294967297 4294967297
bond/hash 00:11:22:33:44:55x 5
bond/hash 0:1:2:3:4 5
bond/hash 00:11:22:33:44:55 7 x
bond/hash nothing
bond/hash
lacp/show nothing
lacp/show bond0
lacp/show-stats nothing
lacp/show-stats bond0 bond1
stp/show b0
stp/show nothing
stp/tcn
stp/tcn b0
stp/tcn nothing
rstp/show b1
rstp/show b0
rstp/show nothing
rstp/tcn b1
rstp/tcn nothing
mdb/show b0
mdb/show b1
mdb/show nothing
mdb/show
mdb/flush b0
mdb/flush b1
mdb/flush
mdb/flush nothing
bfd/show nothing
bfd/show p0
bfd/show p1
bfd/set-forwarding
bfd/set-forwarding x
bfd/set-forwarding nothing true
bfd/set-forwarding p0 x
bfd/set-forwarding p0 true
bfd/show p0
bfd/set-forwarding p0 normal
bfd/show p0
bfd/set-forwarding false
bfd/set-forwarding normal
cfm/show nothing
cfm/show p1
cfm/show p0
cfm/set-fault
cfm/set-fault x
cfm/set-fault nothing true
cfm/set-fault p1 x
cfm/set-fault p1 true
cfm/show p1
cfm/set-fault p1 normal
cfm/show p1
cfm/set-fault false
cfm/set-fault normal
autoattach/status nothing
autoattach/show-isid nothing
autoattach/statistics nothing
dpif-netdev/bond-show nothing
""".strip().splitlines()


def answers(side: Side) -> list[str]:
    """What every command says, in turn: its text, or the error."""
    bonds = Bonds([side, side], ("bond_mode=active-backup", "bond_mode=balance-slb"))
    said: list[str] = []
    try:
        bonds.start()
        done = side.vsctl(
            "set bridge b0 stp_enable=true mcast_snooping_enable=true -- set bridge b1 rstp_enable=true "
            "-- set interface p0 bfd:enable=true -- set interface p1 cfm_mpid=3"
        )
        assert done == ""
        bonds.warp(5000, 1000)
        bonds.activate()
        for command in COMMANDS:
            try:
                text = side.appctl(*command.split())
            except OracleError as error:
                text = f"error: {error}"
            if command.startswith("mdb/show"):
                # Ours has a column more.
                text = " ".join(text.replace("protocol", "").split())
            said.append(plain(text))
        # What watches a member takes it out of its bond.
        assert side.vsctl("set interface m0-1 bfd:enable=true -- set interface m1-1 cfm_mpid=7") == ""
        for command in ("bfd/set-forwarding m0-1 false", "cfm/set-fault m1-1 true"):
            side.appctl(*command.split())
        bonds.warp(2000, 500)
        said += [plain(side.appctl("bond/show", name)) for name in ("bond0", "bond1")]
    finally:
        bonds.close()
    return said


def test_commands_answer_as_the_real_ones(ours: Side, real: Side) -> None:
    theirs = answers(real)
    mine = answers(ours)
    told = [*COMMANDS, "bond0 watched by BFD", "bond1 watched by CFM"]
    wrong = [
        f"{command}: {differences(a, b)}" for command, a, b in zip(told, mine, theirs, strict=True) if a != b
    ]
    assert not wrong, "\n".join(wrong)
    assert "member m0-1: disabled" in mine[-2]
    assert "member m1-1: disabled" in mine[-1]
