"""Bonds: which member is active, who gets which hash, what is admitted, and rebalancing."""

from __future__ import annotations

from typing import Any

import pytest

from vswitch.l2.bond import (
    ACCEPT,
    ACTIVE_BACKUP,
    BALANCE_SLB,
    BALANCE_TCP,
    DROP,
    DROP_IF_MOVED,
    LEARN,
    Bond,
    BondSettings,
    hash_mac,
)
from vswitch.l2.lacp import CONFIGURED, NEGOTIATED, OFF


def bond_of(n: int = 2, lacp: str = OFF, **settings: Any) -> Bond:
    bond = Bond("b", BondSettings(**settings), 0)
    for i in range(1, n + 1):
        member = bond.set_member(f"m{i}", i, i)
        member.up = member.may_enable = True
    bond.run(0, lacp)
    return bond


def link(bond: Bond, name: str, up: bool, now: int) -> None:
    bond.members[name].up = up
    bond.run(now, bond.lacp_status)


def active(bond: Bond) -> str:
    return bond.active.name if bond.active is not None else ""


@pytest.mark.parametrize(("mac", "vlan", "basis", "value"), [
    (0xAABBCCDDEEFF, 0, 0, 168), (0xAABBCCDDEEFF, 5, 0, 77), (0xAABBCCDDEEFF, 5, 7, 159),
    (0x1122334455, -1, 0, 91),
])  # fmt: skip
def test_addresses_hash_as_in_the_real_switch(mac: int, vlan: int, basis: int, value: int) -> None:
    assert hash_mac(mac, vlan, basis) == value


def test_a_backup_takes_over_and_keeps_the_role() -> None:
    bond = bond_of()
    assert active(bond) == "m1"
    link(bond, "m1", False, 10)
    assert active(bond) == "m2"
    link(bond, "m1", True, 20)
    assert active(bond) == "m2"


def test_the_primary_takes_its_role_back() -> None:
    bond = bond_of(primary="m2")
    assert active(bond) == "m2"
    link(bond, "m2", False, 10)
    assert active(bond) == "m1"
    link(bond, "m2", True, 20)
    assert active(bond) == "m2"


def test_the_member_that_was_active_before_a_restart_is_so_again() -> None:
    assert active(bond_of(3, active_mac=2)) == "m2"


def test_delays_are_waited_for() -> None:
    bond = bond_of(updelay=1000, downdelay=500)
    link(bond, "m1", True, 1000)
    link(bond, "m2", False, 2000)
    assert bond.members["m2"].enabled
    link(bond, "m2", False, 2499)
    assert bond.members["m2"].enabled
    link(bond, "m2", False, 2500)
    assert not bond.members["m2"].enabled
    link(bond, "m2", True, 3000)
    link(bond, "m2", True, 3999)
    assert not bond.members["m2"].enabled
    link(bond, "m2", True, 4000)
    assert bond.members["m2"].enabled


def test_a_link_that_comes_back_within_its_delay_was_never_away() -> None:
    bond = bond_of(downdelay=500)
    link(bond, "m1", False, 100)
    link(bond, "m1", True, 400)
    link(bond, "m1", False, 800)
    assert active(bond) == "m1"
    assert bond.wakeup() == 1300


def test_updelay_is_not_waited_for_when_there_is_no_other() -> None:
    assert active(bond_of(1, updelay=60_000)) == "m1"


def test_lacp_needs_no_delays() -> None:
    bond = bond_of(lacp=NEGOTIATED, updelay=1000, downdelay=1000)
    assert all(m.enabled for m in bond.members.values())
    link(bond, "m1", False, 5)
    assert not bond.members["m1"].enabled


def test_neighbours_are_to_learn_when_the_active_member_changes() -> None:
    bond = bond_of()
    bond.take_events()
    link(bond, "m1", False, 10)
    assert LEARN in bond.take_events()
    assert bond.take_events() == set()


def test_hashes_go_to_the_enabled_members_in_turn() -> None:
    bond = bond_of(3, mode=BALANCE_SLB)
    names = [m.name for v in range(6) if (m := bond.entry_member(v)) is not None]
    assert names == ["m1", "m2", "m3", "m1", "m2", "m3"]
    link(bond, "m2", False, 10)
    assert all(m is not None and m.name != "m2" for m in map(bond.entry_member, range(256)))


@pytest.mark.parametrize(
    ("mode", "lacp", "settings", "unicast", "multicast"),
    [
        (ACTIVE_BACKUP, OFF, {}, (ACCEPT, DROP), (ACCEPT, DROP)),
        (BALANCE_SLB, OFF, {}, (DROP_IF_MOVED, DROP_IF_MOVED), (DROP_IF_MOVED, DROP)),
        (BALANCE_SLB, OFF, {"all_members_active": True}, (DROP_IF_MOVED, DROP_IF_MOVED),
         (DROP_IF_MOVED, DROP_IF_MOVED)),
        (BALANCE_SLB, NEGOTIATED, {}, (ACCEPT, ACCEPT), (ACCEPT, ACCEPT)),
        (BALANCE_TCP, NEGOTIATED, {}, (ACCEPT, ACCEPT), (ACCEPT, ACCEPT)),
        (BALANCE_TCP, CONFIGURED, {}, (DROP, DROP), (DROP, DROP)),
        (BALANCE_TCP, CONFIGURED, {"lacp_fallback_ab": True}, (ACCEPT, DROP), (ACCEPT, DROP)),
        (BALANCE_TCP, OFF, {}, (DROP, DROP), (DROP, DROP)),
    ],
)  # fmt: skip
def test_what_is_admitted(mode: str, lacp: str, settings: dict[str, bool], unicast: tuple[int, int],
                          multicast: tuple[int, int]) -> None:  # fmt: skip
    bond = bond_of(lacp=lacp, mode=mode, **settings)
    members = list(bond.members.values())
    assert tuple(bond.admit(m, False) for m in members) == unicast
    assert tuple(bond.admit(m, True) for m in members) == multicast


def test_load_moves_until_it_is_even() -> None:
    bond = bond_of(mode=BALANCE_SLB)
    for value in range(8):
        bond.migrate(value, bond.members["m1"])
        bond.account(value, 1_000_000)
    assert bond.rebalance(10_000)
    held = [bond.entries[v].member for v in range(8)]
    assert held.count(bond.members["m1"]) == held.count(bond.members["m2"]) == 4


def test_small_differences_move_nothing() -> None:
    bond = bond_of(mode=BALANCE_SLB)
    for value, n_bytes in ((0, 60_000), (1, 30_000)):
        bond.migrate(value, bond.members["m1"])
        bond.account(value, n_bytes)
    assert not bond.rebalance(10_000)
    bond = bond_of(mode=BALANCE_SLB)
    for value, name in ((0, "m1"), (1, "m1"), (2, "m2")):
        bond.migrate(value, bond.members[name])
        bond.account(value, 10_200_000 if name == "m2" else 5_200_000)
    assert not bond.rebalance(10_000)


def test_one_heavy_hash_stays_where_it_is() -> None:
    bond = bond_of(mode=BALANCE_SLB)
    bond.migrate(0, bond.members["m1"])
    bond.account(0, 100_000_000)
    assert not bond.rebalance(10_000)


def test_rebalancing_waits_for_its_time_and_can_be_off() -> None:
    bond = bond_of(mode=BALANCE_SLB, rebalance_interval=5000)
    for value in range(4):
        bond.migrate(value, bond.members["m1"])
        bond.account(value, 1_000_000)
    assert not bond.rebalance(4999)
    assert bond.rebalance(5000)
    off = bond_of(mode=BALANCE_SLB, rebalance_interval=0)
    off.account(0, 10)
    assert not off.rebalance(1_000_000)
    assert off.wakeup() is None
