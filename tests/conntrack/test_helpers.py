"""FTP and TFTP through NAT: addresses inside the control connection change, sequence numbers with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.conntrack.pair import OurTracker
from vswitch.dpif.userspace.conntrack import ftp

FLOWS = """\
table=0,in_port=1,tcp,tp_dst=21,actions=ct(commit,alg=ftp,table=1,nat({nat}))
table=0,in_port=1,udp,tp_dst=69,actions=ct(commit,alg=tftp,table=1,nat({nat}))
table=0,priority=1,ip,actions=ct(nat,table=1)
table=1,ct_state=+rel+new,ip,actions=ct(commit,nat,table=2)
table=1,priority=0,actions=resubmit(,2)
table=2,in_port=1,actions=2
table=2,in_port=2,actions=1
"""
CLIENT, OUTSIDE, SERVER, SERVICE = "10.0.0.1", "192.168.100.240", "10.0.0.2", "10.0.0.100"


class Ends:
    """A client and a server that see only what comes out on their side."""

    def __init__(self, tracker: OurTracker, nat: str) -> None:
        self.tracker = tracker
        tracker.flows(FLOWS.format(nat=nat))

    def send(self, port: int, packet: IP) -> IP | None:
        """What comes out on the other side; its checksums are right."""
        out = self.tracker.send(port, bytes(Ether() / packet))
        if not out:
            return None
        got = Ether(out[0][1])[IP]
        again = IP(bytes(got))
        del again.chksum, again.payload.chksum
        assert bytes(IP(bytes(again))) == bytes(got), "checksums or lengths are wrong"
        return got


def segment(
    src: str, dst: str, ports: tuple[int, int], flags: str, seq: int, ack: int, data: bytes = b""
) -> IP:
    packet = IP(src=src, dst=dst) / TCP(sport=ports[0], dport=ports[1], flags=flags, seq=seq, ack=ack)
    return packet / Raw(data) if data else packet


def established(ends: Ends, server: str, outside: str) -> None:
    assert ends.send(1, segment(CLIENT, server, (2000, 21), "S", 100, 0))
    assert ends.send(2, segment(SERVER, outside, (21, 2000), "SA", 500, 101))
    assert ends.send(1, segment(CLIENT, server, (2000, 21), "A", 101, 501))


def test_an_active_transfer_behind_source_nat(our_tracker: OurTracker) -> None:
    ends = Ends(our_tracker, f"src={OUTSIDE}")
    established(ends, SERVER, OUTSIDE)
    command = b"PORT 10,0,0,1,8,9\r\n"
    got = ends.send(1, segment(CLIENT, SERVER, (2000, 21), "PA", 101, 501, command))
    assert got is not None
    longer = b"PORT 192,168,100,240,8,9\r\n"
    assert bytes(got[TCP].payload) == longer
    more = len(longer) - len(command)

    again = ends.send(1, segment(CLIENT, SERVER, (2000, 21), "PA", 101, 501, command))
    assert again is not None
    assert (again[TCP].seq, bytes(again[TCP].payload)) == (101, longer), "retransmitted"

    reply = ends.send(2, segment(SERVER, OUTSIDE, (21, 2000), "PA", 501, 101 + len(longer), b"200 ok\r\n"))
    assert reply is not None
    assert reply.dst == CLIENT
    assert reply[TCP].ack == 101 + len(command)
    following = ends.send(1, segment(CLIENT, SERVER, (2000, 21), "PA", 101 + len(command), 509, b"QUIT\r\n"))
    assert following is not None
    assert following[TCP].seq == 101 + len(command) + more

    data = ends.send(2, segment(SERVER, OUTSIDE, (20, 8 * 256 + 9), "S", 9, 0))
    assert data is not None
    assert (data.dst, data[TCP].dport) == (CLIENT, 8 * 256 + 9)
    back = ends.send(1, segment(CLIENT, SERVER, (8 * 256 + 9, 20), "SA", 90, 10))
    assert back is not None
    assert back.src == OUTSIDE


def test_an_extended_active_transfer_behind_source_nat(our_tracker: OurTracker) -> None:
    ends = Ends(our_tracker, f"src={OUTSIDE}")
    established(ends, SERVER, OUTSIDE)
    got = ends.send(1, segment(CLIENT, SERVER, (2000, 21), "PA", 101, 501, b"EPRT |1|10.0.0.1|2057|\r\n"))
    assert got is not None
    assert bytes(got[TCP].payload) == b"EPRT |1|192.168.100.240|2057|\r\n"
    assert ends.send(2, segment(SERVER, OUTSIDE, (20, 2057), "S", 9, 0)) is not None


def test_two_clients_that_announce_the_same_port(our_tracker: OurTracker) -> None:
    ends = Ends(our_tracker, f"src={OUTSIDE}")
    established(ends, SERVER, OUTSIDE)
    ends.send(1, segment(CLIENT, SERVER, (2000, 21), "PA", 101, 501, b"PORT 10,0,0,1,8,9\r\n"))
    assert ends.send(1, segment("10.0.0.5", SERVER, (2000, 21), "S", 100, 0))
    assert ends.send(2, segment(SERVER, OUTSIDE, (21, 2001), "SA", 500, 101))
    got = ends.send(1, segment("10.0.0.5", SERVER, (2000, 21), "PA", 101, 501, b"PORT 10,0,0,5,8,9\r\n"))
    assert got is not None
    assert bytes(got[TCP].payload) == b"PORT 192,168,100,240,8,10\r\n"
    first = ends.send(2, segment(SERVER, OUTSIDE, (20, 8 * 256 + 9), "S", 9, 0))
    second = ends.send(2, segment(SERVER, OUTSIDE, (20, 8 * 256 + 10), "S", 9, 0))
    assert first is not None
    assert second is not None
    assert (first.dst, first[TCP].dport) == (CLIENT, 8 * 256 + 9)
    assert (second.dst, second[TCP].dport) == ("10.0.0.5", 8 * 256 + 9)


def test_a_passive_transfer_behind_destination_nat(our_tracker: OurTracker) -> None:
    ends = Ends(our_tracker, f"dst={SERVER}")
    established(ends, SERVICE, CLIENT)
    said = b"227 Entering Passive Mode (10,0,0,2,40,41).\r\n"
    got = ends.send(2, segment(SERVER, CLIENT, (21, 2000), "PA", 501, 101, said))
    assert got is not None
    assert got.src == SERVICE
    assert bytes(got[TCP].payload) == said.replace(b"10,0,0,2", b"10,0,0,100")
    data = ends.send(1, segment(CLIENT, SERVICE, (3000, 40 * 256 + 41), "S", 9, 0))
    assert data is not None
    assert (data.dst, data[TCP].dport) == (SERVER, 40 * 256 + 41)


def test_a_foreign_address_is_not_expected(our_tracker: OurTracker) -> None:
    ends = Ends(our_tracker, f"src={OUTSIDE}")
    established(ends, SERVER, OUTSIDE)
    bounce = b"PORT 10,0,0,77,8,9\r\n"
    got = ends.send(1, segment(CLIENT, SERVER, (2000, 21), "PA", 101, 501, bounce))
    assert got is not None
    assert bytes(got[TCP].payload) == bounce
    data = ends.send(2, segment(SERVER, OUTSIDE, (20, 8 * 256 + 9), "S", 9, 0))
    assert data is None or data.dst == OUTSIDE, "it is not translated"


def test_tftp_behind_source_nat(our_tracker: OurTracker) -> None:
    ends = Ends(our_tracker, f"src={OUTSIDE}")
    request = IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=69) / Raw(b"\0\1file\0octet\0")
    assert ends.send(1, request) is not None
    answer = ends.send(2, IP(src=SERVER, dst=OUTSIDE) / UDP(sport=6000, dport=5000) / Raw(b"\0\3\0\1data"))
    assert answer is not None
    assert (answer.dst, answer[UDP].dport) == (CLIENT, 5000)
    ack = ends.send(1, IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=6000) / Raw(b"\0\4\0\1"))
    assert ack is not None
    assert ack.src == OUTSIDE


@pytest.mark.parametrize(("line", "from_server", "form", "address", "port"), [
    (b"PORT 10,0,0,1,8,9\r\n", False, "comma", 0x0A000001, 2057),
    (b"port  10,0,0,1,255,255\r\n", False, "comma", 0x0A000001, 65535),
    (b"EPRT |1|10.0.0.1|2057|\r\n", False, "bar", 0x0A000001, 2057),
    (b"EPRT !2!::1!2057!\r\n", False, "bar", 1, 2057),
    (b"227 Entering Passive Mode (10,0,0,2,40,41).\r\n", True, "comma", 0x0A000002, 10281),
    (b"227 =10,0,0,2,40,41\r\n", True, "comma", 0x0A000002, 10281),
    (b"229 Entering Extended Passive Mode (|||4000|)\r\n", True, "port", None, 4000),
])  # fmt: skip
def test_announcements(line: bytes, from_server: bool, form: str, address: int | None, port: int) -> None:
    found = ftp.find(line, from_server)
    assert found is not None
    assert (found.form, found.address, found.port) == (form, address, port)
    assert ftp.find(line, not from_server) is None


@pytest.mark.parametrize("line", [
    b"PORT 10,0,0,1,8,9", b"PORT 10,0,0,1,8\r\n", b"PORT 10,0,0,256,8,9\r\n", b"PORT 10,0,0,1,0,0\r\n",
    b"PORT 10,0,0,1,8,9,10\r\n", b"EPRT |1|::1|2057|\r\n", b"EPRT |2|10.0.0.1|2057|\r\n",
    b"EPRT |1|10.0.0.1|\r\n", b"EPRT |1|10.0.0.1|70000|\r\n", b"EPRT\r\n", b"EPRT \r\n", b"PORT\r\n", b"",
    b"\n",
])  # fmt: skip
def test_what_announces_nothing(line: bytes) -> None:
    assert ftp.find(line, False) is None


@given(st.binary(max_size=300), st.sampled_from([b"", b"PORT ", b"EPRT ", b"227 (", b"229 ("]), st.booleans())
def test_any_bytes(data: bytes, start: bytes, from_server: bool) -> None:
    payload = start + data
    found = ftp.find(payload, from_server)
    if found is not None:
        assert 0 <= found.start < found.end <= len(payload)
        assert 0 < found.port <= 65535
