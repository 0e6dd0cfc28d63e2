"""CPU of one miss: from the kernel's message to the batch of requests that answers it.

Messages of family ovs_packet, as the kernel makes them, go through the parser of a channel,
translation, facet and subfacet, and into one Netlink batch for every 50. Only the two system
calls of a batch are left out: there is no kernel datapath to answer on this machine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench.report import Row
from vswitch import Switch
from vswitch.daemon.collector import spare_the_living
from vswitch.dpif.kernel.packet import UpcallParser
from vswitch.dpif.kernel.requests import Requests
from vswitch.dpif.odp_key import KEY_CT_IF_SET, encode_key
from vswitch.dpif.ops import Op, Upcall
from vswitch.dpif.provider import MAX_OPS
from vswitch.flow.compose import flow_compose
from vswitch.flow.match_text import parse_exact_flow
from vswitch.netlink.attrs import Builder
from vswitch.netlink.message import Batch
from vswitch.ofproto_dpif.upcall.upcall import handle_upcalls

BATCH = 50
MISSES = 10_000
FAMILY, DP_IFINDEX = 31, 7
OVS_PACKET_CMD_MISS, OVS_PACKET_ATTR_PACKET, OVS_PACKET_ATTR_KEY = 1, 1, 2
TABLES = {
    "one flow, output": "priority=1,tcp,actions=move:NXM_OF_TCP_SRC[]->NXM_NX_REG0[0..15],output:p2",
    "NORMAL": "priority=1,tcp,actions=move:NXM_OF_TCP_SRC[]->NXM_NX_REG0[0..15],NORMAL",
    "three tables, a register and a VLAN": (
        "table=0,priority=5,tcp,actions=move:NXM_OF_TCP_SRC[]->NXM_NX_REG0[0..15],resubmit(,1)\n"
        "table=1,priority=9,reg0=0/0,tcp,tp_dst=80,actions=load:7->NXM_NX_REG1[],resubmit(,2)\n"
        "table=2,reg1=7,actions=mod_vlan_vid:10,output:p2\n"
    ),
}


class BatchOnly:
    """Stands before the switch's datapath and composes each batch as the kernel provider does."""

    def __init__(self, dpif: Any) -> None:
        self._dpif = dpif
        self._requests = Requests(30, FAMILY, DP_IFINDEX, MAX_OPS)
        self.bytes = 0

    def operate(self, ops: Sequence[Op]) -> None:
        """Compose `ops` as batches, and forget them."""
        at = 0
        while at < len(ops):
            batch = Batch(1)
            at = self._requests.fill(batch, ops, at, [])
            self.bytes += len(batch.builder.getvalue())

    answer = operate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dpif, name)


def messages(odp_port: int, count: int) -> list[bytes]:
    """`count` upcalls of TCP packets that differ in their source port and address."""
    made: list[bytes] = []
    for n in range(count):
        flow = parse_exact_flow(
            "tcp,eth_src=02:00:00:00:00:01,eth_dst=02:00:00:00:00:02,nw_ttl=64,nw_dst=10.0.0.2,tp_dst=80,"
            f"nw_src=10.0.{n >> 14}.1,tp_src={1024 + (n & 0x3FFF)}"
        )
        flow.in_port = odp_port
        builder = Builder()
        start = builder.begin_message(FAMILY, 0, 0, 0)
        builder.genl_header(OVS_PACKET_CMD_MISS, 1)
        builder.append_u32(DP_IFINDEX)
        builder.raw(OVS_PACKET_ATTR_PACKET, flow_compose(flow, bytes(10)))
        builder.raw(OVS_PACKET_ATTR_KEY, encode_key(flow, KEY_CT_IF_SET))
        builder.end_message(start)
        made.append(builder.getvalue())
    return made


def microseconds(flows: str) -> tuple[float, float]:
    """(CPU us a miss, bytes of batch a miss) with the flow table `flows`; the best of three runs."""
    best = float("inf")
    size = 0.0
    for _ in range(3):
        with Switch("br0", ports=["p1", "p2"], flows=flows) as switch:
            backer = switch.ofproto.backer
            odp_port = switch.ofproto.ports_by_name["p1"].odp_port
            recorded = messages(odp_port, MISSES)
            backer.flow_eviction_threshold = 10 * MISSES
            composer = BatchOnly(backer.dpif)
            backer.dpif = composer  # type: ignore[assignment]
            parser = UpcallParser(FAMILY, DP_IFINDEX)
            now = switch.clock.now()
            begin = time.process_time_ns()
            for at in range(0, MISSES, BATCH):
                upcalls: list[Upcall] = []
                for message in recorded[at : at + BATCH]:
                    upcall = parser.parse(message)
                    if upcall is not None:
                        upcalls.append(upcall)
                handle_upcalls(backer, upcalls, now)
            best = min(best, (time.process_time_ns() - begin) / 1000 / MISSES)
            if len(backer.subfacets) != MISSES:
                raise RuntimeError(f"{len(backer.subfacets)} datapath flows for {MISSES} misses")
            size = composer.bytes / MISSES
            if not size:
                raise RuntimeError("no batch was composed")
            backer.dpif = composer._dpif
    return best, size


def bench() -> list[Row]:
    """CPU microseconds a miss for each table; the goal is an absolute one."""
    spare_the_living()  # As the daemon does.
    rows: list[Row] = []
    for name, flows in TABLES.items():
        cpu, size = microseconds(flows)
        rows.append(
            Row(
                f"a miss: {name}",
                "us CPU",
                cpu,
                better="lower",
                goal="< 15",
                note=f"{size:.0f} bytes of requests each",
            )
        )
    return rows
