"""The programs of the eBPF datapath before another verifier: that of this kernel, older than most.

It has no BTF, so that the places in `struct sk_buff` are made up, and no function behind one helper, which it
finds out after it has verified the program. Its machine is one that is said to want words aligned, which
packets' are not: that check is put aside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from vswitch.dpif.ebpf.interpret import interpreter
from vswitch.dpif.ebpf.programs import Group, classifier
from vswitch.dpif.ebpf.ring import SkbLayout, UpRing
from vswitch.dpif.ebpf.tables import Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.program import ANY_ALIGNMENT, Program, VerifierError

LAYOUT = SkbLayout(head=200, data=208, csum_start=150, csum_offset=152, ip_summed=128, ip_summed_shift=5)
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


@pytest.mark.parametrize("group", Group)
def test_every_shape_of_classifier_loads(parts: tuple[Tables, UpRing], group: Group) -> None:
    check(classifier(*parts, group, loops=False))


def test_the_interpreter_loads(parts: tuple[Tables, UpRing]) -> None:
    check(interpreter(*parts, loops=False))
