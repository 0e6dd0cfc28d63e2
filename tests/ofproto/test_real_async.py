"""What two connections hear of each other, beside the real switch: roles, TTLs, requests of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.ofproto.ends import End, OurEnd, RealEnd
from tests.oracle.real import RealSwitch
from vswitch import Switch
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.openflow import actions as of
from vswitch.openflow.constants import OFPP_CONTROLLER, OFPP_TABLE
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import packet as pk
from vswitch.openflow.messages import session as s
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, OFP15

pytestmark = pytest.mark.system

Pair = tuple[End, End]
Script = Callable[[End, End], list[Any]]
LAST_TTL = bytes.fromhex(
    "0200000000020200000000010800450000280001000001117ac0c0a80001c0a80002000100020014000068656c6c6f776f7264313233"
)
"""A UDP datagram with TTL 1."""


def heard(end: End) -> list[Any]:
    """What the connection was sent since it was asked last."""
    return [decode(message).body for message in end.exchange()]


def both(real: RealSwitch, versions: tuple[int, int], script: Script) -> tuple[list[Any], list[Any]]:
    """What `script` says of two connections of these versions, on the real switch and on ours."""
    theirs: list[End] = [RealEnd(f"{real.directory}/br0.mgmt", version) for version in versions]
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        ours: list[End] = [OurEnd(switch, version) for version in versions]
        try:
            return script(*theirs), script(*ours)
        finally:
            for end in theirs:
                end.close()  # type: ignore[attr-defined]


GENERATION = 1
GROUP_MOD = g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 5, (g.Bucket(actions=(of.Output(1),)),))


@pytest.fixture(autouse=True)
def emptied(real: RealSwitch) -> Iterator[None]:
    yield
    real.run("ovs-ofctl", "-O", "OpenFlow13", "del-groups", "br0")
    real.run("ovs-ofctl", "del-flows", "br0")


@pytest.mark.parametrize("version", [OFP12, OFP13, OFP14, OFP15])
def test_a_demoted_connection_hears_of_it_whatever_its_masks_say(real: RealSwitch, version: int) -> None:
    def script(old: End, new: End) -> list[Any]:
        if version >= OFP14:
            old.ask(s.SetAsync(((s.OFPACPT_ROLE_STATUS, 0), (s.OFPACPT_ROLE_STATUS + 1, 0))))
        old.ask(s.RoleRequest(s.ROLE_PRIMARY, GENERATION))
        new.ask(s.RoleRequest(s.ROLE_PRIMARY, GENERATION))
        return heard(old)

    theirs, ours = both(real, (version, version), script)
    assert ours == theirs == ([s.RoleStatus(s.ROLE_SECONDARY, 0, GENERATION)] if version >= OFP13 else [])


@pytest.mark.parametrize("secondary", [False, True])
def test_a_secondary_gets_no_packets_whose_ttl_ran_out(real: RealSwitch, secondary: bool) -> None:
    def script(listener: End, other: End) -> list[Any]:
        listener.ask(s.SetConfig(s.OFPC_INVALID_TTL_TO_CONTROLLER, 128))
        if secondary:
            listener.ask(s.RoleRequest(s.ROLE_SECONDARY, GENERATION))
        other.ask(parse_flow_line("ip,actions=dec_ttl,output:2"))
        metadata = Match()
        metadata.set(by_name("in_port"), OFPP_CONTROLLER)
        other.ask(pk.PacketOut(LAST_TTL, (of.Output(OFPP_TABLE),), metadata))
        return [type(body).__name__ for body in heard(listener)]

    theirs, ours = both(real, (OFP12, OFP12), script)
    assert ours == theirs == ([] if secondary else ["PacketIn"])


@pytest.mark.parametrize("version", [OFP10, OFP11, OFP12, OFP13, OFP14, OFP15])
def test_requests_of_others_are_passed_on_in_every_version(real: RealSwitch, version: int) -> None:
    def script(listener: End, other: End) -> list[Any]:
        masks = s.SetAsync(((s.OFPACPT_REQUESTFORWARD, 3), (s.OFPACPT_REQUESTFORWARD + 1, 3)))
        listener.ask((masks, Form.OPENFLOW if version >= OFP14 else Form.EXTENSION2))
        other.ask(s.SetConfig(0, 128))
        listener.ask(s.SetConfig(0, 128))
        other.ask(GROUP_MOD)
        return [message[:4] + message[8:] for message in listener.exchange()]

    theirs, ours = both(real, (version, OFP13), script)
    assert ours == theirs
    (message,) = ours
    forwarded = decode(message[:4] + bytes(4) + message[4:]).body
    assert isinstance(forwarded, b.RequestForward)


def test_either_vendor_of_a_selection_method_is_taken(real: RealSwitch) -> None:
    group = g.GroupMod(
        g.OFPGC_ADD, g.OFPGT_SELECT, 7, (g.Bucket((of.Output(1),), 1, bucket_id=0),),
        selection=g.SelectionMethod("hash", 0, ()),
    )  # fmt: skip
    message = encode(group, OFP15, 7).replace(bytes.fromhex("0000154d"), bytes.fromhex("00001540"))

    def script(end: End, _: End) -> list[Any]:
        return [*end.ask(message), *end.ask(g.GroupDescRequest(g.OFPG_ALL))]

    theirs, ours = both(real, (OFP15, OFP15), script)
    assert [str(body) for body in ours] == [str(body) for body in theirs]
    (described,) = ours
    assert "'hash'" in str(described)
