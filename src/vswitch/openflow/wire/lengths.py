"""How long messages may be, by their kind alone: data.

A body is `least` bytes, or with a `unit` that much and some units more. It counts from behind the header: 8
bytes, of extensions 16, of statistics 12 in OpenFlow 1.0 and 16 later, of extensions' statistics 24.
The sizes are those of the structs in the specifications and in Open vSwitch's nicira-ext.h. A message whose
length doesn't fit is OFPBRC_BAD_LEN whatever else is wrong with it.
"""

from __future__ import annotations

from typing import Final

from vswitch.openflow.wire.messages_base import Space
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, OFP15

_T: Final = Space.OFPT
_Q: Final = Space.OFPST_REQUEST
_X: Final = Space.NXT
_XQ: Final = Space.NXST_REQUEST
_ONF: Final = Space.ONFT
_ONFQ: Final = Space.ONFST_REQUEST
_R: Final = Space.OFPST_REPLY
_XR: Final = Space.NXST_REPLY
_ONFR: Final = Space.ONFST_REPLY

_ROWS: Final = (
    # space, first and last version, number, least, unit (0: nothing may follow)
    (_T, OFP10, OFP15, 1, 4, 1),
    (_T, OFP10, OFP15, 5, 0, 0),
    (_T, OFP10, OFP10, 6, 24, 48), (_T, OFP11, OFP12, 6, 24, 64), (_T, OFP13, OFP15, 6, 24, 0),
    (_T, OFP10, OFP15, 7, 0, 0), (_T, OFP10, OFP15, 8, 4, 0), (_T, OFP10, OFP15, 9, 4, 0),
    (_T, OFP10, OFP10, 10, 10, 1), (_T, OFP11, OFP11, 10, 16, 1), (_T, OFP12, OFP12, 10, 8, 1),
    (_T, OFP13, OFP15, 10, 16, 1),
    (_T, OFP10, OFP10, 11, 80, 0), (_T, OFP11, OFP14, 11, 40, 8), (_T, OFP15, OFP15, 11, 16, 8),
    (_T, OFP10, OFP10, 12, 56, 0), (_T, OFP11, OFP13, 12, 72, 0), (_T, OFP14, OFP15, 12, 48, 8),
    (_T, OFP10, OFP10, 13, 8, 1), (_T, OFP11, OFP14, 13, 16, 1), (_T, OFP15, OFP15, 13, 8, 1),
    (_T, OFP10, OFP10, 14, 64, 8), (_T, OFP11, OFP15, 14, 40, 8),
    (_T, OFP10, OFP10, 15, 24, 0),
    (_T, OFP11, OFP14, 15, 8, 8), (_T, OFP15, OFP15, 15, 16, 8),
    (_T, OFP11, OFP13, 16, 32, 0), (_T, OFP14, OFP15, 16, 24, 8),
    (_T, OFP11, OFP13, 17, 8, 0), (_T, OFP14, OFP15, 17, 8, 8),
    (_T, OFP10, OFP10, 18, 0, 0), (_T, OFP10, OFP10, 19, 0, 0),
    (_T, OFP11, OFP15, 20, 0, 0), (_T, OFP11, OFP15, 21, 0, 0),
    (_T, OFP10, OFP10, 20, 4, 0), (_T, OFP10, OFP10, 21, 8, 8),
    (_T, OFP11, OFP13, 22, 8, 0), (_T, OFP11, OFP13, 23, 8, 8),
    (_T, OFP12, OFP15, 24, 16, 0), (_T, OFP12, OFP15, 25, 16, 0),
    (_T, OFP13, OFP15, 26, 0, 0), (_T, OFP13, OFP13, 27, 24, 0), (_T, OFP13, OFP13, 28, 24, 0),
    (_T, OFP14, OFP15, 27, 0, 8), (_T, OFP14, OFP15, 28, 0, 8),
    (_T, OFP13, OFP15, 29, 8, 8),
    (_T, OFP14, OFP15, 30, 16, 8), (_T, OFP14, OFP15, 31, 8, 8), (_T, OFP14, OFP15, 32, 8, 8),
    (_T, OFP14, OFP15, 33, 8, 8), (_T, OFP14, OFP15, 34, 8, 1),
    (_Q, OFP10, OFP15, 0, 0, 0),
    (_Q, OFP10, OFP10, 1, 44, 0), (_Q, OFP11, OFP15, 1, 32, 8),
    (_Q, OFP10, OFP10, 2, 44, 0), (_Q, OFP11, OFP15, 2, 32, 8),
    (_Q, OFP10, OFP15, 3, 0, 0), (_Q, OFP10, OFP15, 4, 8, 0), (_Q, OFP10, OFP15, 5, 8, 0),
    (_Q, OFP11, OFP15, 6, 8, 0), (_Q, OFP11, OFP14, 7, 0, 0), (_Q, OFP15, OFP15, 7, 8, 0),
    (_Q, OFP12, OFP15, 8, 0, 0),
    (_Q, OFP13, OFP15, 9, 8, 0), (_Q, OFP13, OFP15, 10, 8, 0), (_Q, OFP13, OFP15, 11, 0, 0),
    (_Q, OFP13, OFP15, 12, 0, 8),
    (_Q, OFP10, OFP14, 13, 0, 0), (_Q, OFP15, OFP15, 13, 8, 0),
    (_Q, OFP14, OFP15, 14, 0, 0), (_Q, OFP14, OFP15, 15, 8, 0), (_Q, OFP14, OFP15, 16, 0, 8),
    (_X, OFP10, OFP15, 10, 4, 0), (_X, OFP10, OFP15, 11, 4, 0), (_X, OFP10, OFP15, 12, 4, 0),
    (_X, OFP10, OFP15, 13, 32, 8), (_X, OFP10, OFP15, 14, 40, 8), (_X, OFP10, OFP15, 15, 8, 0),
    (_X, OFP10, OFP15, 16, 4, 0), (_X, OFP10, OFP15, 17, 24, 1), (_X, OFP10, OFP15, 18, 0, 0),
    (_X, OFP10, OFP15, 19, 24, 0), (_X, OFP10, OFP15, 20, 8, 0), (_X, OFP10, OFP15, 21, 4, 0),
    (_X, OFP10, OFP15, 22, 0, 0), (_X, OFP10, OFP15, 23, 0, 0),
    (_X, OFP10, OFP15, 24, 8, 8), (_X, OFP10, OFP15, 25, 0, 0), (_X, OFP10, OFP15, 27, 0, 8),
    (_X, OFP10, OFP15, 28, 0, 8), (_X, OFP10, OFP15, 29, 8, 0), (_X, OFP10, OFP15, 30, 0, 1),
    (_X, OFP10, OFP10, 31, 16, 8), (_X, OFP10, OFP15, 32, 8, 8),
    (_XQ, OFP10, OFP10, 0, 8, 8), (_XQ, OFP10, OFP10, 1, 8, 8), (_XQ, OFP10, OFP15, 2, 0, 8),
    (_XQ, OFP10, OFP15, 3, 0, 0), (_XQ, OFP10, OFP15, 4, 0, 0),
    (_R, OFP10, OFP14, 2, 24, 0),
    (_R, OFP10, OFP12, 4, 0, 104), (_R, OFP13, OFP13, 4, 0, 112), (_R, OFP14, OFP15, 4, 0, 8),
    (_R, OFP10, OFP12, 5, 0, 32), (_R, OFP13, OFP13, 5, 0, 40), (_R, OFP14, OFP15, 5, 0, 8),
    (_R, OFP10, OFP10, 13, 0, 48), (_R, OFP11, OFP13, 13, 0, 64), (_R, OFP14, OFP15, 13, 0, 8),
    (_R, OFP14, OFP15, 16, 0, 8), (_XR, OFP10, OFP15, 2, 0, 8), (_ONFR, OFP13, OFP13, 1870, 0, 8),
    (_ONF, OFP13, OFP13, 2300, 8, 8), (_ONF, OFP13, OFP13, 2301, 8, 1),
    (_ONFQ, OFP13, OFP13, 1870, 0, 8),
)  # fmt: skip

_LENGTHS: Final = {
    (version, space, number): (least, unit)
    for space, first, last, number, least, unit in _ROWS
    for version in range(first, last + 1)
}


def length_fits(version: int, space: Space, number: int, body: int) -> bool:
    """Whether a body of so many bytes can be that of such a message."""
    least, unit = _LENGTHS.get((version, space, number), (0, 1))
    return body == least if not unit else body >= least and (body - least) % unit == 0
