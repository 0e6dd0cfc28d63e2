"""The userspace datapath passes the conformance suite, over dummy devices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.dpif.conformance import CASES, Case
from tests.dpif.lab import Lab
from vswitch.base.clock import Clock
from vswitch.dpif.provider import Dpif
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.netdev.dummy import DummyNetdev, find
from vswitch.netdev.registry import netdev_close, netdev_open

_numbers = count(1)


class DummyLab(Lab):
    port_type = "dummy"

    def __init__(self) -> None:
        self.dpif: UserspaceDpif | None = None
        self.devices: list[DummyNetdev] = []

    def open(self) -> Dpif:
        self.dpif = UserspaceDpif(f"dp{next(_numbers)}", Clock(), dummy=True)
        return self.dpif

    def device(self) -> str:
        name = f"conf{next(_numbers)}"
        netdev = netdev_open(name, "dummy")
        assert isinstance(netdev, DummyNetdev)
        self.devices.append(netdev)
        return name

    def inject(self, device: str, packet: bytes) -> None:
        assert find(device).inject(packet)

    def transmitted(self, device: str) -> list[bytes]:
        return find(device).transmitted()

    def turn(self, dpif: Dpif) -> None:
        dpif.run()

    def close(self) -> None:
        if self.dpif is not None:
            self.dpif.destroy()
        for netdev in self.devices:
            netdev_close(netdev)


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = DummyLab()
    yield lab
    lab.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_conformance(lab: Lab, case: Case) -> None:
    case(lab, lab.open())
