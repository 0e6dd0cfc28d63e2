"""A frame as a device hands it over: bytes, and the kernel's offload state."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

VNET_NEEDS_CSUM: Final = 1
"""`VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum at csum_start + csum_offset is partial."""
VNET_DATA_VALID: Final = 2
"""`VIRTIO_NET_HDR_F_DATA_VALID`: the checksum was verified."""
GSO_NONE: Final = 0
GSO_TCPV4: Final = 1
GSO_UDP: Final = 3
GSO_TCPV6: Final = 4
GSO_UDP_L4: Final = 5
GSO_ECN: Final = 0x80


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Frame:
    """`data` from the Ethernet header on; the rest are the fields of `struct virtio_net_hdr`.

    Offsets are in bytes from the start of `data`; whoever inserts or removes header bytes
    (VLAN, MPLS) moves `csum_start` and `hdr_len` by as much.
    """

    __slots__ = ("conn", "conn_serial", "csum_offset", "csum_start", "data", "flags", "gso_size", "gso_type",
                 "hdr_len")

    def __init__(
        self,
        data: bytes,
        flags: int = 0,
        gso_type: int = 0,
        hdr_len: int = 0,
        gso_size: int = 0,
        csum_start: int = 0,
        csum_offset: int = 0,
    ) -> None:
        self.data = data
        self.flags = flags
        self.gso_type = gso_type
        self.hdr_len = hdr_len
        self.gso_size = gso_size
        self.csum_start = csum_start
        self.csum_offset = csum_offset
        self.conn: i64 = 0
        """The tracked connection that the packet was found to belong to before it became an upcall, and its
        serial number, as in `dpif.odp_execute.Packet`."""
        self.conn_serial: i64 = 0

    def __repr__(self) -> str:
        return f"Frame({len(self.data)} bytes, gso_type={self.gso_type}, flags={self.flags})"
