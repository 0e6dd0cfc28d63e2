"""Packets with Geneve options: what they become for the tables, and what the datapath gets for them."""

from __future__ import annotations

from collections.abc import Callable

from tests.ofproto_dpif.lab import Counted, Lab, udp
from tests.ofproto_dpif.test_upcalls import Recorded
from vswitch.dpif.odp_parse import parse_key
from vswitch.dpif.odp_text import format_flow
from vswitch.dpif.ops import Execute, FlowPut, Upcall
from vswitch.dpif.types import UpcallType
from vswitch.flow.extract import extract
from vswitch.ofproto_dpif.upcall.upcall import handle_upcalls
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages.nicira import NXTTMC_ADD, TlvMap, TlvTableMod
from vswitch.packet.parse import Parser

MakeLab = Callable[..., Lab]


def arrival(made: Lab, options: str) -> Upcall:
    """A packet out of a tunnel, with Geneve `options`."""
    port = next(odp for odp, port in made.backer.odp_to_ofport.items() if port.name == "p1")
    inside = f"geneve({options})," if options else ""
    tunnel = f"tunnel(tun_id=0x1,src=1.1.1.1,dst=2.2.2.2,ttl=64,{inside}flags(key))"
    key, _ = parse_key(f"{tunnel},in_port({port})", {})
    extract(udp(), key, Parser())
    return Upcall(UpcallType.MISS, udp(), key)


def prepared(lab: MakeLab) -> tuple[Lab, Recorded]:
    made = lab(2)
    made.bridge.tlv.mod(TlvTableMod(NXTTMC_ADD, (TlvMap(0x100, 0, 4, 0), TlvMap(0x100, 1, 12, 1))))
    made.bridge.flow_mod(parse_flow("tun_metadata1=0x77/0xff,actions=output:2"))
    made.run()
    return made, Recorded(made)


def puts(recorded: Recorded) -> list[str]:
    """The tunnel options in the datapath flows that were put."""
    texts = [
        format_flow(op.key, op.mask) for batch in recorded.batches for op in batch if isinstance(op, FlowPut)
    ]
    return [text.partition("geneve(")[2].partition("),")[0] for text in texts]


def test_the_datapath_flow_has_the_options_as_the_packet_has_them(lab: MakeLab) -> None:
    made, recorded = prepared(lab)
    first = "{class=0x7,type=0x1,len=4,0x9}{class=0x100,type=0x1,len=12,0x112233445566778899aabb77}"
    handle_upcalls(made.backer, [arrival(made, first)], made.clock.now())
    assert puts(recorded) == [
        "{class=0x7,type=0x1,len=4,0x9/0x0}{class=0x100,type=0x1,len=12,0x112233445566778899aabb77/0xff}"
    ]
    assert made.received() == {"p2": 1}


def test_each_order_of_options_gets_a_datapath_flow_and_keeps_it(lab: MakeLab) -> None:
    made, recorded = prepared(lab)
    one = "{class=0x100,type=0,len=4,0x5}{class=0x100,type=0x1,len=12,0x77}"
    other = "{class=0x100,type=0x1,len=12,0x77}{class=0x100,type=0,len=4,0x5}"
    for options in (one, other, one, other):
        handle_upcalls(made.backer, [arrival(made, options)], made.clock.now())
    masked = [
        "{class=0x100,type=0,len=4,0x5/0x0}{class=0x100,type=0x1,len=12,0x77/0xff}",
        "{class=0x100,type=0x1,len=12,0x77/0xff}{class=0x100,type=0,len=4,0x5/0x0}",
    ]
    assert puts(recorded) == masked
    made.bridge.flow_mod(parse_flow("priority=65535,tun_metadata1=0x77/0xff,actions=drop"))
    made.run()
    assert sorted(puts(recorded)[2:]) == sorted(masked)
    assert len(made.dp_flows()) == 2


def test_packets_whose_options_are_bad_are_counted_and_dropped(lab: MakeLab) -> None:
    made, recorded = prepared(lab)
    happened = Counted("drop_upcall_bad_tunnel_options")
    for options in ("{class=0x100,type=0x1,len=4,0x77}", "{class=0x9,type=0x80,len=4,0x77}"):
        handle_upcalls(made.backer, [arrival(made, options)], made.clock.now())
    assert happened["drop_upcall_bad_tunnel_options"] == 2
    assert recorded.batches == []


def test_what_is_known_of_packets_is_forgotten_when_options_move(lab: MakeLab) -> None:
    made, recorded = prepared(lab)
    handle_upcalls(made.backer, [arrival(made, "{class=0x100,type=0x1,len=12,0x77}")], made.clock.now())
    assert len(made.dp_flows()) == 1
    made.bridge.tlv.mod(TlvTableMod(NXTTMC_ADD, (TlvMap(0x7, 1, 4, 2),)))
    made.bridge.options_reconfigured()
    made.run()
    assert made.dp_flows() == []
    assert sum(isinstance(op, Execute) for batch in recorded.batches for op in batch) == 1
