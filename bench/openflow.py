"""100,000 flows through the real ovs-ofctl, into ours and into the real switch.

Both run on dummy datapaths in one run. What ovs-ofctl itself needs is in both times.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.ofclient import BARRIER_REPLY, BARRIER_REQUEST, PACKET_IN, SET_CONFIG, Client, client, message
from bench.report import Row
from bench.stack import OURS, PEER, Stack, stack
from bench.topology import Host, cpu_seconds, hosts, stop_group
from vswitch.flow.match_text import parse_match
from vswitch.openflow.actions import Output
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages.packet import PacketOut
from vswitch.openflow.wire.codec import decode, encode

FLOWS = 100_000
BR = "br0"


def flow(n: int, port: int, cookie: int) -> str:
    """The n-th flow: an address of its own."""
    address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
    return f"cookie={cookie:#x},priority=100,ip,nw_dst={address},actions=output:{port}"


def write_flows(path: Path, changed: bool = False) -> None:
    """A file of `FLOWS` flows; of every second one the actions are others if `changed`."""
    path.write_text("".join(
        flow(n, 2 + (changed and n & 1), 0x10 + (n & 1)) + "\n" for n in range(FLOWS)
    ))


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def count(switch: Stack) -> int:
    """How many flows table 0 has, as the switch says."""
    said = switch.ofctl("dump-aggregate", BR)
    return int(said.rpartition("flow_count=")[2].split()[0])


def expect(switch: Stack, flows: int) -> None:
    """RuntimeError: the switch has not just so many flows."""
    found = count(switch)
    if found != flows:
        raise RuntimeError(f"{switch.kind}: {found} flows, not {flows}")


def table_times(kind: str) -> dict[str, float]:
    """Seconds of each of ovs-ofctl's commands on a table of `FLOWS` flows, those of the switch's CPU in
    them ("... CPU"), and bytes a flow."""
    times: dict[str, float] = {}
    with stack(kind) as switch:

        def timed(what: str, *words: str) -> None:
            cpu = cpu_seconds(switch.pid())
            times[what] = seconds(lambda: switch.ofctl(*words))
            times[f"{what} CPU"] = cpu_seconds(switch.pid()) - cpu

        plain, changed = switch.directory / "flows", switch.directory / "changed"
        write_flows(plain)
        write_flows(changed, True)
        switch.add_bridge(BR, ["p1", "p2", "p3"])
        before = switch.memory()
        timed("add-flows", "add-flows", BR, str(plain))
        expect(switch, FLOWS)
        times["memory"] = (switch.memory() - before) / FLOWS
        timed("dump-flows", "dump-flows", BR)
        timed("replace-flows", "replace-flows", BR, str(changed))
        expect(switch, FLOWS)
        timed("del-flows", "del-flows", BR, "cookie=0x10/-1")
        expect(switch, FLOWS // 2)
        switch.ofctl("del-flows", BR)
        timed("bundle", "--bundle", "add-flows", BR, str(plain))
        expect(switch, FLOWS)
    return times


# Packets to and from a controller.

WINDOW = 32
TRIPS = 5_000
OFPP_TABLE = 0xFFF9


def round_trips(connection: Client, window: int, trips: int = TRIPS) -> float:
    """Packet-outs a second that come back as packet-ins, with `window` of them on the way."""
    packet = bytes.fromhex("020000000002020000000001" "0800") + bytes(46)
    out = encode(PacketOut(packet, (Output(OFPP_TABLE),), parse_match("in_port=1")), 4, 1)
    begin = time.monotonic()
    done = 0
    while done < trips:
        connection.send(out * window)
        connection.wait(PACKET_IN, window)
        done += window
    return done / (time.monotonic() - begin)


def packet_rates(kind: str) -> dict[str, float]:
    """Round trips a second, one at a time and `WINDOW` at a time."""
    with stack(kind) as switch:
        switch.add_bridge(BR, ["p1", "p2"])
        switch.ofctl("add-flow", BR, "actions=controller")
        with client(switch.mgmt(BR)) as connection:
            connection.send(message(SET_CONFIG, bytes((0, 0, 0xFF, 0xFF))))
            round_trips(connection, WINDOW, 500)
            return {"one": round_trips(connection, 1), "window": round_trips(connection, WINDOW)}


# Flow mods while packets miss.

MISSES = 20_000
MISS_FLOW = ("priority=10,udp,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],"
             "move:NXM_OF_IP_SRC[]->NXM_NX_REG1[],output:2")
UNDER_S = 4.0
BATCH = 50


def misses(source: Host, target: Host, directory: Path) -> subprocess.Popen[bytes]:
    """A trafgen that sends `MISSES` packets a second, each of a flow of its own."""
    octets = ",".join(f"0x{part}" for part in f"{target.mac}:{source.mac}".split(":"))
    config = directory / "misses.cfg"
    config.write_text(
        "{ " + octets + ", c16(0x0800),\n"
        "  0x45, 0, c16(46), c16(1), c16(0x4000), 64, 17, csumip(14, 33),\n"
        f"  10, 78, drnd(2), {target.address.replace('.', ',')},\n"
        "  drnd(2), c16(4002), c16(26), c16(0), fill(0x55, 18) }\n")
    return subprocess.Popen(
        source.command("trafgen", "--cpp", "-i", str(config), "-o", "eth0", "-P", "1", "-q",
                       "-b", f"{MISSES}pps"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def mod_rate(connection: Client, duration: float) -> float:
    """Flow mods a second that are carried out, `BATCH` at a time."""
    batches = []
    for first in range(0, 20_000, BATCH):
        mods = b"".join(encode(parse_flow(flow(n, 2, 1)), 4, 1) for n in range(first, first + BATCH))
        batches.append(mods + message(BARRIER_REQUEST))
    begin = time.monotonic()
    done = 0
    while time.monotonic() < begin + duration:
        connection.send(batches[done % len(batches)])
        connection.wait(BARRIER_REPLY)
        done += 1
    return done * BATCH / (time.monotonic() - begin)


def rates_under_misses(kind: str, a: Host, b: Host) -> dict[str, float]:
    """Flow mods a second with no packets, then while every packet of `MISSES` a second is a new flow;
    and how many of these got through."""
    with stack(kind, dummy=False) as switch:
        bridge = "vsbof0"
        switch.add_bridge(bridge, [a.port, b.port])
        switch.ofctl("add-flow", bridge, MISS_FLOW)
        with client(switch.mgmt(bridge)) as connection:
            values = {"quiet": mod_rate(connection, UNDER_S / 2)}
            sender = misses(a, b, switch.directory)
            try:
                time.sleep(1.5)
                begin, received, sent = time.monotonic(), b.received_packets(), a.sent_packets()
                values["busy"] = mod_rate(connection, UNDER_S)
                duration = time.monotonic() - begin
                values["forwarded"] = (b.received_packets() - received) / duration
                values["offered"] = (a.sent_packets() - sent) / duration
            finally:
                stop_group(sender)
        switch.vsctl("del-br", bridge)
        return values


# The codec.

CODEC_FLOW = ("priority=100,tcp,in_port=1,nw_dst=10.1.2.3,tp_dst=80,"
              "actions=mod_dl_src:02:00:00:00:00:01,output:2")


def microseconds(work: Callable[[], object], times: int = 20_000) -> float:
    """The best of five runs."""
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter_ns()
        for _ in range(times):
            work()
        best = min(best, (time.perf_counter_ns() - begin) / 1e3 / times)
    return best


def codec_rows() -> list[Row]:
    """Microseconds of decoding and encoding one flow mod."""
    fm = parse_flow(CODEC_FLOW)
    rows = []
    for version, name in ((1, "1.0"), (4, "1.3"), (6, "1.5")):
        data = encode(fm, version, 1)
        for what, work in (
            ("decode", lambda d=data: decode(d)),
            ("encode", lambda v=version: encode(fm, v, 1)),
        ):
            rows.append(Row(f"{what} a flow mod of OpenFlow {name}", "us", microseconds(work),
                            better="lower", goal="< 5", note=f"{len(data)} bytes"))
    return rows


def bench() -> list[Row]:
    """All rows of this section."""
    rows = codec_rows()
    peer, ours = table_times(PEER), table_times(OURS)
    for key, name in (
        ("add-flows", "add-flows, 100,000"),
        ("bundle", "add-flows --bundle"),
        ("replace-flows", "replace-flows, half changed"),
        ("dump-flows", "dump-flows, 100,000"),
        ("del-flows", "del-flows by cookie, 50,000"),
    ):
        rows.append(Row(name, "s", ours[key], peer[key], better="lower", goal=">= 1",
                        note=f"CPU of the switch: {ours[key + ' CPU']:.2f} and {peer[key + ' CPU']:.2f} s"))
    rows.append(Row("memory a flow", "bytes", ours["memory"], peer["memory"], better="lower", goal=">= 1"))
    peer, ours = packet_rates(PEER), packet_rates(OURS)
    rows.append(Row("packet-out to packet-in, one by one", "trips/s", ours["one"], peer["one"], goal=">= 1"))
    rows.append(Row(f"packet-out to packet-in, {WINDOW} on the way", "trips/s", ours["window"],
                    peer["window"], goal=">= 1"))
    with hosts(prefix="vsbo") as (a, b):
        peer, ours = rates_under_misses(PEER, a, b), rates_under_misses(OURS, a, b)
    rows.append(Row(f"flow mods, {BATCH} a barrier", "mods/s", ours["quiet"], peer["quiet"], goal=">= 1"))
    rows.append(Row(f"the same under {MISSES:,} misses/s", "mods/s", ours["busy"], peer["busy"], goal=">= 1",
                    note=f"packets/s through: {ours['forwarded']:,.0f} of {ours['offered']:,.0f}, and "
                         f"{peer['forwarded']:,.0f} of {peer['offered']:,.0f}"))
    return rows
