"""BPDUs on the wire: what scapy makes is understood, what we make scapy understands, and no bytes do harm."""

from __future__ import annotations

import random

import pytest
from scapy.layers.l2 import LLC, STP, Dot3

from vswitch.l2 import bpdu
from vswitch.l2.bpdu import Bpdu, decode, encode, frame, from_frame

SAMPLE = Bpdu(bpdu.CONFIG, 0, 1, 0x8000000000000001, 19, 0x8000000000000002, 0x8001, 1000, 20000, 2000, 15000)


def test_scapy_reads_what_we_send() -> None:
    packet = Dot3(frame(SAMPLE, 0x02AABBCCDDEE))
    assert packet.dst == "01:80:c2:00:00:00"
    assert packet.src == "02:aa:bb:cc:dd:ee"
    stp = packet[STP]
    assert (stp.rootid, stp.rootmac, stp.pathcost, stp.portid) == (0x8000, "00:00:00:00:00:01", 19, 0x8001)
    assert (stp.age, stp.maxage, stp.hellotime, stp.fwddelay) == (1, 20, 2, 15)


def test_we_read_what_scapy_sends() -> None:
    data = bytes(Dot3(dst="01:80:c2:00:00:00", src="02:00:00:00:00:01") / LLC(dsap=0x42, ssap=0x42, ctrl=3)
                 / STP(rootid=0x1000, rootmac="02:00:00:00:00:09", pathcost=4, bridgeid=0x8000,
                       bridgemac="02:00:00:00:00:08", portid=0x8002, hellotime=3))  # fmt: skip
    seen = from_frame(data)
    assert seen is not None
    assert (seen.root_id, seen.root_path_cost, seen.port_id) == (0x1000020000000009, 4, 0x8002)
    assert (seen.max_age, seen.hello_time, seen.forward_delay) == (20000, 3000, 15000)


@pytest.mark.parametrize(
    "sent",
    [SAMPLE, Bpdu(bpdu.TCN), Bpdu(bpdu.RST, 2, 0x7E, 1 << 63, 200000, 5, 0x8003, 0, 20000, 2000, 15000)],
)
def test_what_is_sent_is_what_is_read(sent: Bpdu) -> None:
    assert decode(encode(sent)) == sent
    assert from_frame(frame(sent, 1) + bytes(20)) == sent


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "nothing"),
        (b"\0\0\0", "shorter than a TCN"),
        (b"\0\1" + encode(SAMPLE)[2:], "another protocol"),
        (encode(SAMPLE)[:-1], "a short configuration BPDU"),
        (b"\0\0\2\2" + bytes(31), "an RST BPDU without its last byte"),
        (b"\0\0\0\x33" + bytes(40), "an unknown type"),
    ],
)
def test_malformed_bpdus_are_none(data: bytes, why: str) -> None:
    assert decode(data) is None, why


def test_no_mutated_frame_does_harm() -> None:
    rng = random.Random(11)
    seeds = [frame(SAMPLE, 1), frame(Bpdu(bpdu.TCN), 1), frame(Bpdu(bpdu.RST, 2, 0x3C), 1)]
    understood = 0
    for _ in range(200_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        seen = from_frame(bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data))
        if seen is not None:
            understood += 1
            assert 0 <= seen.root_id < 1 << 64
    assert 0 < understood < 200_000
