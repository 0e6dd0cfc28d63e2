"""The programs of the eBPF datapath before another verifier: that of this kernel, older than most.

It has no BTF, so that the places in `struct sk_buff` are made up, and no function behind one helper, which it
finds out after it has verified the program. Its machine is one that is said to want words aligned, which
packets' are not: that check is put aside.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from tests.dpif.lab import key_of, udp
from vswitch.dpif.ebpf.interpret import interpreter
from vswitch.dpif.ebpf.key import fit
from vswitch.dpif.ebpf.programs import classifier
from vswitch.dpif.ebpf.ring import SkbLayout, UpRing
from vswitch.dpif.ebpf.tables import MAX_MASKS, Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.program import ANY_ALIGNMENT, Program, VerifierError
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow

LAYOUT = SkbLayout(head=200, data=208, csum_start=150, csum_offset=152, ip_summed=128, ip_summed_shift=5)
LOOPBACK = 1
ABSENT = "kernel subsystem misconfigured func bpf_probe_read_kernel"


def check(code: Asm) -> None:
    """The verifier has nothing against the program."""
    log = ""
    try:
        Program(code, "shape", flags=ANY_ALIGNMENT).close()
    except VerifierError as e:
        log = e.log
    assert not log or (ABSENT in log and re.search(r"^processed \d{3,} insns", log, re.MULTILINE)), log


@pytest.fixture
def parts() -> Iterator[tuple[Tables, UpRing]]:
    tables = Tables()
    up = UpRing(LAYOUT)
    yield tables, up
    up.close()
    tables.close()


def random_masks(r: random.Random, n: int, again: bool) -> Iterator[tuple[Flow, Flow]]:
    """(key, mask) of flows under masks of all widths and Ethernet types."""
    for number in range(n):
        key = key_of(udp(sport=number + 1), 1)
        mask = Flow()
        mask.words[at.W_IN_PORT] = -1
        if again:
            key.words[at.W_RECIRC_ID] |= 1 << at.S_RECIRC_ID
        if number % 5:
            mask.words[at.W_ETH_TYPE] |= 0xFFFF
        for word in r.sample((at.W_ETH_DST, at.W_ETH_SRC, at.W_NW_TTL, at.W_TP_SRC), r.randrange(1, 5)):
            mask.words[word] |= r.getrandbits(15) << 32
        yield key.masked(mask), mask


@pytest.mark.parametrize("n", [0, 1, 8, MAX_MASKS])
@pytest.mark.parametrize("again", [False, True])
def test_every_shape_of_classifier_loads(parts: tuple[Tables, UpRing], n: int, again: bool) -> None:
    tables, up = parts
    subtables = []
    for key, mask in random_masks(random.Random(n), n, again):
        _key, bits = fit(key, mask, LOOPBACK)
        eth_type = 0x0800 if mask.words[at.W_ETH_TYPE] & 0xFFFF else -1
        subtables.append(tables.subtable(bits, eth_type, again))
    check(classifier(tables, up, subtables, again))


def test_the_interpreter_loads(parts: tuple[Tables, UpRing]) -> None:
    check(interpreter(*parts))
