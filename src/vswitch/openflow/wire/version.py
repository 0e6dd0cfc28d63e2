"""OpenFlow's versions by their number on the wire: 1 is OpenFlow 1.0, 6 is OpenFlow 1.5."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

OFP10: Final = 1
OFP11: Final = 2
OFP12: Final = 3
OFP13: Final = 4
OFP14: Final = 5
OFP15: Final = 6

VERSIONS: Final = (OFP10, OFP11, OFP12, OFP13, OFP14, OFP15)
VERSION_NAMES: Final[dict[int, str]] = {v: f"OpenFlow1{v - 1}" for v in VERSIONS}
"""Number -> the name that `protocols` columns and `-O` options take."""


def version_name(version: int) -> str:
    """ "OpenFlow13" for 4; "0x09" for what has no name."""
    return VERSION_NAMES.get(version, f"0x{version:02x}")


def version_from_name(name: str) -> int:
    """The version that "OpenFlow13" (or "OpenFlow1.3", in any case) names; KeyError if none."""
    wanted = name.lower().replace("openflow1.", "openflow1")
    for number, known in VERSION_NAMES.items():
        if known.lower() == wanted:
            return number
    raise KeyError(name)


def versions_to_bitmap(versions: Iterable[int]) -> int:
    """The bitmap of a hello's element (OpenFlow 1.3.1, 7.5.1): bit n is version n."""
    bitmap = 0
    for version in versions:
        bitmap |= 1 << version
    return bitmap


def versions_from_bitmap(bitmap: int) -> tuple[int, ...]:
    """The versions in `bitmap`, known here or not, in ascending order."""
    return tuple(n for n in range(bitmap.bit_length()) if bitmap >> n & 1)
