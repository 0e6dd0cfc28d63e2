"""How a connection ended, as one number: 0 not at all, `EOF` by the peer, else an errno."""

from __future__ import annotations

import errno
import os
from typing import Final

EOF: Final = -1
EAGAIN: Final = errno.EAGAIN
EPROTO: Final = errno.EPROTO


def retval_to_string(error: int) -> str:
    """`error` in words, as Open vSwitch's logs and status columns have it."""
    if not error:
        return ""
    return "End of file" if error == EOF else os.strerror(error)


def error_of(error: OSError) -> int:
    """The number of an exception that a socket raised."""
    return error.errno or EPROTO
