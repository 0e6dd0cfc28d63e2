"""What multicast snooping says is made only where it will be heard; what it learns is the same."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from tests.l2.igmp_messages import v2, v3
from vswitch.l2.mcast_snooping import McastSnooping
from vswitch.ofproto_dpif.xlate.bridge import XBundle
from vswitch.ofproto_dpif.xlate.mcast import _learn


@pytest.mark.parametrize(
    ("message", "news", "said"),
    [
        (v2(0x16, "225.1.1.1"), True, "learned that 225.1.1.1 is"),
        (v2(0x11, "0.0.0.0"), True, "query from 10.0.0.5 is"),
        (v3((4, "225.1.1.1"), (4, "225.1.1.2")), True, "processed 2 addresses"),
        (v2(0x16, "225.1.1.1")[:-1] + b"\0", False, "received bad IGMP checksum"),
    ],
)  # fmt: skip
def test_words_are_made_for_those_who_listen(message: bytes, news: bool, said: str) -> None:
    head = Ether(dst="01:00:5e:01:01:01") / IP(src="10.0.0.5", dst="225.1.1.1", proto=2, ttl=1)
    packet = bytes(head / message)
    for heard in (True, False):
        table = McastSnooping()
        bundle = XBundle("p1")
        assert _learn(table, bundle, 0, packet, 0, heard) == (news, said if heard else "")
