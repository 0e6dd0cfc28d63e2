"""Dataclasses that are made quickly behave as the library's own, field for field."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import dataclasses
import sys
if sys.argv[1] == "quick":
    from vswitch.cli import quick_dataclasses
    quick_dataclasses.install()

def attempt(work):
    try:
        return work()
    except Exception as e:
        return f"{type(e).__name__}: {e}"

@dataclasses.dataclass(frozen=True)
class Frozen:
    a: int
    b: str = "x"
    def change(self): self.a = 3
    def drop(self): del self.b

@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    one: int

@dataclasses.dataclass
class Plain:
    items: list = dataclasses.field(default_factory=list)
    hidden: int = dataclasses.field(default=1, repr=False, compare=False)

@dataclasses.dataclass(frozen=True)
class Empty:
    pass

@dataclasses.dataclass(order=True)
class Ordered:
    n: int

@dataclasses.dataclass(frozen=True)
class Child(Frozen):
    c: float = 1.5

nan = float("nan")
loop = Plain()
loop.items.append(loop)
frozen = Frozen(1)
for result in (
    frozen, Frozen(1) == Frozen(1), Frozen(1) == Frozen(2), Frozen(1) == 1, Frozen(1) != Frozen(1, "y"),
    hash(Frozen(1)) == hash((1, "x")), hash(Slotted(5)) == hash((5,)), hash(Empty()) == hash(()),
    Empty(), Empty() == Empty(), Slotted(1) == Slotted(1), Slotted(nan) == Slotted(nan), Plain(), loop,
    Plain([1], 2) == Plain([1], 3), attempt(lambda: hash(Plain())), Child(1), Child(1) == Frozen(1),
    attempt(frozen.change), attempt(frozen.drop), attempt(lambda: setattr(frozen, "new", 1)),
    attempt(lambda: setattr(Slotted(1), "one", 2)), attempt(lambda: delattr(Child(1), "c")),
    Ordered(1) < Ordered(2), Ordered(1) == Ordered(1), attempt(lambda: Ordered(1) < 1),
    dataclasses.replace(frozen, b="z"), dataclasses.astuple(Child(1)),
):
    print(result)
"""


def output(how: str) -> str:
    command = [sys.executable, "-c", PROGRAM, how]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="left alone there")
def test_they_do_what_the_librarys_do() -> None:
    library = output("library")
    assert output("quick") == library
    assert "cannot assign to field 'a'" in library
