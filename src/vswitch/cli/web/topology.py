"""The picture of the network as a value: bridges, their ports, what hangs on them, and how much passes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, final

from vswitch.base.unixctl import CommandError
from vswitch.cli.sample import Ask, Sample, rates, read_counters, read_show
from vswitch.cli.vsctl.replica import Edit, Record
from vswitch.cli.web.database import DatabaseWatch
from vswitch.openflow.constants import OFPP_LOCAL

TUNNELS: Final = frozenset(
    ("bareudp", "erspan", "geneve", "gre", "gtpu", "ip6erspan", "ip6gre", "srv6", "vxlan")
)
MAX_HOSTS: Final = 256
"""Learned addresses shown of one bridge; the number of all is given beside them."""

_HOST: Final = re.compile(r"\s*(\S+)\s+(\d+)\s+([0-9a-f:]{17})\s+(\S+)")
_NEIGHBOUR: Final = re.compile(r"(\S+)\s+([0-9a-f:]{17})\s")


@final
class Topology:
    """What `/api/topology` answers. `sample` gives the counters, `ask` the learned addresses."""

    def __init__(self, database: DatabaseWatch, ask: Callable[[], Ask]) -> None:
        self._database = database
        self._ask = ask
        self._before: Sample | None = None

    def now(self, at: float) -> dict[str, Any]:
        """The picture, with rates since the last call; `at` is a time in s. CommandError, OSError."""
        ask = self._ask()
        sample = Sample(at)
        read_show(sample, ask("dpif/show"))
        read_counters(sample, ask("dpctl/show", "-s"))
        before, self._before = self._before or sample, sample
        speeds = rates(before, sample)
        addresses = _addresses(ask)
        edit = self._database.edit()
        bridges = [] if edit is None else [
            self._bridge(edit, row, sample, speeds.ports, ask, addresses) for row in edit.rows("Bridge")
        ]  # fmt: skip
        return {
            "error": self._database.error,
            "version": ask("version").partition("\n")[0],
            "datapaths": sample.datapaths,
            "bridges": sorted(bridges, key=lambda b: str(b["name"])),
        }

    def _bridge(
        self,
        edit: Edit,
        row: Record,
        sample: Sample,
        speeds: dict[str, tuple[float, float, float, float]],
        ask: Ask,
        addresses: dict[str, list[str]],
    ) -> dict[str, Any]:
        name = row.text("name")
        hosts = _hosts(ask, name, addresses)
        ports = [
            _port(edit, port, sample, speeds) for port in edit.referenced(row, "ports")
        ]  # fmt: skip
        return {
            "name": name,
            "datapath_type": row.text("datapath_type"),
            "fail_mode": row.text("fail_mode"),
            "ports": sorted(ports, key=lambda p: str(p["name"])),
            "hosts": hosts[:MAX_HOSTS],
            "n_hosts": len(hosts),
            "controllers": [
                {
                    "target": c.text("target"),
                    "connected": c.flag("is_connected"),
                    "role": c.text("role"),
                    "status": c.smap("status"),
                }
                for c in edit.referenced(row, "controller")
            ],
        }


def _port(
    edit: Edit, port: Record, sample: Sample, speeds: dict[str, tuple[float, float, float, float]]
) -> dict[str, Any]:
    active = port.text("bond_active_slave")
    members = [
        _interface(row, sample, speeds, active) for row in edit.referenced(port, "interfaces")
    ]  # fmt: skip
    return {
        "name": port.text("name"),
        "tag": port.number("tag"),
        "trunks": sorted(atom.value for atom in port.get("trunks").values),
        "vlan_mode": port.text("vlan_mode"),
        "bond_mode": port.text("bond_mode") or ("active-backup" if len(members) > 1 else ""),
        "lacp": port.text("lacp"),
        "status": port.smap("status"),
        "interfaces": members,
    }


def _interface(
    row: Record, sample: Sample, speeds: dict[str, tuple[float, float, float, float]], active: str
) -> dict[str, Any]:
    name, type, options = row.text("name"), row.text("type"), row.smap("options")
    counted = sample.ports.get(name)
    rx_packets, rx_bits, tx_packets, tx_bits = speeds.get(name, (0.0, 0.0, 0.0, 0.0))
    mac = row.text("mac_in_use")
    return {
        "name": name,
        "type": type,
        "ofport": row.number("ofport"),
        "mac": mac,
        "peer": options.get("peer", "") if type == "patch" else "",
        "remote": options.get("remote_ip", "") if type in TUNNELS else "",
        "down": _why_down(row),
        "active": bool(active) and active == mac,
        "rx_pps": rx_packets,
        "rx_bps": rx_bits,
        "tx_pps": tx_packets,
        "tx_bps": tx_bits,
        "rx_dropped": counted.rx_dropped if counted else 0,
        "tx_dropped": counted.tx_dropped if counted else 0,
    }


def _why_down(row: Record) -> str:
    """Why nothing passes an interface; "" if it is up."""
    if error := row.text("error"):
        return error
    if row.text("admin_state") == "down":
        return "administratively down"
    if row.text("link_state") == "down":
        return "no carrier"
    return ""


def _hosts(ask: Ask, bridge: str, addresses: dict[str, list[str]]) -> list[dict[str, Any]]:
    try:
        text = ask("fdb/show", bridge)
    except CommandError:
        return []
    found = []
    for line in text.splitlines():
        if m := _HOST.fullmatch(line):
            port = OFPP_LOCAL if m[1] == "LOCAL" else int(m[1]) if m[1].isdigit() else 0
            found.append(
                {"port": port, "vlan": int(m[2]), "mac": m[3], "age": m[4], "ip": addresses.get(m[3], [])}
            )
    return found


def _addresses(ask: Ask) -> dict[str, list[str]]:
    """MAC -> addresses that ARP and neighbour discovery told the switch."""
    found: dict[str, list[str]] = {}
    try:
        lines: Iterable[str] = ask("tnl/neigh/show").splitlines()
    except CommandError:
        lines = ()
    for line in lines:
        if m := _NEIGHBOUR.match(line):
            found.setdefault(m[2], []).append(m[1])
    return found
