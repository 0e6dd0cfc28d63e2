"""Every error's numbers, against the real ovs-ofctl, and the body of an error message."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.errors import ERRORS, encodable, from_numbers, get_error, put_error, to_numbers
from vswitch.openflow.wire.version import (
    VERSIONS,
    version_from_name,
    version_name,
    versions_from_bitmap,
    versions_to_bitmap,
)

LINE = re.compile(r"OpenFlow 1\.(\d): vendor (\S+), type (\d+), code (\d+)")


def test_the_numbers_are_the_real_ones(require: Callable[[str], None]) -> None:
    require("command:ovs-ofctl")
    for name in ERRORS:
        said = subprocess.run(["ovs-ofctl", "print-error", name], capture_output=True, text=True, check=True)
        real = {int(m[1]) + 1: (int(m[2], 16), int(m[3]), int(m[4])) for m in LINE.finditer(said.stdout)}
        ours = {v: to_numbers(name, v) for v in VERSIONS if encodable(name, v)}
        assert ours == real, name


def test_no_error_has_a_name_that_there_is_not() -> None:
    source = Path(__file__).parents[2] / "src" / "vswitch"
    named = {
        (path.name, name) for path in source.rglob("*.py")
        for name in re.findall(r'OfpError\(\s*"(\w+)"', path.read_text())
    }  # fmt: skip
    assert len(named) > 100
    assert {(path, name) for path, name in named if name not in ERRORS} == set()


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("OFPBRC_BAD_TYPE", 1, "00010001"),
        ("OFPBMC_BAD_PREREQ", 4, "00040009"),
        ("OFPBIC_BAD_EXPERIMENTER", 1, "b0c200000000232000010209"),
        ("NXBRC_NXM_INVALID", 1, "b0c200000000232000010100"),
        ("NXBRC_NXM_INVALID", 3, "ffff000200002320"),
        ("OFPBPC_BAD_EXPERIMENTER", 4, "ffff115d4f4e4600"),
    ],
)
def test_an_error_message_has_the_form_of_its_version(name: str, version: int, expected: str) -> None:
    w = Writer()
    put_error(w, name, version, b"\x01\x14\x00\x08")
    assert w.getvalue().hex() == expected + "01140008"
    numbers, found, data = get_error(Reader(w.getvalue()), version)
    assert numbers == to_numbers(name, version)
    assert from_numbers(version, *numbers) == found
    assert data == b"\x01\x14\x00\x08"


def test_what_a_version_lacks_is_an_unencodable_error() -> None:
    assert not encodable("OFPBIC_BAD_EXPERIMENTER", 1)
    assert to_numbers("OFPBIC_BAD_EXPERIMENTER", 1) == to_numbers("NXBRC_UNENCODABLE_ERROR", 1)


def test_versions_have_names_and_a_bitmap() -> None:
    assert version_name(4) == "OpenFlow13"
    assert version_name(9) == "0x09"
    assert version_from_name("openflow1.5") == 6
    assert versions_from_bitmap(versions_to_bitmap((1, 4))) == (1, 4)
