"""OpenFlow's port numbers that stand for no single port, under the names of the specification.

They are OpenFlow 1.0's, 16 bits, which the switch uses inside for every version; 1.1 and later write those
from `OFPP_MAX` on `OFPP11_OFFSET` higher, in 32 bits (OpenFlow 1.0 section 5.2.1, 1.3.5 section 7.2.1).
"""

from __future__ import annotations

from typing import Final

OFPP_MAX: Final = 0xFF00
"""Ports below this number are ordinary ones."""
OFPP_UNSET: Final = 0xFFF7
"""`actset_output` of a packet whose action set has no output."""
OFPP_IN_PORT: Final = 0xFFF8
OFPP_TABLE: Final = 0xFFF9
OFPP_NORMAL: Final = 0xFFFA
OFPP_FLOOD: Final = 0xFFFB
OFPP_ALL: Final = 0xFFFC
OFPP_CONTROLLER: Final = 0xFFFD
OFPP_LOCAL: Final = 0xFFFE
OFPP_NONE: Final = 0xFFFF
"""`in_port` when there is none, in OpenFlow and datapath numbers alike."""
OFPP_ANY: Final = OFPP_NONE

OFPP11_MAX: Final = 0xFFFFFF00
OFPP11_OFFSET: Final = 0xFFFF0000
