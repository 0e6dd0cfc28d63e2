"""Records are dataclasses in every respect, before and after their methods have been made."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from vswitch.base import records

PLAIN = """
@dataclass(OPTIONS)
class Base:
    \"\"\"One.\"\"\"
    a: int
    b: list[int] = field(default_factory=list)
    c: str = "x"
    d: int = field(default=5, compare=False)
    e: int = field(default=0, init=False)
    LAYOUT: ClassVar[int] = 7
    def twice(self): return 2 * self.a

@dataclass(OPTIONS)
class Derived(Base):
    f: int = 9
    c: str = "y"

class Further(Derived):
    pass
"""
OPTIONS = ["", "frozen=True", "eq=False", "unsafe_hash=True", "repr=False", "frozen=True, eq=False"]


def _classes(options: str, module: Any) -> tuple[Any, Any, Any]:
    space: dict[str, Any] = {
        "dataclass": module.dataclass, "field": module.field, "ClassVar": ClassVar, "__name__": __name__,
        "__builtins__": __builtins__,
    }  # fmt: skip
    exec("from __future__ import annotations\n" + PLAIN.replace("OPTIONS", options), space)
    return space["Base"], space["Derived"], space["Further"]


def _outcome(work: Callable[[], Any]) -> Any:
    """What `work` returns, as text without addresses, or how it fails."""
    try:
        found = work()
    except Exception as e:
        return type(e).__name__, str(e)
    text = str(found)
    return "an object" if " at 0x" in text else text


USES: list[Callable[[Any], Any]] = [
    lambda c: c(1),
    lambda c: c(1, [2], c="z"),
    lambda c: c(),
    lambda c: c(1, 2, 3, 4, 5, 6, 7),
    lambda c: c(1, q=2),
    lambda c: c(1) == c(1),
    lambda c: c(1) == c(2),
    lambda c: c(1, d=1) == c(1, d=2),
    lambda c: c(1) == 1,
    lambda c: c(1) != c(1),
    lambda c: len({hash(x) for x in (c(1, ()), c(1, ()))}),
    lambda c: isinstance(hash(c(1)), int),
    lambda c: c(1) < c(2),
    lambda c: setattr(c(1), "a", 3),
    lambda c: delattr(c(1), "a"),
    lambda c: setattr(c(1), "new", 3),
    lambda c: replace(c(1), a=4),
    lambda c: replace(c(1), e=4),
    lambda c: dataclasses.asdict(c(1)),
    lambda c: dataclasses.astuple(c(1)),
    lambda c: [(f.name, f.default, f.init, f.compare) for f in dataclasses.fields(c)],
    lambda c: dataclasses.is_dataclass(c),
    lambda c: c.__dataclass_params__,
    lambda c: (c.c, c.d, c.LAYOUT),
    lambda c: c.a,
    lambda c: c.b,
    lambda c: c(3).twice(),
    lambda c: c.__hash__ is None,
    lambda c: c(1).b is c(1).b,
]


@pytest.mark.parametrize("which", [0, 2])
@pytest.mark.parametrize("options", OPTIONS)
def test_a_record_does_what_a_dataclass_does(options: str, which: int) -> None:
    theirs = _classes(options, dataclasses)[which]
    for use in USES:
        ours = _classes(options, records)[which]
        before = _outcome(lambda c=ours, u=use: u(c))
        assert before == _outcome(lambda u=use: u(theirs))
        assert before == _outcome(lambda c=ours, u=use: u(c))


def test_methods_of_one_s_own_stay() -> None:
    @records.dataclass(frozen=True)
    class Own:
        a: int
        total: int = 0

        def __post_init__(self) -> None:
            object.__setattr__(self, "total", self.a + 1)

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 3

    assert Own(1).total == 2
    assert repr(Own(1)) == "own"
    assert Own(1) == Own(2)
    assert hash(Own(5)) == 3


def test_patterns_match_before_any_instance_was_made() -> None:
    @records.dataclass
    class Pair:
        a: int
        b: int

    match Pair(1, 2):
        case Pair(a, b):
            assert (a, b) == (1, 2)
        case _:
            raise AssertionError


def test_nothing_is_made_before_it_is_needed() -> None:
    @records.dataclass(frozen=True)
    class Unused:
        a: int

    assert Unused.__init__ is records._init  # type: ignore[misc,attr-defined]
    assert Unused(1) == Unused(1)
    assert Unused.__init__ is not records._init  # type: ignore[misc,attr-defined]


def test_threads_may_come_at_once() -> None:
    for _ in range(20):

        @records.dataclass(frozen=True)
        class Shared:
            a: int
            b: int = 1

        found: list[int] = []
        gate = threading.Barrier(8)

        def work(made: Any = Shared, at: Any = gate, into: list[int] = found) -> None:
            at.wait()
            into.append(hash(made(1)))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(found) == 8
