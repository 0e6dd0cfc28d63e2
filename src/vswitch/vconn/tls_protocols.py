"""The versions of TLS by the names that settings give them; loads nothing of the library."""

from __future__ import annotations

from typing import Final

VERSIONS: Final = {"TLSv1": "TLSv1", "TLSv1.1": "TLSv1_1", "TLSv1.2": "TLSv1_2", "TLSv1.3": "TLSv1_3"}
"""What settings call the versions -> the members of `ssl.TLSVersion`."""


def unknown_protocols(protocols: str) -> list[str]:
    """The words of a list such as "TLSv1.2,TLSv1.3" that are no version."""
    return [name for name in protocols.replace(",", " ").split() if name not in VERSIONS]
