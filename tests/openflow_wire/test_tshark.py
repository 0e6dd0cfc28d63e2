"""Every message class, in each version that tshark knows: dissected, with nothing malformed or unknown.

tshark 4.0 cannot read all of OpenFlow. What it says of a message of the real switch it may say of one of
ours that has the same class and version; `DISSECTOR` lists its other faults.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.openflow_messages.test_codec import EXAMPLES
from tests.openflow_messages.test_real_messages import REAL
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages.session import EchoRequest, Error
from vswitch.openflow.wire.codec import decode, encodable, encode
from vswitch.openflow.wire.version import OFP10, OFP13, OFP14, OFP15, version_name

pytestmark = pytest.mark.system

VERSIONS = (OFP10, OFP13, OFP14, OFP15)
"""tshark has no dissector for 1.1 and 1.2."""
OFPTCP_PORT = 6653
LINK_TYPE_ETHERNET = 1

COMPLAINT = re.compile(r"(?i)malformed|unknown|undecoded|not dissected|unsupported")
DISSECTOR = (
    # Extensions of OpenFlow that it has no reader for.
    r"\[(?:Expert Info \((?:Note|Warning)/Undecoded\): )?(?:Message data|Action) not dissected yet\]",
    r"\[Group: Undecoded\]",
    r"\[Expert Info \(Note/Undecoded\): Experimenter [^\]]*\]",
    r"(?s)Experimenter multipart reply body\..*\[Malformed Packet: openflow_v\d\]",
    r"\[?(?:Expert Info \(Note/Undecoded\): )?Unknown OXM body\.\]?",
    # Actions of 1.0 (set_tp_dst, enqueue) and 1.5 (copy_field) that it does not know.
    r"Actions type: Unknown \(1[01]\)",
    r"(?s)Type: OFPAT_COPY_FIELD.*",
    # "mod-group --may-create", ovs-ofctl(8).
    r"Command: Unknown \(32768\)",
    # In 1.5 it gives up in the midst of an OXM field.
    r"Class: OFPXMC_[^\n]*\n\[Malformed Packet: openflow_v6\]",
    # From 1.4 on it reads queue statistics without their padding.
    r"(?s)Queue stats\n +Length: 48\n +Pad: 0000\n.*?\[(?:Malformed Packet: openflow_v\d|Group: Malformed)\]",
)


def frame(message: bytes, number: int) -> bytes:
    """A TCP segment of a connection of its own, with one message in it."""
    port = 50000 + number % 10000
    tcp = struct.pack("!HHIIBBHHH", port, OFPTCP_PORT, 1, 1, 0x50, 0x18, 8192, 0, 0) + message
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), number & 0xFFFF, 0, 64, 6, 0)
    return bytes(12) + b"\x08\0" + head + bytes((10, 0, number // 10000, 1, 10, 0, 0, 2)) + tcp


def dissect(messages: list[bytes], path: Path) -> list[str]:
    """What tshark says of each message."""
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, LINK_TYPE_ETHERNET))
        for number, message in enumerate(messages):
            data = frame(message, number)
            out.write(struct.pack("<IIII", number, 0, len(data), len(data)) + data)
    protocols = "openflow,openflow_v1,openflow_v4,openflow_v5,openflow_v6"
    command = ["tshark", "-r", str(path), "-V", "-O", protocols]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    texts = re.split(r"(?m)^Frame \d+: .*$", ran.stdout)[1:]
    assert len(texts) == len(messages)
    return texts


def complaints(text: str) -> list[str]:
    """What tshark finds wrong that it is not known to be wrong about."""
    for known in DISSECTOR:
        text = re.sub(known, "", text)
    return [line.strip() for line in text.splitlines() if COMPLAINT.search(line)]


def kind(message: bytes) -> tuple[str, int]:
    """A message's class and version; the class of a bad one is its error."""
    try:
        return type(decode(message, flow_mod_table_id=True).body).__name__, message[0]
    except OfpError as error:
        return error.name, message[0]


def is_broken(body: object) -> bool:
    """Whether an example is an error that no specification has, or about no whole message."""
    return isinstance(body, Error) and (not body.name or len(body.data) < 8)


def our_messages() -> list[tuple[str, bytes]]:
    """A name and the bytes: every example of every class, and a flow mod with each action."""
    found = [
        (f"{type(body).__name__} {version_name(version)} {body}", encode(body, version, 5))
        for body, first, last in EXAMPLES
        for version in VERSIONS
        if first <= version <= last and encodable(body, version) and not is_broken(body)
    ]
    for v in VERSIONS:
        ping = encode(EchoRequest(b"abc"), v, 7)
        found.append((f"Error {version_name(v)}", encode(Error("OFPBRC_BAD_LEN", ping), v, 5)))
    lines = (Path(__file__).parent.parent / "openflow" / "actions.txt").read_text().splitlines()
    for line in lines:
        text = line.partition(" => ")[0].partition(" | ")[0]
        if not text or text.startswith("#"):
            continue
        for match in ("", "tcp,", "ip,", "dl_type=0x894f,", "mpls,"):
            if not match and text.startswith("mod_tp_"):
                continue  # of no protocol, it is sent as an action of 1.1 in each version
            try:
                flow = parse_flow(f"{match}actions={text}")
                found += [(f"{version_name(v)} {text}", encode(flow, v, 5)) for v in VERSIONS]
            except (FlowSyntaxError, OfpError):
                continue
            break
    return found


def test_tshark_finds_nothing_wrong(require: Callable[..., None], tmp_path: Path) -> None:
    require("command:tshark")
    ours = our_messages()
    assert len(ours) > 600
    reals = [message for message in REAL if message[0] in VERSIONS]
    texts = dissect([*reals, *(data for _, data in ours)], tmp_path / "openflow.pcap")
    excused: dict[tuple[str, int], set[str]] = {}
    for message, text in zip(reals, texts, strict=False):
        excused.setdefault(kind(message), set()).update(complaints(text))
    wrong = []
    for (name, data), text in zip(ours, texts[len(reals) :], strict=True):
        assert "OpenFlow" in text, name
        found = set(complaints(text)) - excused.get(kind(data), set())
        if found:
            wrong.append(f"{name}: {found} {data.hex()}"[:400])
    assert not wrong, "\n".join(wrong[:20])
