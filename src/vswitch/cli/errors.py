"""Errors as one line that a person can act on."""

from __future__ import annotations

import errno


class CliError(Exception):
    """The command can't be carried out; its text is the whole message."""


NEEDS_ROOT = (
    "devices and datapaths want root (CAP_NET_ADMIN and CAP_NET_RAW);"
    " without it, try inside a user namespace: unshare -Urn"
)


def explain(what: str, error: OSError) -> CliError:
    """`error`, which happened while doing `what`, in one line."""
    text = f"{what}: {' '.join((error.strerror or str(error)).split())}"
    if error.errno in (errno.EPERM, errno.EACCES):
        text += f"; {NEEDS_ROOT}"
    return CliError(text)
