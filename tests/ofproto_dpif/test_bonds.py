"""Bonds in a bridge: where packets leave, what a failed link does to them, and how load is spread."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from vswitch import Switch
from vswitch.l2.bond import BondSettings
from vswitch.l2.lacp import Lacp
from vswitch.l2.lacpdu import frame
from vswitch.ofproto_dpif.ports.configure import BundleSettings
from vswitch.ofproto_dpif.protocols.bonds import ETH_TYPE_RARP
from vswitch.ofproto_dpif.settings import LacpSettings
from vswitch.packet.numbers import ETH_TYPE_LACP

LACP = LacpSettings(True, True, 0x020000000001, 0xFFFE, False)
BALANCED = [(BondSettings(mode="balance-tcp", lb_output=lb_output), LACP) for lb_output in (False, True)]
"""Packets that are looked up again once they are hashed, and such as the datapath sends at once."""


def ethertype(packet: bytes) -> int:
    return int.from_bytes(packet[12:14], "big")


def udp(source: int, port: int, size: int = 100) -> bytes:
    return bytes(
        Ether(src=f"02:00:00:00:01:{source:02x}", dst="02:00:00:00:02:01")
        / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=port, dport=9) / bytes(size)
    )  # fmt: skip


class Bonded:
    """A switch with the port `p` and a bond of m1 and m2, whose neighbour speaks LACP where it is `heard`."""

    def __init__(self, bond: BondSettings, lacp: LacpSettings | None = None) -> None:
        self.switch = Switch(ports=("p", "m1", "m2"), flows="actions=NORMAL")
        bridge = self.switch.ofproto
        for name in ("m1", "m2"):
            bridge.bundle_set(name, None)
        bridge.bundle_set("bond", BundleSettings("bond", ("m1", "m2"), bond=bond, lacp=lacp))
        self.partner = Lacp("partner")
        self.partner.configure(True, True, 0x0200000000FF, 0xFFFF, False)
        for n in (1, 2):
            self.partner.set_carrier(self.partner.set_member(f"m{n}", n, 1, 1, 0), True, 0)
        self.heard = {"m1", "m2"}
        self.seen: dict[str, list[bytes]] = {"m1": [], "m2": []}

    def advance(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.switch.advance(0.25)
            self.collect()
            now = self.switch.clock.now()
            self.partner.run(now)
            for name, pdu in self.partner.take_sent():
                if name in self.heard:
                    self.switch.send(name, frame(pdu, 0x0200000000FF))
            self.collect()

    def collect(self) -> None:
        for name, seen in self.seen.items():
            for packet in self.switch.received(name):
                if ethertype(packet) != ETH_TYPE_LACP:
                    seen.append(packet)
                elif name in self.heard:
                    self.partner.received(self.partner.members[name], packet, self.switch.clock.now())

    def take(self) -> dict[str, list[bytes]]:
        """What has left since the last call, LACP aside."""
        self.collect()
        taken = {name: list(seen) for name, seen in self.seen.items()}
        for seen in self.seen.values():
            seen.clear()
        return taken


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Iterator[Bonded]:
    bonded = Bonded(*request.param)
    yield bonded
    bonded.switch.close()


@pytest.mark.parametrize("made", BALANCED, indirect=True)
def test_balance_tcp_spreads_connections_and_never_splits_one(made: Bonded) -> None:
    made.advance(3)
    for _ in range(3):
        for port in range(64):
            made.switch.send("p", udp(1, 1000 + port))
    sent = made.take()
    assert sum(map(len, sent.values())) == 3 * 64
    ports = {name: {p[34:36] for p in packets} for name, packets in sent.items()}
    assert not ports["m1"] & ports["m2"]
    assert min(len(ports["m1"]), len(ports["m2"])) > 16
    flows = made.switch.dump_dp_flows()
    bonds = made.switch.ofproto.bonds
    assert bonds is not None
    bond = bonds.bundles["bond"].bond
    assert bond is not None
    assert ("hash(l4(0)),recirc(0x" in flows) == ("dp_hash(0x" in flows) == (not bond.settings.lb_output)
    assert (f"lb_output({bond.recirc_id})" in flows) == bond.settings.lb_output


@pytest.mark.parametrize("made", BALANCED, indirect=True)
def test_a_partner_that_falls_silent_loses_its_connections_to_the_other_link(made: Bonded) -> None:
    made.advance(3)
    made.heard = {"m1"}
    made.advance(5)
    made.take()
    for port in range(32):
        made.switch.send("p", udp(1, 1000 + port))
    sent = made.take()
    assert (len(sent["m1"]), len(sent["m2"])) == (32, 0)
    made.heard = {"m1", "m2"}
    made.advance(4)
    made.take()
    for port in range(32):
        made.switch.send("p", udp(1, 1000 + port))
    assert all(made.take().values())


@pytest.mark.parametrize("made", BALANCED, indirect=True)
def test_a_link_that_goes_down_loses_no_packet_afterwards(made: Bonded) -> None:
    made.advance(3)
    for port in range(32):
        made.switch.send("p", udp(1, 1000 + port))
    made.take()
    made.switch.set_port("m1", carrier=False)
    made.switch.advance(0.01)
    for port in range(32):
        made.switch.send("p", udp(1, 1000 + port))
    assert len(made.take()["m2"]) == 32


@pytest.mark.parametrize("made", BALANCED, indirect=True)
def test_the_load_of_connections_moves_until_it_is_even(made: Bonded) -> None:
    made.advance(3)
    ports = [1000 + port for port in range(64)]
    for port in ports:
        made.switch.send("p", udp(1, port, 10))
    heavy = [p[34:36] for p in made.take()["m1"]]
    for _ in range(4):
        for port in ports:
            if port.to_bytes(2, "big") in heavy:
                for _ in range(20):
                    made.switch.send("p", udp(1, port, 1400))
        made.take()
        made.advance(11)
    for port in ports:
        made.switch.send("p", udp(1, port, 10))
    moved = [p for p in made.take()["m2"] if p[34:36] in heavy]
    assert len(heavy) / 4 < len(moved) < len(heavy) * 3 / 4
    assert "kB load" in made.switch.command("bond/show", "bond")


@pytest.mark.parametrize("made", [BALANCED[1]], indirect=True)
def test_a_bond_in_the_datapath_is_shown_and_goes_with_the_setting(made: Bonded) -> None:
    made.advance(3)
    shown = made.switch.command("dpif-netdev/bond-show")
    buckets = re.findall(r"^    bucket (\d+) - member (\d+)$", shown, re.MULTILINE)
    assert shown.startswith("Bonds:\n  bond-id 1:\n    bucket 0 - member ")
    assert [int(n) for n, _ in buckets] == list(range(256))
    ports = made.switch.ofproto.ports_by_name
    numbers = {str(ports[name].odp_port) for name in ("m1", "m2")}
    assert {member for _, member in buckets} == numbers
    assert "lb_output action: enabled, bond-id: 1\n" in made.switch.command("bond/show", "bond")
    made.switch.set_port("m1", carrier=False)
    made.switch.advance(0.01)
    after = made.switch.command("dpif-netdev/bond-show")
    assert set(re.findall(r"member (\d+)", after)) == {str(ports["m2"].odp_port)}
    made.switch.set_port("m1", carrier=True)
    plain = BundleSettings("bond", ("m1", "m2"), bond=BondSettings(mode="balance-tcp"), lacp=LACP)
    made.switch.ofproto.bundle_set("bond", plain)
    made.advance(1)
    assert made.switch.command("dpif-netdev/bond-show") == ""
    text = made.switch.command("bond/show", "bond")
    assert "lb_output action: disabled, bond-id: -1\n" in text
    assert "bond may use recirculation: yes, Recirc-ID : 1\n" in text


@pytest.mark.parametrize("made", [(BondSettings(mode="balance-tcp"), None)], indirect=True)
def test_balance_tcp_needs_lacp(made: Bonded) -> None:
    made.advance(1)
    made.switch.send("p", udp(1, 1))
    assert made.take() == {"m1": [], "m2": []}


def test_fallback_is_active_backup() -> None:
    settings = LacpSettings(True, True, 1, 1, True)
    made = Bonded(BondSettings(mode="balance-tcp", lacp_fallback_ab=True), settings)
    made.heard = set()
    made.advance(8)
    made.take()
    for port in range(16):
        made.switch.send("p", udp(1, port))
    assert sorted(map(len, made.take().values())) == [0, 16]
    made.switch.close()


@pytest.mark.parametrize("made", [(BondSettings(mode="balance-slb"), None)], indirect=True)
def test_balance_slb_spreads_sources_and_moves_load(made: Bonded) -> None:
    made.advance(1)
    bond = made.switch.ofproto.bundles["bond"].bond
    assert bond is not None
    made.switch.send("p", *(udp(source, 1) for source in range(32)))
    where = {p[6:12]: name for name, packets in made.take().items() for p in packets}
    assert sorted(set(where.values())) == ["m1", "m2"]
    # All of it on one link...
    for value in range(256):
        bond.migrate(value, bond.members["m1"])
    made.advance(1)
    for source in range(32):
        made.switch.send("p", *[udp(source, 1, 1400)] * 20)
    assert len(made.take()["m2"]) == 0
    # ...until the bond evens it out.
    made.advance(11)
    made.switch.send("p", *(udp(source, 1) for source in range(32)))
    after = {name: len(packets) for name, packets in made.take().items()}
    assert abs(after["m1"] - after["m2"]) <= 4
    assert "kB load" in made.switch.command("bond/show", "bond")


@pytest.mark.parametrize("made", [(BondSettings(mode="balance-slb"), None)], indirect=True)
def test_what_comes_back_over_the_other_link_is_dropped(made: Bonded) -> None:
    made.advance(1)
    packet = udp(1, 1)
    made.switch.send("p", packet)
    sent = made.take()
    came_back = "m2" if sent["m1"] else "m1"
    made.switch.send(came_back, packet)
    assert made.switch.received("p") == []
    assert made.take() == {"m1": [], "m2": []}


@pytest.mark.parametrize("made", [(BondSettings(primary="m1"), None)], indirect=True)
def test_a_backup_takes_over_and_tells_where_addresses_are(made: Bonded) -> None:
    made.advance(1)
    made.switch.send("p", udp(7, 1))
    assert len(made.take()["m1"]) == 1
    made.switch.set_port("m1", carrier=False)
    made.advance(0.25)
    told = [p for p in made.take()["m2"] if ethertype(p) == ETH_TYPE_RARP]
    assert [p[6:12].hex() for p in told] == ["020000000107"]
    made.switch.send("p", udp(7, 1))
    assert len(made.take()["m2"]) == 1
    made.switch.send("m1", udp(9, 1))
    assert made.switch.received("p") == []


@pytest.mark.parametrize("made", [(BondSettings(downdelay=2000), None)], indirect=True)
def test_downdelay_is_waited_for(made: Bonded) -> None:
    made.advance(1)
    made.switch.set_port("m1", carrier=False)
    made.advance(1)
    assert "member m1: enabled" in made.switch.command("bond/show", "bond")
    assert "downdelay expires in" in made.switch.command("bond/show", "bond")
    made.advance(1.5)
    assert "member m1: disabled" in made.switch.command("bond/show", "bond")


@pytest.mark.parametrize("made", [(BondSettings(miimon_interval=500), None)], indirect=True)
def test_miimon_looks_at_links_at_its_interval(made: Bonded) -> None:
    made.advance(1)
    made.switch.set_port("m1", carrier=False)
    made.advance(1)
    assert "member m1: disabled" in made.switch.command("bond/show", "bond")


def test_a_bond_that_is_no_more_leaves_nothing_behind() -> None:
    made = Bonded(BondSettings(mode="balance-tcp"), LACP)
    made.advance(3)
    bridge = made.switch.ofproto
    assert bridge.protocols
    n_rules = len(list(bridge.tables[254].cls))
    bridge.bundle_set("bond", None)
    assert bridge.protocols == []
    assert n_rules - len(list(bridge.tables[254].cls)) == 256
    made.switch.advance(1)
    assert len(bridge.backer.dp.recirc_ids) == 0
    made.switch.close()
