"""Ingress policing in userspace: both buckets, and what a port behind one lets in."""

from __future__ import annotations

import errno

import pytest

from vswitch import Switch
from vswitch.base import coverage
from vswitch.dpif.types import DpifError, Policing
from vswitch.dpif.userspace.policer import Policer
from vswitch.netdev.frame import Frame


def passed(policer: Policer, n: int, size: int, now: int) -> int:
    return len(policer.passing([Frame(bytes(size))] * n, now))


def test_bits_above_the_rate_are_dropped_once_the_burst_is_used_up() -> None:
    policer = Policer(Policing(kbits=1000, kbits_burst=80), 0)
    assert passed(policer, 100, 1000, 0) == 10
    assert passed(policer, 100, 1000, 8) == 1, "8 ms are one packet of 8,000 bits"
    assert passed(policer, 100, 1000, 10_000) == 10, "no more than the burst is saved up"


def test_packets_above_the_rate_are_dropped_whatever_their_size() -> None:
    policer = Policer(Policing(kpkts=2, kpkts_burst=1), 0)
    assert passed(policer, 3000, 60, 0) == 1000
    assert passed(policer, 3000, 1500, 100) == 200


def test_without_a_burst_there_is_the_manual_s() -> None:
    assert passed(Policer(Policing(kbits=1), 0), 2000, 1000, 0) == 1000
    assert passed(Policer(Policing(kpkts=1), 0), 20_000, 60, 0) == 16_000


def test_both_rates_hold_together() -> None:
    policer = Policer(Policing(kbits=1000, kbits_burst=800, kpkts=1, kpkts_burst=1), 0)
    assert passed(policer, 2000, 1000, 0) == 100
    policer = Policer(Policing(kbits=10**6, kbits_burst=10**6, kpkts=1, kpkts_burst=1), 0)
    assert passed(policer, 2000, 60, 0) == 1000


def test_a_port_lets_in_what_its_policer_does_and_the_rest_is_counted() -> None:
    dropped = coverage.counter("datapath_drop_ingress_policer")
    with Switch() as switch:
        switch.add_port("p1")
        switch.add_port("p2")
        switch.add_flow("actions=output:2")
        dpif = switch.ofproto.backer.dpif
        number = switch.ofproto.ports_by_name["p1"].odp_port
        dpif.set_policing(number, Policing(kbits=800, kbits_burst=80))
        before = dropped.total
        switch.send("p1", *[bytes(100)] * 300)
        assert len(switch.received("p2")) == 100
        assert dropped.total == before + 200
        dpif.set_policing(number, Policing())
        switch.send("p1", *[bytes(100)] * 300)
        assert len(switch.received("p2")) == 300
        with pytest.raises(DpifError) as error:
            dpif.set_policing(9999, Policing(kbits=1))
        assert error.value.errno == errno.ENODEV
