"""The version of this switch."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
OVS_VERSION: Final = "3.1.0"
"""The release of Open vSwitch whose protocols, commands and schema these are. Scripts and controllers
compare it to learn what they may use."""
