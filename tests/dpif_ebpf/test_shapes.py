"""Every shape of the programs loads on this kernel, also those for kernels that lack what it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from vswitch.dpif.ebpf.interpret import interpreter
from vswitch.dpif.ebpf.programs import Group, classifier
from vswitch.dpif.ebpf.ring import UpRing, skb_layout
from vswitch.dpif.ebpf.tables import Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.program import Program

pytestmark = pytest.mark.system
LIMIT = 1_000_000
"""Instructions that the verifier walks through before it refuses a program (Linux 5.2)."""


@pytest.fixture
def parts(require: Callable[..., None]) -> Iterator[tuple[Tables, UpRing]]:
    require("root", "ebpf")
    tables = Tables()
    up = UpRing(skb_layout())
    yield tables, up
    up.close()
    tables.close()


def check(code: Asm) -> None:
    program = Program(code, "shape")
    assert 0 < program.verified() < LIMIT / 5
    program.close()


@pytest.mark.parametrize("loops", [True, False])
@pytest.mark.parametrize("group", Group)
def test_classifiers(parts: tuple[Tables, UpRing], group: Group, loops: bool) -> None:
    check(classifier(*parts, group, loops))


@pytest.mark.parametrize("loops", [True, False])
def test_the_interpreter(parts: tuple[Tables, UpRing], loops: bool) -> None:
    check(interpreter(*parts, loops))
