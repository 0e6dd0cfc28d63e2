"""Every device type passes the same suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.netdev.conformance import CASES, Case, run
from tests.netdev.hosts import W, namespaces, within_switch
from vswitch.netdev.registry import netdev_close, netdev_open

Require = Callable[..., None]


@pytest.mark.parametrize("type", ["dummy", "dummy-internal"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_dummy(type: str, case: Case) -> None:
    netdev = netdev_open("confd", type)
    try:
        case(netdev)
    finally:
        netdev_close(netdev)


@pytest.fixture
def peer() -> Iterator[None]:
    other, one = netdev_open("confq", "patch"), netdev_open("confp", "patch")
    other.set_config({"peer": "confp"})
    one.set_config({"peer": "confq"})
    yield
    netdev_close(one)
    netdev_close(other)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_patch(peer: None, case: Case) -> None:
    netdev = netdev_open("confp", "patch")
    try:
        case(netdev)
    finally:
        netdev_close(netdev)


@pytest.mark.system
@pytest.mark.parametrize(("type", "name"), [("system", "ndpA"), ("tap", "ndtap")])
def test_devices_of_the_kernel(require: Require, type: str, name: str) -> None:
    require("root", "netns", "command:ip", "tun")
    with namespaces():
        program = f"from tests.netdev.conformance import run; print(*run({type!r}, {name!r}).values())"
        assert within_switch(W, program).strip() == ""


def test_the_suite_tells_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_netdev: object) -> None:
        raise ValueError("boom")

    monkeypatch.setattr("tests.netdev.conformance.CASES", [broken])
    assert "boom" in run("dummy", "confz")["broken"]
