"""`vswitch ofctl` reads and writes raw matches as ovs-ofctl: NXM and OXM in text, ofp_match, VLANs."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Callable

import pytest

from tests.ofctl import raw_matches as raw
from tests.own_tools import run_own
from tests.whole import ALL, SEED

pytestmark = pytest.mark.system

N_LINES = 20_000 if ALL else 2000
LOGGED = re.compile(r"^\S+Z\|\d+\|\w+\|(WARN|INFO)\|.*\n", re.MULTILINE)
NXM_COMMANDS = (
    "parse-nx-match", "-m --strict parse-nxm", "parse-oxm OpenFlow12", "-m --strict parse-oxm OpenFlow13",
    "-m parse-oxm OpenFlow15", "--strict parse-oxm OpenFlow15",
)  # fmt: skip


@pytest.fixture(autouse=True)
def tools(require: Callable[..., None]) -> None:
    require("command:ovs-ofctl")


def said(command: str, own: bool, stdin: str = "") -> tuple[int, str, str]:
    words = ["ovs-ofctl", *command.split()]
    if own:
        ran = run_own(words, dict(os.environ), stdin)
    else:
        ran = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout, LOGGED.sub("", ran.stderr)


def check(command: str, lines: list[str]) -> None:
    """Both tools say the same of `lines`; those that differ are asked one by one."""
    stdin = "".join(f"{line}\n" for line in lines)
    if said(command, True, stdin) == said(command, False, stdin):
        return
    differ = []
    for line in lines:
        ours, real = (said(command, own, f"{line}\n") for own in (True, False))
        if ours != real:
            differ.append(f"$ {command} <<< {line}\nours {ours}\nreal {real}")
        if len(differ) > 5:
            break
    assert not differ, "\n".join(differ)
    pytest.fail("together they differ")


@pytest.mark.parametrize("command", NXM_COMMANDS)
def test_fields_in_text(command: str) -> None:
    rng = random.Random(f"{SEED} {command}")
    check(command, [raw.nxm_line(rng) for _ in range(N_LINES)])


@pytest.mark.parametrize("command", ["parse-nx-match", "-m parse-oxm OpenFlow13"])
def test_what_is_no_list_of_fields(command: str) -> None:
    for line in raw.SPOILT:
        assert said(command, True, line) == said(command, False, line), line


def test_wrong_versions() -> None:
    for command in ("parse-oxm", "parse-oxm foo", "parse-oxm OpenFlow10", "parse-oxm OpenFlow11",
                    "parse-oxm OpenFlow13 x", "parse-nxm x", "check-vlan 1", "check-vlan 1 2 3"):  # fmt: skip
        assert said(command, True) == said(command, False), command


def test_matches_of_1_0() -> None:
    rng = random.Random(SEED)
    check("parse-ofp10-match", [raw.match10_line(rng) for _ in range(N_LINES)])


def test_matches_of_1_1() -> None:
    rng = random.Random(SEED)
    check("parse-ofp11-match", [raw.match11_line(rng) for _ in range(N_LINES)])


@pytest.mark.parametrize("command", ["parse-ofp10-match", "parse-ofp11-match"])
def test_what_is_no_match(command: str) -> None:
    for line in ("00", "zz", "# 00", "", "00 # x", "0" * 81, "00" * 89, "00" * 88 + "z", "0"):
        assert said(command, True, line) == said(command, False, line), line


def test_vlans() -> None:
    rng = random.Random(SEED)
    odd = (0, 1, 5, 0xFFF, 0x1000, 0x1005, 0x1FFF, 0x2000, 0xB000, 0xE000, 0xF000, 0xFFFF)
    pairs = [(a, b) for a in odd for b in odd] if ALL else []
    pairs += [(rng.choice(odd), rng.choice((*odd, rng.getrandbits(16)))) for _ in range(100)]
    differ = []
    for tci, mask in pairs:
        for value in (tci, tci & mask):
            command = f"check-vlan {value:x} {mask:x}"
            ours, real = (said(command, own) for own in (True, False))
            if ours != real:
                differ.append(f"$ {command}\nours {ours}\nreal {real}")
    for command in ("check-vlan z 1", "check-vlan 0x1005 fffff", "check-vlan 0x 1x"):
        assert said(command, True) == said(command, False), command
    assert not differ, "\n".join(differ)
