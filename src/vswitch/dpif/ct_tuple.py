"""One direction of a connection, "ct_nw_src=10.1.1.1,ct_nw_proto=17,ct_tp_dst=53", to say what to flush.

The fields are those of ovs-ofctl(8), `ct-flush`. Up to two tuples, of the original direction and of the
answers, share their protocol and IP version: one `TupleReader` reads both.
"""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

from vswitch.flow.syntax import split_words

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
ICMP: Final = (1, 58)
ICMP_FIELDS: Final = ("icmp_id", "icmp_type", "icmp_code")
_VERSIONS: Final = {"ct_nw_src": 4, "ct_nw_dst": 4, "ct_ipv6_src": 6, "ct_ipv6_dst": 6}
_NUMBERS: Final = {
    "ct_nw_proto": 0xFF, "ct_tp_src": 0xFFFF, "ct_tp_dst": 0xFFFF, "icmp_id": 0xFFFF, "icmp_type": 0xFF,
    "icmp_code": 0xFF,
}  # fmt: skip
"""The largest value of each."""


class TupleReader:
    """Reads the tuples of one command; `proto` is their protocol so far, 0 for any."""

    def __init__(self) -> None:
        self.proto = 0
        self.version = 0
        self.addresses: list[dict[str, Address]] = []
        """For each tuple "src" and "dst", as far as they are given."""
        self.numbers: list[dict[str, int]] = []
        """For each tuple its ports (but for 0, which is any), or what ICMP has in their place."""

    def read(self, text: str) -> None:
        """Take one tuple; "" is any. ValueError says what is wrong with it."""
        addresses: dict[str, Address] = {}
        numbers: dict[str, int] = {}
        for word in split_words(text):
            name, value = word.key, word.value
            if not value:
                raise ValueError(f"field {name} missing value")
            if name in _VERSIONS:
                addresses[name[-3:]] = self._address(name, value)
            elif name in _NUMBERS:
                if name.startswith("icmp_") and self.proto not in ICMP:
                    raise ValueError("invalid L4 fields")
                number = _number(name, value)
                if name == "ct_nw_proto":
                    self.proto = number
                elif number or name.startswith("icmp_"):
                    numbers[name] = number
            else:
                raise ValueError(f"invalid conntrack tuple field: {name}")
        if numbers and not self.proto:
            raise ValueError("port is set without protocol")
        self.addresses.append(addresses)
        self.numbers.append(numbers)

    def _address(self, name: str, value: str) -> Address:
        version = _VERSIONS[name]
        try:
            address = (ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address)(value)
        except ValueError:
            raise ValueError(f"failed to parse field {name}") from None
        if self.version not in (0, version):
            raise ValueError(f"the L3 protocol does not match {value}")
        self.version = version
        return address


def _number(name: str, value: str) -> int:
    try:
        number = int(value, 0)
    except ValueError:
        raise ValueError(f"failed to parse field {name}") from None
    if not 0 <= number <= _NUMBERS[name]:
        raise ValueError(f"failed to parse field {name}")
    return number
