"""`--user`: run as somebody else, with what rights a switch needs and no more.

Kept are the capabilities that ovs-vswitchd(8) names for a daemon that works with datapaths:
CAP_NET_ADMIN, CAP_NET_BROADCAST, CAP_NET_RAW, CAP_NET_BIND_SERVICE and CAP_IPC_LOCK.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import struct
from typing import Final

CAP_NET_BIND_SERVICE: Final = 10
CAP_NET_BROADCAST: Final = 11
CAP_NET_ADMIN: Final = 12
CAP_NET_RAW: Final = 13
CAP_IPC_LOCK: Final = 14
KEPT: Final = (CAP_NET_ADMIN, CAP_NET_BROADCAST, CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_IPC_LOCK)

_PR_SET_KEEPCAPS: Final = 8
_LINUX_CAPABILITY_VERSION_3: Final = 0x20080522
"""capset(2): sets of 64 bits in two halves."""


class UserError(Exception):
    """This can't be; the text is a message for the operator."""


def find(spec: str) -> tuple[int, int, str]:
    """(uid, gid, user's name) of "USER", "USER:GROUP" or ":GROUP". UserError."""
    if os.geteuid():
        raise UserError("--user option can be used only when started by root")
    user, _, group = spec.partition(":")
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())
    except KeyError:
        raise UserError(f"user {user} not found, aborting.") from None
    try:
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid
    except KeyError:
        raise UserError(f"group {group} not found, aborting.") from None
    return entry.pw_uid, gid, entry.pw_name


def become(spec: str) -> None:
    """Be the user `spec` names from now on. UserError."""
    uid, gid, name = find(spec)
    libc = ctypes.CDLL(None, use_errno=True)

    def check(what: str, status: int) -> None:
        if status:
            raise UserError(f"{what} failed: {os.strerror(ctypes.get_errno())}")

    check("prctl(PR_SET_KEEPCAPS)", libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    try:
        os.initgroups(name, gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as e:
        raise UserError(f"can't change to user {spec}: {e.strerror}") from e
    bits = sum(1 << cap for cap in KEPT)
    header = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    # Effective, permitted, inheritable: the lower halves, then the upper ones.
    check("capset", libc.capset(header, struct.pack("=6I", bits, bits, 0, 0, 0, 0)))
