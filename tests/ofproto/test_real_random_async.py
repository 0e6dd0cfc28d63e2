"""Three connections of random versions ask for roles, masks and formats, and do what others hear of: each
hears the same as from the real switch. VSWITCH_TEST_ALL=1 tries 150 such stories."""

from __future__ import annotations

import random
import re
import time
from typing import Any, Final

import pytest

from tests.ofproto.ends import End, OurEnd, RealEnd, told
from tests.oracle.real import RealSwitch
from tests.oracle.setup import Bridge, Port, Setup
from tests.whole import ALL, seeds
from vswitch import Switch
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowModCommand
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.group_text import parse_group, parse_meter
from vswitch.openflow.messages import nicira as nx
from vswitch.openflow.messages import packet as pk
from vswitch.openflow.messages import port as p
from vswitch.openflow.messages import session as s
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.messages_base import Form, NotInVersion
from vswitch.openflow.wire.version import VERSIONS

pytestmark = pytest.mark.system

N_STORIES: Final = 150 if ALL else 12
N_STEPS: Final = 25
SETTLES: Final = 0.02
"""Seconds in which the real switch tells what it tells of itself."""
OWN: Final = re.compile(r"aa55aa55[0-9a-f]{4}")
"""A dummy's address, in the bytes of a refused request."""
PACKETS: Final = tuple(
    bytes.fromhex(f"02000000000202000000000108004500002800010000{ttl}11{checksum}c0a80001c0a80002"
                  "000100020014000068656c6c6f776f7264313233")
    for ttl, checksum in (("01", "7ac0"), ("09", "72c0"))
)  # fmt: skip
MASKS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 0x3F, 0x7F, 0xFF, 0x1FF, 0xFFFFFFFF)
GENERATIONS: Final = (None, 0, 1, 2, 3, 1 << 63, (1 << 64) - 1)
ACTIONS: Final = (
    "controller", "controller(id=1)", "controller(id=2,max_len=20)", "controller(reason=no_match)", "table",
    "controller(reason=invalid_ttl)", "dec_ttl,output:2", "dec_ttl(0,1,2),output:2",
    "controller(userdata=01.02)", "controller(reason=action_set)",
)  # fmt: skip
FLOWS: Final = (
    "priority=5,udp,actions=controller", "udp,send_flow_rem,actions=drop", "udp,actions=dec_ttl,output:2",
    "send_flow_rem,actions=controller(id=1)", "table=1,send_flow_rem,actions=output:2",
)  # fmt: skip
GROUPS: Final = ("group_id=1,type=all,bucket=output:1", "group_id=2,type=indirect,bucket=output:1")


def _packet_out(r: random.Random) -> pk.PacketOut:
    metadata = Match()
    metadata.set(by_name("in_port"), r.choice((1, 2, 0xFFFFFFFD)))
    return pk.PacketOut(r.choice(PACKETS), parse_actions(r.choice(ACTIONS)), metadata)


def _masks(r: random.Random) -> s.SetAsync:
    kinds = sorted(r.sample(range(12), r.randint(1, 8)))
    return s.SetAsync(tuple((kind, r.choice((*MASKS, r.getrandbits(7)))) for kind in kinds))


def step(r: random.Random) -> tuple[Any, Form]:
    """A request; None is a port mod, which needs the port's address."""
    kind = r.choices(
        ("role", "masks", "ask masks", "config", "ask config", "id", "format", "packet-out", "flow",
         "deletion", "group", "meter", "port"),
        (18, 22, 6, 8, 3, 3, 3, 17, 6, 5, 4, 2, 3),
    )[0]  # fmt: skip
    form = r.choice((Form.OPENFLOW, Form.EXTENSION, Form.EXTENSION2))
    match kind:
        case "role":
            role = r.choice((s.ROLE_NOCHANGE, s.ROLE_EQUAL, s.ROLE_PRIMARY, s.ROLE_SECONDARY))
            return s.RoleRequest(role, r.choice(GENERATIONS)), r.choice((Form.OPENFLOW, Form.EXTENSION))
        case "masks":
            return _masks(r), form
        case "ask masks":
            return s.GetAsyncRequest(), Form.OPENFLOW
        case "config":
            return s.SetConfig(r.randrange(8), r.choice((0, 64, 128, 0xFFFF))), Form.OPENFLOW
        case "ask config":
            return s.GetConfigRequest(), Form.OPENFLOW
        case "id":
            return nx.SetControllerId(r.randrange(3)), Form.OPENFLOW
        case "format":
            return nx.SetPacketInFormat(r.randrange(3)), Form.OPENFLOW
        case "packet-out":
            return _packet_out(r), Form.OPENFLOW
        case "flow":
            return parse_flow_line(r.choice(FLOWS)), Form.OPENFLOW
        case "deletion":
            return parse_flow_line(r.choice(("udp", "", "table=1")), FlowModCommand.DELETE), Form.OPENFLOW
        case "group":
            return parse_group(r.choice(GROUPS)), Form.OPENFLOW
        case "meter":
            return parse_meter(f"meter={r.choice((1, 2))},kbps,bands=type=drop,rate=1000"), Form.OPENFLOW
    return None, Form.OPENFLOW


def heard(ends: list[Any], who: int, message: bytes, settles: float) -> list[list[str]]:
    """What each end hears when one of them sends `message`."""
    first = ends[who].exchange(message)
    time.sleep(settles)
    found = []
    for end in ends:
        messages = [*(first if end is ends[who] else ()), *end.exchange()]
        found.append([OWN.sub("(address)", text) for text in told(decode(data).body for data in messages)])
    return found


def story(real: RealSwitch, seed: int) -> str:
    """The first difference that a random story meets, "" if none."""
    r = random.Random(seed)
    versions = [r.choice(VERSIONS) for _ in range(3)]
    real.bridges = ["br0"]  # what there is goes
    real.configure(Setup("async", [Bridge("br0", ports=[Port(f"p{n}") for n in (1, 2, 3)])]))
    theirs: list[Any] = [RealEnd(f"{real.directory}/br0.mgmt", version) for version in versions]
    done: list[str] = []
    try:
        with Switch(ports=["p1", "p2", "p3"]) as switch:
            ours: list[Any] = [OurEnd(switch, version) for version in versions]
            for _ in range(N_STEPS):
                who = r.randrange(3)
                body, form = step(r)
                bodies = [body, body]
                if body is None:
                    config = r.randrange(2)
                    bodies = [_port_mod(ends[who], config) for ends in (theirs, ours)]
                try:
                    messages = [encode(each, versions[who], 7, form) for each in bodies]
                except (OfpError, NotInVersion, ValueError):
                    continue
                done.append(f"{who} ({versions[who]}): {form.name} {bodies[0]}")
                real_hears = heard(theirs, who, messages[0], SETTLES)
                ours_hear = heard(ours, who, messages[1], 0)
                if real_hears != ours_hear:
                    return "\n".join((f"seed {seed}", *done, f"real: {real_hears}", f"ours: {ours_hear}"))
    finally:
        for end in theirs:
            end.close()
    return ""


def _port_mod(end: End, config: int) -> p.PortMod:
    return p.PortMod(3, end.mac(3), config, 1)


@pytest.mark.parametrize("seed", seeds(0, N_STORIES))
def test_connections_hear_of_each_other_as_from_the_real_switch(real: RealSwitch, seed: int) -> None:
    found = story(real, seed)
    assert not found, found
