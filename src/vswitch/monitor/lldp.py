"""LLDP on one interface (IEEE 802.1AB-2016, clause 9), and the client's half of Auto Attach.

The agent sends its own data unit every 5 s, as Open vSwitch does, and remembers each neighbour (chassis and
port) for the time to live that it asks for. The bridge's mappings of services to VLANs go out with it; a
neighbour that is an Auto Attach server answers each with a status.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.monitor.lldp_packet import (
    AA_CLIENT_VIRTUAL_SWITCH,
    CAP_BRIDGE,
    LLDP_ADDRESS,
    Element,
    Lldpdu,
    Mapping,
    frame,
)
from vswitch.packet.headers import PacketError, format_mac, mac_bytes

log = Vlog("lldp")

lldp_sent = coverage.counter("lldp_sent")
lldp_received = coverage.counter("lldp_received")
lldp_discarded = coverage.counter("lldp_discarded")

TX_INTERVAL: Final = 5000
"""ms between data units."""
TTL: Final = 120
"""Seconds for which a neighbour is to remember us."""
MAX_NEIGHBOURS: Final = 32
"""Neighbours of one interface that are remembered; what comes beyond is counted (`drop cnt`)."""
TTL_SHUTDOWN: Final = 0
"""A neighbour that leaves says this."""

NEVER: Final = 1 << 62

STATUS_TEXT: Final = {
    2: "Active",
    3: "Reject (Generic)",
    4: "Reject (AA resources unavailable)",
    6: "Reject (Invalid)",
}
"""What the server said of a mapping; "Pending" until it said anything."""

_limit = RateLimit(60, 20)


@final
class Neighbour:
    """Who was heard on the interface, and until when (clock ms) that holds."""

    def __init__(self, unit: Lldpdu, expires: int) -> None:
        self.unit: Lldpdu = unit
        self.expires: int = expires


@final
class LldpAgent:
    """LLDP on interface `name`. `system_name` and `description` are what we say of ourselves; `mappings` is
    {isid: VLAN}, whatever the bridge's AutoAttach row says now. While it is not `enabled` it is silent, and
    can still be asked."""

    def __init__(self, name: str, now: int) -> None:
        self.name: str = name
        self.enabled: bool = True
        self.system_name: str = ""
        self.description: str = ""
        self.mappings: dict[int, int] = {}
        self.statuses: dict[int, int] = {}
        """isid -> the server's last word."""
        self.neighbours: dict[tuple[int, bytes, int, bytes], Neighbour] = {}
        self.tx: int = 0
        self.rx: int = 0
        self.discarded: int = 0
        self.unrecognized: int = 0
        self.ageouts: int = 0
        self.inserts: int = 0
        self.deletes: int = 0
        self.drops: int = 0
        self._next_tx: int = now

    def configure(
        self, system_name: str, description: str, mappings: dict[int, int]
    ) -> tuple[set[int], set[int]]:
        """What the database says from now on. Mappings that are new are pending. The VLANs that the port is
        to carry for them, and those that it need not carry any more."""
        before, after = set(self.mappings.values()), set(mappings.values())
        self.system_name = system_name
        self.description = description
        self.statuses = {i: s for i, s in self.statuses.items() if self.mappings.get(i) == mappings.get(i)}
        self.mappings = dict(mappings)
        return after - before, before - after

    # Packets.

    def receive(self, dl_dst: int, payload: bytes, now: int) -> None:
        """Process what is behind the Ethernet header of an LLDP packet that was sent to `dl_dst`."""
        self.rx += 1
        lldp_received.inc()
        try:
            if dl_dst != LLDP_ADDRESS:
                raise PacketError(f"sent to {format_mac(dl_dst)}")
            unit = Lldpdu.unpack(payload)
        except PacketError as e:
            self.discarded += 1
            lldp_discarded.inc()
            log.warn_rl(_limit, now, "%s: discarded LLDP packet: %s", self.name, e)
            return
        self.unrecognized += unit.unrecognized
        key = (unit.chassis_subtype, unit.chassis_id, unit.port_subtype, unit.port_id)
        if unit.ttl == TTL_SHUTDOWN:
            if self.neighbours.pop(key, None) is not None:
                self.deletes += 1
            return
        if key not in self.neighbours:
            if len(self.neighbours) >= MAX_NEIGHBOURS:
                self.drops += 1
                return
            self.inserts += 1
        self.neighbours[key] = Neighbour(unit, now + unit.ttl * 1000)
        if unit.element is not None:
            for mapping in unit.mappings:
                if self.mappings.get(mapping.isid) == mapping.vlan:
                    self.statuses[mapping.isid] = mapping.status

    def packet(self, eth_src: int, now: int) -> bytes | None:
        """The frame that is due at `now`, None if none is. `eth_src` is the interface's own address."""
        if now < self._next_tx or not self.enabled:
            return None
        self._next_tx = now + TX_INTERVAL
        self.tx += 1
        lldp_sent.inc()
        return frame(self._unit(eth_src, TTL), eth_src)

    def farewell(self, eth_src: int) -> bytes:
        """The frame that tells neighbours that the agent ends (clause 9.2.7.5)."""
        return frame(self._unit(eth_src, TTL_SHUTDOWN), eth_src)

    def _unit(self, eth_src: int, ttl: int) -> Lldpdu:
        return Lldpdu(
            mac_bytes(eth_src), self.name.encode(), ttl, system_name=self.system_name,
            system_description=self.description, capabilities=CAP_BRIDGE, enabled=CAP_BRIDGE,
            element=Element(AA_CLIENT_VIRTUAL_SWITCH, eth_src),
            mappings=tuple(Mapping(isid, vlan) for isid, vlan in self.mappings.items()),
        )  # fmt: skip

    # Time.

    def run(self, now: int) -> None:
        """Let time pass: neighbours whose time is over are forgotten."""
        for key in [key for key, n in self.neighbours.items() if now >= n.expires]:
            del self.neighbours[key]
            self.ageouts += 1

    def wakeup(self) -> int:
        """Clock ms at which `run` or `packet` has something to do."""
        times = [n.expires for n in self.neighbours.values()]
        return min([*times, self._next_tx]) if self.enabled else min(times, default=NEVER)

    # Answers.

    def show_status(self) -> str:
        """`autoattach/status`'s lines for the interface."""
        lines = [f"LLDP: {self.name}"]
        for neighbour in self.neighbours.values():
            unit, element = neighbour.unit, neighbour.unit.element
            if element is None:
                continue
            mac = mac_bytes(element.system_mac)
            links = element.links
            system_id = mac + bytes(2) + links[1::-1] + links[2:]
            lines += [
                f"  Auto Attach Primary Server Id: {unit.chassis_id.hex(':')}",
                f"  Auto Attach Primary Server Descr: {unit.system_description}",
                f"  Auto Attach Primary Server System Id: {system_id.hex(':')}",
            ]
        return "\n".join(lines) + "\n"

    def show_isid(self) -> str:
        """`autoattach/show-isid`'s lines for the interface."""
        lines = [
            f"LLDP: {self.name}",
            "I-SID    VLAN Source      Status  ",
            "-------- ---- ----------- --------",
        ]
        for isid, vlan in self.mappings.items():
            status = self.statuses.get(isid)
            text = "Pending" if status is None else STATUS_TEXT.get(status, "Undefined")
            lines.append(f"{isid:<8} {vlan:<4} {'Switch':<11} {text:<11}")
        return "\n".join(lines) + "\n"

    def show_statistics(self) -> str:
        """`autoattach/statistics`'s lines for the interface."""
        rows = (
            ("tx", self.tx), ("rx", self.rx), ("rx discarded", self.discarded),
            ("rx unrecognized", self.unrecognized), ("ageout", self.ageouts), ("insert", self.inserts),
            ("delete", self.deletes), ("drop", self.drops),
        )  # fmt: skip
        return f"Statistics: {self.name}\n" + "".join(f"  {name} cnt: {n}\n" for name, n in rows)
