"""Where a connection goes: "tcp:HOST[:PORT]" and its like, ovsdb(7) "Connection Methods"."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vswitch.base.records import dataclass

OFP_PORT: Final = 6653
"""IANA's port for OpenFlow."""

_ACTIVE: Final = re.compile(r"(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?")
_PASSIVE: Final = re.compile(r"(\d{1,5})?(?::(?:\[([^\]]+)\]|([^:\[\]]+)))?")
_SUN_PATH_MAX: Final = 107


class AddressError(ValueError):
    """A target that means nothing; the text says why."""


@dataclass(frozen=True)
class Address:
    """`method` is tcp, ssl or unix. `host` an address without brackets or a name, or a file."""

    method: str
    host: str
    port: int = 0

    @property
    def literal(self) -> bool:
        """Whether `host` needs no look-up."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        if self.method == "unix":
            return f"unix:{self.host}"
        return f"{self.method}:{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """An IPv6 address in brackets, anything else as it is."""
    return f"[{host}]" if ":" in host else host


def _port(text: str | None, target: str, default: int) -> int:
    port = int(text) if text is not None else default
    if port > 65535:
        raise AddressError(f"{target}: bad port number {port}")
    return port


def parse_active(target: str, default_port: int = OFP_PORT) -> Address:
    """The address that "tcp:", "ssl:" or "unix:" leads to. AddressError."""
    method, colon, rest = target.partition(":")
    if method == "unix" and rest:
        return Address("unix", rest)
    if method not in ("tcp", "ssl") or not colon:
        raise AddressError(f"{target}: unknown connection method")
    found = _ACTIVE.fullmatch(rest)
    if found is None:
        raise AddressError(f"{target}: bad peer name format")
    return Address(method, found[1] or found[2], _port(found[3], target, default_port))


def parse_passive(target: str, default_port: int = OFP_PORT) -> Address:
    """The address that "ptcp:", "pssl:" or "punix:" listens on. AddressError.

    Port 0 lets the kernel choose; without a host all IPv4 addresses are meant.
    """
    method, colon, rest = target.partition(":")
    if method == "punix" and rest:
        return Address("unix", rest)
    if method not in ("ptcp", "pssl") or not colon:
        raise AddressError(f"{target}: unknown connection method")
    found = _PASSIVE.fullmatch(rest)
    host = "" if found is None else found[2] or found[3] or "0.0.0.0"
    if found is None or not Address("tcp", host).literal:
        raise AddressError(f"{target}: bad address to listen on")
    return Address(method[1:], host, _port(found[1], target, default_port))


@contextmanager
def unix_path(path: str) -> Iterator[str]:
    """A name of the file at `path` that is short enough for a socket's address. OSError."""
    if len(os.fsencode(path)) <= _SUN_PATH_MAX:
        yield path
        return
    directory, name = os.path.split(path)
    fd = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)
