"""Maps, programs, rings and BTF in the running kernel."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.ebpf.asm import Asm
from vswitch.ebpf.btf import BtfBuilder, BtfError, VmlinuxBtf
from vswitch.ebpf.insn import R0, R1, R2, R3, R6, R10, U32, U64, Helper
from vswitch.ebpf.map import MMAPABLE, Map, MapType
from vswitch.ebpf.program import Program, VerifierError, skb
from vswitch.ebpf.ring import Ring

FRAME = bytes.fromhex("02000000000b02000000000a88b5").ljust(60, b"\0")


@pytest.fixture
def kernel(require: Callable[..., None]) -> None:
    require("root", "ebpf")


pytestmark = pytest.mark.system


@pytest.mark.usefixtures("kernel")
def test_a_hash_is_written_read_walked_and_deleted_from() -> None:
    table = Map(MapType.HASH, 8, 4, 10, "test_hash")
    for n in range(5):
        table.put(struct.pack("=Q", n), n * n)
    assert table.get(struct.pack("=Q", 3)) == struct.pack("=I", 9)
    assert sorted(struct.unpack("=Q", key)[0] for key in table) == [0, 1, 2, 3, 4]
    assert table.delete(struct.pack("=Q", 3))
    assert not table.delete(struct.pack("=Q", 3))
    assert table.get(struct.pack("=Q", 3)) is None
    table.close()
    table.close()


@pytest.mark.usefixtures("kernel")
def test_a_program_runs_on_a_packet_and_writes_a_mapped_array() -> None:
    table = Map(MapType.ARRAY, 4, 16, 1, "test_array", MMAPABLE)
    words = table.mapped()
    a = Asm()
    a.load(U32, R2, R1, 0)
    a.load(U32, R3, R1, 8)
    a.map_value(R1, table, 8)
    a.store(U64, R1, 0, R2)
    a.mov(R0, R3)
    a.exit()
    program = Program(a, "test_run")
    ran = program.run(FRAME, skb(mark=77))
    assert (ran.result, ran.packet, ran.field("mark")) == (77, FRAME, 77)
    assert (words[0], words[1]) == (0, 60)
    assert program.verified() > 0


@pytest.mark.usefixtures("kernel")
def test_the_verifiers_error_names_the_instruction() -> None:
    a = Asm()
    a.mov(R6, R1)
    a.label("beyond")
    a.load(U64, R0, R10, 8)
    a.exit()
    with pytest.raises(VerifierError) as refused:
        Program(a, "test_bad")
    assert refused.value.at == 1
    assert "invalid read from stack" in refused.value.log
    assert "instruction 1: r0 = *(u64 *)(r10 +8), behind label beyond" in str(refused.value)


@pytest.mark.usefixtures("kernel")
def test_a_ring_gives_records_in_order_and_is_emptied() -> None:
    ring = Ring("test_ring", 4096)
    a = Asm()
    a.mov(R6, R1)
    a.map(R1, ring.map)
    a.mov(R2, 8)
    a.mov(R3, 0)
    a.call(Helper.ringbuf_reserve)
    a.jump_if(R0, "==", 0, "full")
    a.load(U32, R1, R6, 8)
    a.store(U64, R0, 0, R1)
    a.mov(R1, R0)
    a.mov(R2, 0)
    a.call(Helper.ringbuf_submit)
    a.label("full")
    a.ret(0)
    program = Program(a, "test_ring")
    sent = got = 0
    for _ in range(30):
        for _ in range(50):
            program.run(FRAME, skb(mark=sent))
            sent += 1
        records = [struct.unpack("=Q", view)[0] for view in ring.take(1000)]
        ring.done()
        assert records == list(range(got, got + 50))
        got += 50
    assert ring.waiting() == 0
    for _ in range(1000):
        program.run(FRAME, skb(mark=1))
    assert len(ring.take(1000)) == 255, "a full ring takes no more"
    ring.close()


@pytest.mark.usefixtures("kernel")
def test_the_kernels_structs_are_found_in_its_btf() -> None:
    btf = VmlinuxBtf(("sk_buff", "iphdr"))
    assert btf.member("iphdr", "daddr").offset == 16
    summed = btf.member("sk_buff", "ip_summed")
    assert summed.bits == 2
    with pytest.raises(BtfError, match="no nonsense"):
        btf.member("sk_buff", "nonsense")
    with pytest.raises(BtfError):
        btf.member("no_such_struct", "x")


@pytest.mark.usefixtures("kernel")
def test_btf_made_here_is_accepted() -> None:
    btf = BtfBuilder()
    u32 = btf.integer("unsigned int", 4)
    lock = btf.structure("bpf_spin_lock", 4, (("val", u32, 0),))
    value = btf.structure("value", 8, (("lock", lock, 0), ("n", u32, 4)))
    fd = btf.load()
    Map(MapType.ARRAY, 4, 8, 1, "test_btf", btf=(fd, u32, value)).close()


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_btf_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path: Path = tmp_path_factory.mktemp("btf") / "x"
    for content in (data, struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(data), 0, len(data)) + data):
        path.write_bytes(content)
        try:
            VmlinuxBtf(("sk_buff",), path).member("sk_buff", "data")
        except BtfError:
            continue
