"""Errors as one line that a person can act on."""

from __future__ import annotations

import errno


class CliError(Exception):
    """The command can't be carried out; its text is the whole message."""


NEEDS_ROOT = (
    "not permitted: devices and datapaths want root (CAP_NET_ADMIN and CAP_NET_RAW);"
    " without it, try inside a user namespace: unshare -Urn"
)


def explain(what: str, error: OSError) -> CliError:
    """`error`, which happened while doing `what`, in one line."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return CliError(f"{what}: {NEEDS_ROOT}")
    text = error.strerror or str(error)
    return CliError(f"{what}: {' '.join(text.split())}")
