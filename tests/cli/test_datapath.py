"""Which datapath, and what a machine without /dev/net/tun gets."""

import io
from collections.abc import Callable

import pytest

from vswitch.base import vlog
from vswitch.base.clock import Clock
from vswitch.cli import datapath
from vswitch.cli.errors import explain
from vswitch.dpif.ebpf import dpif_class as ebpf_class
from vswitch.dpif.ebpf import usable
from vswitch.dpif.kernel import dpif_class
from vswitch.dpif.open import dpif_create_and_open
from vswitch.dpif.types import DpifError
from vswitch.ebpf.program import VerifierError
from vswitch.ebpf.syscall import BpfError
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


def _no_btf(*_names: object) -> None:
    raise FileNotFoundError(2, "No such file or directory")


def _no_maps(*_args: object) -> None:
    raise BpfError(1, "making map vs_probe")


def _refused(*_args: object) -> None:
    raise VerifierError(22, "vs_actions", "0: (b7) r0 = 1\ninvalid access to map value", [], None)


@pytest.mark.parametrize(
    ("where", "name", "found", "sentence"),
    [
        (usable, "skb_layout", _no_btf, "the eBPF datapath needs the kernel's BTF (/sys/kernel/btf/vmlinux)"),
        (tap, "TUN_DEVICE", "/nosuch/tun", "the eBPF datapath needs /nosuch/tun"),
        (usable, "Map", _no_maps, "the kernel lets this process make no BPF maps (a container?)"),
        (usable, "Programs", _refused,
         "the kernel refuses the eBPF datapath's programs: invalid access to map value"),
        (usable, "missing_capabilities", lambda: ["CAP_BPF", "CAP_NET_ADMIN"],
         "the eBPF datapath needs CAP_BPF and CAP_NET_ADMIN"),
    ],
    ids=["BTF", "tun", "maps", "programs", "capabilities"],
)  # fmt: skip
@pytest.mark.system
def test_what_is_missing_is_said_and_the_next_best_taken(
    no_kernel_datapath: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, require: Callable[..., None],
    where: object, name: str, found: object, sentence: str,
) -> None:  # fmt: skip
    require("root", "tun", "ebpf")
    no_kernel_datapath(False)
    monkeypatch.setattr(ebpf_class.CLASS, "_lacking", None)
    monkeypatch.setattr(where, name, found)
    assert datapath.choose("auto") == ("netdev", f"the kernel has no openvswitch datapath; {sentence}")
    with pytest.raises(DpifError) as refused:
        dpif_create_and_open("ovs-none", "ebpf", Clock(), Scope())
    assert refused.value.detail == sentence
