"""The program's key is what `flow.extract` makes of a packet, on 20,000 mutated packets.

Each packet goes through the parser's part by BPF_PROG_TEST_RUN. A packet without a key ("odd") is fine, for
it goes up; ordinary ones must have one. VLAN tags lie beside the packet in the kernel, so that a program in
front of the parser puts them there.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest

from tests.dpif_ebpf.packets import mutated, ordinary
from vswitch.dpif.ebpf.frame import KEY, net16
from vswitch.dpif.ebpf.key import _ZERO, KEY_WORDS, exact_type, pack
from vswitch.dpif.ebpf.parse import parse
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R1, R2, R3, R6, R7, R10, U64, Helper
from vswitch.ebpf.map import MMAPABLE, Map, MapType
from vswitch.ebpf.program import Program, skb
from vswitch.flow import layout as at
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.packet.parse import Parser

pytestmark = pytest.mark.system
PARSED, ODD = 0, 7
LOOPBACK = 1
N_PACKETS = 20_000


class Harness:
    """The parser as a program of its own, which leaves the key in a mapped array."""

    def __init__(self, tci: int = 0) -> None:
        self.map = Map(MapType.ARRAY, 4, 8 * KEY_WORDS, 1, "test_key", MMAPABLE)
        self.words = self.map.mapped()
        a = Asm()
        if tci:
            a.mov(R6, R1)
            a.mov(R2, net16(0x8100))
            a.mov(R3, tci)
            a.call(Helper.skb_vlan_push)
            a.mov(R1, R6)
        parse(a, False, False, "odd")
        a.map_value(R7, self.map)
        for word in range(KEY_WORDS):
            a.load(U64, R1, R10, KEY + 8 * word)
            a.store(U64, R7, 8 * word, R1)
        a.ret(PARSED)
        a.label("odd")
        a.ret(ODD)
        self.program = Program(a, "test_parse")
        self.context = skb(ifindex=LOOPBACK)

    def key(self, packet: bytes) -> bytes | None:
        """The key of `packet`, None if it is odd."""
        if self.program.run(packet, self.context).result == ODD:
            return None
        return self.words[:KEY_WORDS].tobytes()

    def close(self) -> None:
        self.program.close()
        self.map.close()


@pytest.fixture
def harness(require: Callable[..., None]) -> Iterator[Callable[[int], Harness]]:
    require("root", "ebpf")
    made: list[Harness] = []

    def make(tci: int = 0) -> Harness:
        made.append(Harness(tci))
        return made[-1]

    yield make
    for one in made:
        one.close()


def flow_of(packet: bytes, parser: Parser) -> Flow:
    flow = Flow()
    extract(packet, flow, parser)
    return flow


def check(got: bytes, packet: bytes, parser: Parser) -> None:
    """`got` is the key of `packet`, and what the key has no place for is 0 in its flow."""
    flow = flow_of(packet, parser)
    assert got == pack(flow, LOOPBACK, exact_type(flow, EVERYTHING)), packet.hex()
    for word in _ZERO:
        left = flow.words[word]
        if word == at.W_TP_SRC:
            left &= 0xFFFFFFFF
        if word == at.W_VLAN_TPID and flow.vlan_tci:
            left ^= 0x8100 << at.S_VLAN_TPID
            left &= (1 << 64) - 1
        assert left == 0, f"word {word} of {packet.hex()}"


EVERYTHING = Flow()
for _word in range(at.N_WORDS):
    EVERYTHING.words[_word] = -1


def test_mutated_packets_have_the_key_of_their_flow_or_none(harness: Callable[[int], Harness]) -> None:
    parser, program = Parser(), harness(0)
    r = random.Random(int(os.environ.get("VSWITCH_TEST_SEED", "1")))
    parsed = 0
    for _ in range(N_PACKETS):
        packet = mutated(r)
        if len(packet) < 54 and packet[12:14] in (b"\x08\0", b"\x86\xdd"):
            # BPF_PROG_TEST_RUN takes no packet without its whole IP header.
            continue
        got = program.key(packet)
        if got is not None:
            parsed += 1
            check(got, packet, parser)
    assert parsed > N_PACKETS // 2


def test_ordinary_packets_have_a_key(harness: Callable[[int], Harness]) -> None:
    """All but 802.3 frames, IPv6's neighbour discovery and the like, which go up by design."""
    parser, program = Parser(), harness(0)
    r = random.Random(2)
    for _ in range(3000):
        packet = ordinary(r)
        got = program.key(packet)
        if packet[12:14] == b"\x00\x26":
            assert got is None
        else:
            assert got is not None, packet.hex()
            check(got, packet, parser)


def test_a_tag_beside_the_packet_is_in_the_key(harness: Callable[[int], Harness]) -> None:
    parser, program = Parser(), harness(0x6005)
    r = random.Random(3)
    seen = 0
    for _ in range(1000):
        packet = ordinary(r)
        got = program.key(packet)
        if got is not None:
            seen += 1
            check(got, packet[:12] + bytes.fromhex("81006005") + packet[12:], parser)
    assert seen > 800


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param("02000000000a02000000000b8100000588a8000608004500", id="two tags"),
        pytest.param("02000000000a02000000000b894f0018" + "00" * 40, id="NSH"),
        pytest.param("02000000000a02000000000b0026424203" + "00" * 40, id="802.3"),
        pytest.param("02000000000a02000000000b08004600001c0000000040110000" + "00" * 20, id="cut options"),
    ],
)
def test_what_the_program_leaves_to_userspace(harness: Callable[[int], Harness], packet: str) -> None:
    assert harness(0).key(bytes.fromhex(packet)) is None
