"""Which datapath, and what a machine without /dev/net/tun gets."""

import io
from collections.abc import Callable

import pytest

from vswitch.base import vlog
from vswitch.base.clock import Clock
from vswitch.cli import datapath
from vswitch.cli.errors import explain
from vswitch.dpif.ebpf import dpif_class as ebpf_class
from vswitch.dpif.kernel import dpif_class
from vswitch.dpif.open import dpif_create_and_open
from vswitch.netdev import tap
from vswitch.netdev.scope import Scope


@pytest.fixture
def no_kernel_datapath(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    def set_to(there: bool) -> None:
        def lookup(_name: str) -> None:
            if not there:
                raise FileNotFoundError(2, "no such family")

        monkeypatch.setattr(dpif_class, "lookup_family", lookup)
        monkeypatch.setattr(dpif_class.shutil, "which", lambda _name: None)

    return set_to


def test_auto_takes_the_first_that_works(
    no_kernel_datapath: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = "the eBPF datapath needs CAP_BPF"
    monkeypatch.setattr(ebpf_class.CLASS, "_lacking", without)
    no_kernel_datapath(True)
    assert datapath.choose("auto") == ("system", "the kernel has the openvswitch module")
    assert datapath.choose("netdev") == ("netdev", "as asked for")
    no_kernel_datapath(False)
    assert datapath.choose("auto") == ("netdev", f"the kernel has no openvswitch datapath; {without}")
    monkeypatch.setattr(ebpf_class.CLASS, "_lacking", "")
    assert datapath.choose("auto") == ("ebpf", "the kernel has no openvswitch datapath")


def test_without_a_tun_device_internal_ports_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "TUN_DEVICE", "/nosuch/tun")
    state = vlog._state()
    said = io.StringIO()
    vlog.init("test", lambda: 0.0, said)
    try:
        dpif = dpif_create_and_open("ovs-test", "netdev", Clock(), Scope())
        assert [(p.name, p.port_no) for p in dpif.port_dump()] == [("ovs-test", 0)]
        dpif.destroy()
        dpif.close()
    finally:
        vlog._restore(state)
    assert "can't open /nosuch/tun: internal ports are inside the switch only" in said.getvalue()


def test_errors_are_one_line_and_say_what_helps() -> None:
    assert str(explain("can't add port p1", OSError(19, "No such\n device"))) == (
        "can't add port p1: No such device"
    )
    assert "unshare -Urn" in str(explain("can't add port p1", PermissionError(1, "Operation not permitted")))
