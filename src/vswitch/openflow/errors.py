"""`OfpError`: a request that OpenFlow refuses, by the name that its specification gives the error."""

from __future__ import annotations


class OfpError(Exception):
    """`name` is such as "OFPFMFC_OVERLAP" or "OFPBAC_BAD_OUT_PORT"; `detail` what about, if known."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name
        self.detail = detail
        self.data: bytes = b""
        """The beginning of the message that is refused, header first: what an error message carries."""
