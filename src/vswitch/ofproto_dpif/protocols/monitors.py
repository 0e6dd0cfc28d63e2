"""BFD, CFM and LLDP on a bridge's ports: sessions of `vswitch.monitor` joined to ports, packets and clock.

A port with any of them has one `Watch`, which gets its packets. What BFD and CFM find decides whether the
port may be used (`ports.set_monitored`): bonds, watched buckets and OpenFlow's OFPPS_LIVE follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from vswitch.dpif.types import DpifError
from vswitch.monitor.bfd import DEFAULT_SRC_IP, BfdSession, BfdSettings
from vswitch.monitor.cfm import CfmSession, CfmSettings
from vswitch.monitor.lldp import LldpAgent
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ports import ports as port_ops
from vswitch.ofproto_dpif.xlate.types import SLOW_BFD, SLOW_CFM, SLOW_LLDP
from vswitch.packet.numbers import ETH_TYPE_CFM, ETH_TYPE_IP, ETH_TYPE_LLDP
from vswitch.packet.parse import Parser

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.ofproto_dpif.xlate.bridge import XPort

UDP_HEADER: Final = 8
NEVER: Final = 1 << 62


@final
class Watch:
    """What watches one port. `port` is the record it listens at, None while the device is gone."""

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.port: XPort | None = None
        self.bfd: BfdSession | None = None
        self.cfm: CfmSession | None = None
        self.lldp: LldpAgent | None = None
        self.due: bool = True
        """Whether something came in or changed since the last turn."""
        self._parser = Parser()

    def takes_bfd(self, dl_dst: int, nw_dst: int, tun_id: int) -> bool:
        """Whether a BFD packet with these headers is for the port's session."""
        return self.bfd is not None and self.bfd.takes(dl_dst, nw_dst, tun_id)

    def takes_cfm(self, dl_dst: int, tun_id: int) -> bool:
        """Whether a CFM packet with these headers is for the port's maintenance point."""
        return self.cfm is not None and self.cfm.takes(dl_dst, tun_id)

    def looks_at_addresses(self) -> tuple[bool, bool]:
        """Whether BFD's session takes packets by their MAC address, and by their IP address."""
        bfd = self.bfd
        return (False, False) if bfd is None else (
            bfd.settings.remote_dst_mac != 0, bfd.settings.src_ip != DEFAULT_SRC_IP)  # fmt: skip

    def looks_at_tunnel_key(self) -> bool:
        """Whether a session takes packets by their tunnel key."""
        bfd, cfm = self.bfd, self.cfm
        return (bfd is not None and bfd.settings.check_tnl_key) or (
            cfm is not None and cfm.settings.check_tnl_key)  # fmt: skip

    def receive(self, ofp_port: int, packet: bytes, now: int) -> None:
        """Give a packet that came in at the port to its session (`xlate/special.py`)."""
        self.due = True
        parser = self._parser
        parser.parse(packet)
        kind, l3 = int(parser.dl_type), int(parser.l3_ofs)
        if kind == ETH_TYPE_CFM and self.cfm is not None:
            self.cfm.receive(packet[l3:], now)
        elif kind == ETH_TYPE_LLDP and self.lldp is not None:
            self.lldp.receive(int(parser.dl_dst), packet[l3:], now)
        elif kind == ETH_TYPE_IP and self.bfd is not None:
            l4 = int(parser.l4_ofs)
            payload = packet[l4 + UDP_HEADER : int(parser.l3_end)] if l4 >= 0 else b""
            self.bfd.receive(payload, int(parser.nw_ttl), now)

    def alive(self, now: int) -> bool:
        """Whether what watches the port finds it fit for use."""
        if self.bfd is not None and not self.bfd.forwarding(now):
            return False
        return self.cfm is None or (not self.cfm.faults and self.cfm.remote_opup)

    def wakeup(self) -> int:
        """Clock ms of the first timer of the sessions."""
        times = [NEVER]
        if self.bfd is not None:
            times.append(self.bfd.wakeup())
        if self.cfm is not None:
            times.append(self.cfm.wakeup())
        if self.lldp is not None:
            times.append(self.lldp.wakeup())
        return min(times)


@final
class PortMonitors:
    """The sessions of one bridge: a `BridgeProtocol`, there while some port has one."""

    def __init__(self, ofproto: BridgeRole) -> None:
        self._ofproto = ofproto
        self.watches: dict[str, Watch] = {}
        """Port name -> what watches it."""
        self.changes: int = 0
        """Goes up when some session's status is another."""
        self._next: int = 0

    # Configuration.

    def set_bfd(self, name: str, settings: BfdSettings | None) -> None:
        """Run BFD on port `name` as `settings` say; None: not at all. Others may take other packets."""
        watch = self._watch(name, settings is not None)
        if watch is None:
            return
        now = self._ofproto.clock.now()
        if settings is None:
            watch.bfd = None
        elif watch.bfd is None:
            used = {w.bfd.disc for w in self.watches.values() if w.bfd is not None}
            watch.bfd = BfdSession(name, settings, used, now)
        elif settings != watch.bfd.settings:
            watch.bfd.configure(settings, now)
            self._ofproto.backer.need(RevReason.RECONFIGURE)
        self._changed(watch)

    def set_cfm(self, name: str, settings: CfmSettings | None) -> None:
        """Run CFM on port `name` as `settings` say; None: not at all."""
        watch = self._watch(name, settings is not None)
        if watch is None:
            return
        now = self._ofproto.clock.now()
        if settings is None:
            watch.cfm = None
        elif watch.cfm is None:
            watch.cfm = CfmSession(name, settings, now)
        elif settings != watch.cfm.settings:
            watch.cfm.configure(settings, now)
            self._ofproto.backer.need(RevReason.RECONFIGURE)
        self._changed(watch)

    def set_lldp(self, name: str, enabled: bool, system_name: str = "", description: str = "",
                 mappings: dict[int, int] | None = None) -> tuple[set[int], set[int]]:
        """Run LLDP on port `name`; what it says of the bridge, and the VLANs that the port gains and loses by
        it (`LldpAgent.configure`). Not `enabled`: what there is is silent from now on, and can be asked."""
        watch = self._watch(name, enabled)
        if watch is None or (watch.lldp is None and not enabled):
            return set(), set()
        agent = watch.lldp
        if agent is None:
            agent = watch.lldp = LldpAgent(name, self._ofproto.clock.now())
        elif agent.enabled and not enabled:
            self._farewell(watch)
        agent.enabled = enabled
        changes = agent.configure(system_name, description, mappings or {})
        self._changed(watch)
        return changes

    def end_lldp(self, name: str) -> None:
        """Port `name` has no LLDP any more."""
        watch = self.watches.get(name)
        if watch is not None and watch.lldp is not None:
            self._farewell(watch)
            watch.lldp = None
            self._changed(watch)

    def _farewell(self, watch: Watch) -> None:
        if watch.lldp is not None and watch.lldp.enabled and watch.port is not None:
            self._ofproto.send_packet(watch.port, watch.lldp.farewell(_address(watch.port)))

    def _watch(self, name: str, wanted: bool) -> Watch | None:
        watch = self.watches.get(name)
        if watch is None and wanted:
            if not self.watches:
                self._ofproto.add_protocol(self)
            watch = self.watches[name] = Watch(name)
        return watch

    def _changed(self, watch: Watch) -> None:
        """The sessions of `watch` are others: listen for what they take, and forget it if there are none."""
        self.changes += 1
        watch.due = True
        self._next = 0
        self._listen(watch)
        if watch.bfd is None and watch.cfm is None and watch.lldp is None:
            if watch.port is not None:
                port_ops.set_monitored(self._ofproto, watch.port, True)
            del self.watches[watch.name]
            if not self.watches:
                self._ofproto.remove_protocol(self)

    def forget(self, name: str) -> None:
        """Port `name` goes for good."""
        if name in self.watches:
            self.set_bfd(name, None)
        if name in self.watches:
            self.set_cfm(name, None)
        self.end_lldp(name)

    def _listen(self, watch: Watch) -> None:
        """Get the packets of the port, which may be another record than before its device went."""
        port = watch.port = self._ofproto.ports_by_name.get(watch.name)
        if port is None:
            return
        lldp = watch.lldp if watch.lldp is not None and watch.lldp.enabled else None
        sessions = ((SLOW_BFD, watch.bfd), (SLOW_CFM, watch.cfm), (SLOW_LLDP, lldp))
        for reason, session in sessions:
            self._ofproto.listen(port, reason, watch if session is not None else None)

    # Turns.

    def run(self, now: int) -> None:
        """Send what is due, let time pass, and say of each port whether it may be used."""
        if now < self._next and not any(watch.due for watch in self.watches.values()):
            return
        for watch in list(self.watches.values()):
            if self._ofproto.ports_by_name.get(watch.name) is not watch.port:
                self._listen(watch)
            if watch.due or now >= watch.wakeup():
                watch.due = False
                self._turn(watch, now)
        self._next = min((watch.wakeup() for watch in self.watches.values()), default=NEVER)

    def _turn(self, watch: Watch, now: int) -> None:
        port = watch.port
        received = self._received(watch)
        packets: list[bytes | None] = []
        eth_src = _address(port)
        if watch.bfd is not None:
            watch.bfd.run(received, now)
            packet = watch.bfd.packet(eth_src, now)
            if packet is not None and port is not None:
                self._ofproto.send_packet(port, packet, watch.bfd.settings.oam)
            if watch.bfd.changed:
                watch.bfd.changed = False
                self.changes += 1
        if watch.cfm is not None:
            watch.cfm.run(received, now)
            packets.append(watch.cfm.packet(eth_src, now))
            if watch.cfm.changed:
                watch.cfm.changed = False
                self.changes += 1
        if watch.lldp is not None:
            watch.lldp.run(now)
            packets.append(watch.lldp.packet(eth_src, now))
        if port is None:
            return
        for packet in packets:
            if packet is not None:
                self._ofproto.send_packet(port, packet)
        port_ops.set_monitored(self._ofproto, port, watch.alive(now))

    def _received(self, watch: Watch) -> int:
        """What the port's device received in all; 0 where no session asks, or the device is gone."""
        bfd, cfm = watch.bfd, watch.cfm
        asks = (bfd is not None and (bfd.settings.forwarding_if_rx or bfd.settings.decay_min_rx > 0)) or (
            cfm is not None and cfm.settings.demand)  # fmt: skip
        if not asks or watch.port is None:
            return 0
        try:
            return port_ops.port_stats(self._ofproto, watch.port)["rx_packets"]
        except DpifError:
            return 0

    def wakeup(self, now: int) -> int:
        """Clock ms of the next turn."""
        if any(watch.due for watch in self.watches.values()):
            return now
        return self._next


def _address(port: XPort | None) -> int:
    return port.up.mac if port is not None and port.up is not None else 0
