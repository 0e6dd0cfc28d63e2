"""Operations that complete later."""

from __future__ import annotations

from vswitch.ofproto_dpif.completions import Clog, Completions


def test_an_operation_completes_at_once() -> None:
    done: list[str] = []
    Completions(Clog()).complete(lambda: done.append("barrier"))
    assert done == ["barrier"]


def test_while_clogged_operations_wait_and_then_complete_in_order() -> None:
    clog = Clog()
    completions = Completions(clog)
    done: list[int] = []
    clog.clogged = True
    for i in range(3):
        completions.complete(lambda i=i: done.append(i))  # type: ignore[misc]
    completions.run()
    assert done == []
    assert len(completions) == 3
    clog.clogged = False
    completions.complete(lambda: done.append(3))
    completions.run()
    assert done == [0, 1, 2, 3]
