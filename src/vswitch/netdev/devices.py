"""All device types: importing this module makes them known to the registry."""

from __future__ import annotations

from vswitch.netdev import dummy, linux, patch, tap
from vswitch.netdev.links import LinkWatch
from vswitch.netdev.links import watch as link_watch

TYPES = (dummy.DummyNetdev, linux.LinuxNetdev, patch.PatchNetdev, tap.TapNetdev)


def watch() -> LinkWatch | None:
    """The watch over the kernel's interfaces; None where there is no rtnetlink."""
    try:
        return link_watch()
    except OSError:
        return None
