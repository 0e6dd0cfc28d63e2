"""What the database wants to know of the machine and of this switch: versions, and load."""

from __future__ import annotations

import shlex

OVS_VERSION = "3.1.0"
"""The release of Open vSwitch whose protocols, commands and schema these are. Scripts and controllers
compare it to learn what they may use."""


def ovs_version() -> str:
    """What Open_vSwitch.ovs_version says."""
    return OVS_VERSION


def system() -> tuple[str, str]:
    """(system_type, system_version), from os-release(5) as ovs-ctl(8) has them."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            pairs = (word.partition("=") for line in file for word in shlex.split(line, comments=True))
            words = {name: value for name, _, value in pairs}
    except (OSError, ValueError):
        return "unknown", "unknown"
    return words.get("ID", "unknown"), words.get("VERSION_ID", "unknown")
