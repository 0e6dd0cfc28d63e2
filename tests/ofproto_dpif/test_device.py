"""What devices say of themselves."""

from __future__ import annotations

from vswitch.ofproto_dpif.ports.device import DeviceInfo, device_info


def test_a_device_of_the_kernel_tells_its_state() -> None:
    assert device_info("lo", "system") == DeviceInfo(mac=0, mtu=device_info("lo", "system").mtu)
    assert device_info("lo", "system").mtu > 1500


def test_patch_ports_and_devices_that_are_gone_have_the_defaults() -> None:
    assert device_info("nosuchdevice", "system") == DeviceInfo()
    assert device_info("lo", "patch") == DeviceInfo()
