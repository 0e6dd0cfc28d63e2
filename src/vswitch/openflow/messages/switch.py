"""The description of a switch: who made it, what it is."""

from __future__ import annotations

from vswitch.base.records import dataclass


@dataclass(frozen=True)
class DescRequest:
    """Describe yourself."""


@dataclass(frozen=True)
class DescReply:
    """Texts for people, up to 255 bytes (the serial number 31)."""

    mfr_desc: str = ""
    hw_desc: str = ""
    sw_desc: str = ""
    serial_num: str = ""
    dp_desc: str = ""
