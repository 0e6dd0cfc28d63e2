"""What devices say of themselves."""

from __future__ import annotations

from vswitch.netdev.scope import Scope
from vswitch.ofproto_dpif.ports.device import DeviceInfo, device_info


def test_a_device_of_the_kernel_tells_its_state() -> None:
    lo = device_info(Scope(), "lo", "system")
    assert lo == DeviceInfo(mac=0, mtu=lo.mtu)
    assert lo.mtu > 1500


def test_patch_ports_and_devices_that_are_gone_have_the_defaults() -> None:
    assert device_info(Scope(), "nosuchdevice", "system") == DeviceInfo()
    assert device_info(Scope(), "lo", "patch") == DeviceInfo()
