"""Which connections a flush request means."""

from __future__ import annotations

import pytest

from vswitch.dpif.types import CtEntry
from vswitch.ofproto_dpif.ct_flush import wanted
from vswitch.openflow.messages.nicira import CtFlush, CtTuple

MAPPED = 0xFFFF << 32
TCP = CtEntry(6, ("10.0.0.1", "10.0.0.2", 1000, 80), ("10.0.0.2", "10.0.0.9", 80, 2000), 5)
UDP6 = CtEntry(17, ("fd00::1", "fd00::2", 53, 53), ("fd00::2", "fd00::1", 53, 53))
PING = CtEntry(1, ("10.0.0.1", "10.0.0.2", 77, 8 << 8), ("10.0.0.2", "10.0.0.1", 77, 0))


@pytest.mark.parametrize(("request_", "fitting"), [
    (CtFlush(nw_proto=6), [TCP]),
    (CtFlush(orig=CtTuple(src=MAPPED | 0x0A000001)), [TCP, PING]),
    (CtFlush(nw_proto=6, orig=CtTuple(dst_port=80)), [TCP]),
    (CtFlush(nw_proto=6, orig=CtTuple(dst_port=81)), []),
    (CtFlush(reply=CtTuple(dst=MAPPED | 0x0A000009, dst_port=2000)), [TCP]),
    (CtFlush(orig=CtTuple(dst=0xFD00 << 112 | 2)), [UDP6]),
    (CtFlush(nw_proto=1, orig=CtTuple(icmp_id=77, icmp_type=8, icmp_code=0)), [PING]),
    (CtFlush(nw_proto=1, orig=CtTuple(icmp_type=9)), []),
])  # fmt: skip
def test_connections_fit_by_what_is_asked(request_: CtFlush, fitting: list[CtEntry]) -> None:
    fits = wanted(request_)
    assert fits is not None
    assert [entry for entry in (TCP, UDP6, PING) if fits(entry)] == fitting


def test_a_request_that_asks_for_nothing_means_all() -> None:
    assert wanted(CtFlush(zone_id=5)) is None
