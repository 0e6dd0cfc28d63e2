"""Ports, queues and tables as `ovs-ofctl` prints them."""

from __future__ import annotations

from typing import Final

from vswitch.flow.values import format_mac
from vswitch.openflow.messages import port as p
from vswitch.openflow.messages import queue as q
from vswitch.openflow.messages import table as t
from vswitch.openflow.print_base import Ports, bits, counter, duration, port_text
from vswitch.openflow.wire.version import OFP10, OFP13, OFP14

FEATURES: Final = (
    "10MB-HD",
    "10MB-FD",
    "100MB-HD",
    "100MB-FD",
    "1GB-HD",
    "1GB-FD",
    "10GB-FD",
    "40GB-FD",
    "100GB-FD",
    "1TB-FD",
    "OTHER",
    "COPPER",
    "FIBER",
    "AUTO_NEG",
    "AUTO_PAUSE",
    "AUTO_PAUSE_ASYM",
)
SPEEDS: Final = (10, 10, 100, 100, 1000, 1000, 10000, 40000, 100000, 1000000)
"""Mbps of each bit of the features that is a speed."""
CONFIG: Final = ("PORT_DOWN", "NO_STP", "NO_RECV", "NO_RECV_STP", "NO_FLOOD", "NO_FWD", "NO_PACKET_IN")
STP_STATES: Final = ("STP_LISTEN", "STP_LEARN", "STP_FORWARD", "STP_BLOCK")


def speed(features: int) -> int:
    """The highest speed among link features, in Mbps."""
    return max((mbps for i, mbps in enumerate(SPEEDS) if features >> i & 1), default=0)


def _state(state: int, version: int) -> str:
    if version == OFP10 and state & 0x300:
        return STP_STATES[state >> 8 & 3] + ("LINK_DOWN" if state & 1 else "")
    return bits(state & 7, ("LINK_DOWN", "BLOCKED", "LIVE"))


def format_port_desc(port: p.Port, version: int, ports: Ports = None) -> str:
    """A port's description, over several lines."""
    lines = [f" {port_text(port.port_no, None)}({port.name}): addr:{format_mac(port.hw_addr)}"]
    lines.append(f"     config:     {bits(port.config, CONFIG)}")
    lines.append(f"     state:      {_state(port.state, version)}")
    for title, features in (
        ("current:   ", port.curr),
        ("advertised:", port.advertised),
        ("supported: ", port.supported),
        ("peer:      ", port.peer),
    ):
        if features:
            lines.append(f"     {title} {bits(features, FEATURES)}")
    if version == OFP10:
        now, most = speed(port.curr), speed(port.supported)
    else:
        now, most = port.curr_speed // 1000, port.max_speed // 1000
    lines.append(f"     speed: {now} Mbps now, {most} Mbps max")
    return "\n".join(lines) + "\n"


def format_port_status(m: p.PortStatus, version: int, ports: Ports) -> str:
    """A port status message's text."""
    reasons = ("ADD", "DEL", "MOD")
    return f" {reasons[m.reason]}:{format_port_desc(m.port, version)}"


def format_port_mod(m: p.PortMod, version: int, ports: Ports) -> str:
    """A port mod message's text."""
    features = m.advertise & (1 << len(FEATURES)) - 1
    advertise = bits(features, FEATURES) if features else "UNCHANGED"
    return (
        f" port: {port_text(m.port_no, ports)}: addr:{format_mac(m.hw_addr)}\n"
        f"     config: {bits(m.config & m.mask, CONFIG)}\n     mask:   {bits(m.mask, CONFIG)}\n"
        f"     advertise: {advertise}\n"
    )


def format_port_stats(m: p.PortStatsReply, version: int, ports: Ports) -> str:
    """Port statistics."""
    out = f" {len(m.stats)} ports\n"
    for s in m.stats:
        drop, errs, frame, over, crc, coll, tx_drop, tx_errs = map(
            counter,
            (
                s.rx_dropped,
                s.rx_errors,
                s.rx_frame_err,
                s.rx_over_err,
                s.rx_crc_err,
                s.collisions,
                s.tx_dropped,
                s.tx_errors,
            ),
        )
        name = port_text(s.port_no, ports)
        out += (
            f"  port {name:>2}: rx pkts={counter(s.rx_packets)}, bytes={counter(s.rx_bytes)}, drop={drop}, "
        )
        out += f"errs={errs}, frame={frame}, over={over}, crc={crc}\n"
        out += f"           tx pkts={counter(s.tx_packets)}, bytes={counter(s.tx_bytes)}, drop={tx_drop}, "
        out += f"errs={tx_errs}, coll={coll}\n"
        if s.duration_sec is not None:
            out += f"           duration={duration(s.duration_sec, s.duration_nsec)}\n"
        if s.rfc2819 is not None:
            out += _rfc2819(s.rfc2819.counters)
        if s.custom:
            out += _custom(s.custom)
    return out


_SIZES: Final = (
    "1_to_64_packets",
    "65_to_127_packets",
    "128_to_255_packets",
    "256_to_511_packets",
    "512_to_1023_packets",
    "1024_to_1522_packets",
    "1523_to_max_packets",
)
_RX2819: Final = (
    *zip(_SIZES, range(7), strict=True),
    ("broadcast_packets", 15),
    ("undersized_errors", 17),
    ("oversize_errors", 18),
    ("rx_fragmented_errors", 19),
    ("rx_jabber_errors", 20),
)
_TX2819: Final = (
    *zip(_SIZES, range(7, 14), strict=True),
    ("multicast_packets", 14),
    ("broadcast_packets", 16),
)


def _rfc2819(counters: tuple[int, ...]) -> str:
    out = ""
    for title, rows in (("rx", _RX2819), ("tx", _TX2819)):
        known = "".join(f"{name}={counters[i]}, " for name, i in rows if counters[i] != p.UNKNOWN)
        if known:
            out += f"           {title} rfc2819 {known}\n"
    return out


def _custom(stats: tuple[p.CustomStat, ...]) -> str:
    known = [f"{stat.name}={stat.value}," for stat in stats if stat.value != p.UNKNOWN]
    rows = [known[i : i + 3] for i in range(0, len(known), 3)]
    return "           CUSTOM Statistics" + "".join("\n" + " " * 22 + " ".join(row) for row in rows) + "\n"


# Queues.


def format_queue_config(m: q.QueueGetConfigReply, version: int, ports: Ports) -> str:
    """Queues' rates, by port."""
    out = ""
    last = None
    if version < OFP14:
        out = f" port={port_text(m.port_no, ports)}\n"
    for queue in sorted(m.queues, key=lambda queue: (queue.port_no, queue.queue_id)):
        if version >= OFP14 and queue.port_no != last:
            out += f"{' ' if last is None else ''}port={port_text(queue.port_no, ports)}\n"
            last = queue.port_no
        out += (
            f"queue {queue.queue_id}:{_rate('min_rate', queue.min_rate)}{_rate('max_rate', queue.max_rate)}\n"
        )
    return out


def _rate(name: str, rate: int | None) -> str:
    if rate is None:
        return ""
    return f" {name}:{rate // 10}.{rate % 10}%" if rate <= 1000 else f" {name}:(disabled)"


def format_queue_stats(m: q.QueueStatsReply, version: int, ports: Ports) -> str:
    """Queue statistics."""
    out = f" {len(m.queues)} queues\n"
    for s in m.queues:
        out += f"  port {port_text(s.port_no, ports)} queue {s.queue_id}: bytes={counter(s.tx_bytes)}, "
        out += f"pkts={counter(s.tx_packets)}, errors={counter(s.tx_errors)}, duration="
        known = s.duration_sec is not None and s.duration_sec != 0xFFFFFFFF
        out += (duration(s.duration_sec or 0, s.duration_nsec) if known else "?") + "\n"
    return out


def format_queue_request(m: q.QueueGetConfigRequest, version: int, ports: Ports) -> str:
    """A request for queues' rates."""
    one = "" if m.queue_id == q.OFPQ_ALL else f" queue={m.queue_id}"
    return f" port={port_text(m.port_no, ports)}{one}"


def format_queue_stats_request(m: q.QueueStatsRequest, version: int, ports: Ports) -> str:
    """A request for queue statistics."""
    return f" port={port_text(m.port_no, ports)} queue={'ALL' if m.queue_id == q.OFPQ_ALL else m.queue_id}"


# Tables.

_MISSES: Final = ("controller", "continue", "drop")


def _table(table_id: int, name: str = "") -> str:
    return f'{table_id} ("{name}")' if name else f"{table_id}"


def _vacancy(table: t.TableConfig) -> str:
    v = table.vacancy
    if v is None or not table.config & t.OFPTC_VACANCY_EVENTS:
        return "off"
    return f"on vacancy_down={v.down}% vacancy_up={v.up}% vacancy={v.now}%"


def format_table_config(table: t.TableConfig) -> str:
    """One table's description."""
    eviction = "on" if table.config & t.OFPTC_EVICTION else "off"
    flags = (
        "(default)"
        if table.eviction is None
        else bits(table.eviction, ("OTHER", "IMPORTANCE", "LIFETIME"), "(none)", "|")
    )
    head = f"\n  table {table.table_id}:\n   eviction={eviction} eviction_flags={flags}\n"
    return f"{head}   vacancy={_vacancy(table)}\n"


def format_table_desc(m: t.TableDescReply, version: int, ports: Ports) -> str:
    """Tables' descriptions."""
    return "".join(format_table_config(table) for table in m.tables)


def format_table_status(m: t.TableStatus, version: int, ports: Ports) -> str:
    """A table status message's text."""
    reason = "VACANCY_DOWN" if m.reason == t.OFPTR_VACANCY_DOWN else "VACANCY_UP"
    return f" reason={reason}\ntable_desc:-{format_table_config(m.table)}"


def format_table_mod(m: t.TableMod, version: int, ports: Ports) -> str:
    """A table mod message's text."""
    table = m.table
    out = " table_id: ALL_TABLES" if table.table_id == 0xFF else f" table_id={table.table_id}"
    if version < OFP14:
        miss = table.config & t.OFPTC_TABLE_MISS_MASK
        if version == OFP13:
            return out
        # What there is no word for is taken for the version's default.
        return f"{out}, flow_miss_config={_MISSES[miss if miss < len(_MISSES) else 0]}"
    if table.eviction is not None or table.vacancy is not None:
        eviction = "***error***"  # so does Open vSwitch 3.1 with any property
    else:
        eviction = "on" if table.config & t.OFPTC_EVICTION else "off"
    out += f", eviction={eviction}, vacancy="
    if not table.config & t.OFPTC_VACANCY_EVENTS:
        return out + "off"
    vacancy = table.vacancy or t.Vacancy(0, 0)
    return f"{out}on vacancy:{vacancy.down},{vacancy.up}"
