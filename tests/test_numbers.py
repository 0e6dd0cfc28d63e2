"""A number of a protocol has one home: elsewhere in the code it goes by its name."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from vswitch.flow import port_numbers
from vswitch.packet import numbers

SOURCE = Path(__file__).parents[1] / "src" / "vswitch"

HOMES = ("packet/numbers.py", "flow/port_numbers.py")
NAMED = {
    number: name
    for home in (numbers, port_numbers)
    for name, number in vars(home).items()
    if name.startswith(("ETH_TYPE_", "OFPP_", "OFPP11_")) and number not in (0x0600, 0xFFFF, 0x0800, 0xFF00)
}
"""Those that mean nothing else in the code; 0xffff is a mask as well, 0x800 and 0xff00 a bit and bits."""
ELSEWHERE = {
    ("ofproto_dpif/xlate/types.py", 0xFFFD), ("ofproto_dpif/xlate/types.py", 0xFFFE),
    ("dpif/probe.py", 0xFFFE), ("l2/lacp.py", 0xFFFE),
    ("openflow/actions.py", 0xFFFE), ("openflow/wire/match10.py", 0xFFFE),
    ("openflow/constants.py", 0xFFFFFF00), ("openflow/constants.py", 0xFFFF0000),
    ("openflow/messages/group.py", 0xFFFFFF00), ("ofproto_dpif/xlate/mcast.py", 0xFFFFFF00),
    ("dpif/userspace/conntrack/helpers.py", 0xFFFF0000), ("dpif/userspace/emc.py", 0xFFFF0000),
    ("dpif/userspace/conntrack/fragments.py", 0xFFF8), ("packet/parse.py", 0xFFF8),
    ("openflow/wire/messages_flow.py", 0xFFFF0000), ("bridge/bonds.py", 0xFFFE),
    ("bridge/tc_police.py", 0xFFFF0000), ("ebpf/clsact.py", 0xFFFF0000),
}  # fmt: skip
"""Masks, and numbers of other protocols that are the same by chance."""


@cache
def literals() -> set[tuple[str, int, int]]:
    """(file, number, line) of every number of `NAMED` that is written as such outside of its home."""
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        file = str(path.relative_to(SOURCE))
        if file in HOMES:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and type(node.value) is int and node.value in NAMED:
                found.add((file, node.value, node.lineno))
    return found


def test_numbers_go_by_their_names() -> None:
    wrong = [
        f"{file}:{line}: {number:#x} is {NAMED[number]}"
        for file, number, line in sorted(literals()) if (file, number) not in ELSEWHERE
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_every_exception_is_one() -> None:
    assert {(file, number) for file, number, _ in literals()} >= ELSEWHERE
