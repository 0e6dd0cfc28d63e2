"""`vswitch exporter`: the metrics of a running switch over HTTP, for Prometheus.

A process of its own, which asks the switch as any tool does: a slow or greedy client costs the switch
nothing but the answers to its runtime commands.
"""

from __future__ import annotations

import ipaddress
import signal
import threading
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server

from vswitch.cli.errors import CliError
from vswitch.cli.look import asker, json_asker
from vswitch.cli.metrics import SwitchCollector
from vswitch.cli.ofctl.switch import OfctlError, Settings, Switch, SwitchError
from vswitch.daemon.process import rundir
from vswitch.openflow.messages.table import TableStats, TableStatsRequest
from vswitch.ovsdb.client import Client
from vswitch.ovsdb.errors import OvsdbError


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT` or `[HOST]:PORT`, HOST an IP address; port 0 is any free one. ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text}: not IP:PORT")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(f"{text}: {host or 'nothing'} is no IP address") from None
    return bare, int(port)


def _set(value: Any) -> list[Any]:
    """The elements of a set as RFC 7047 section 5.1 writes it: one stands for itself."""
    return list(value[1]) if isinstance(value, list) and value[:1] == ["set"] else [value]


def controllers() -> list[tuple[str, str, bool]]:
    """(bridge, target, connected) of each controller in the database. CliError, OSError."""
    wanted = {"Bridge": ["name", "controller"], "Controller": ["_uuid", "target", "is_connected"]}
    select = [
        {"op": "select", "table": table, "where": [], "columns": columns} for table, columns in wanted.items()
    ]
    try:
        client = Client(f"unix:{rundir()}/db.sock")
        try:
            bridges, rows = (result["rows"] for result in client.call("transact", "Open_vSwitch", *select))
        finally:
            client.close()
    except (OvsdbError, KeyError, TypeError, ValueError) as error:
        raise CliError(f"the database does not answer: {error}") from error
    by_uuid = {row["_uuid"][1]: row for row in rows}
    found = []
    for bridge in bridges:
        for _, uuid in _set(bridge["controller"]):
            if row := by_uuid.get(uuid):
                found.append((bridge["name"], row["target"], row["is_connected"]))
    return sorted(found)


def table_stats() -> dict[str, list[TableStats]]:
    """What the bridges here say of their tables (OpenFlow 1.0, 5.3.5): those in use."""
    found = {}
    for path in sorted(rundir().glob("*.mgmt")):
        try:
            with Switch(str(path), Settings()) as switch:
                rows = [row for m in switch.ask(TableStatsRequest()) for row in m.body.tables]
        except (OfctlError, SwitchError):
            continue  # gone meanwhile
        found[path.stem] = [row for row in rows if row.active_count or row.matched_count]
    return found


def collector(target: str, max_ports: int) -> SwitchCollector:
    """All metrics of the switch called `target`."""
    return SwitchCollector(
        lambda: asker(target), lambda: json_asker(target), table_stats, controllers, max_ports
    )


def export(target: str, listen: str, max_ports: int) -> None:
    """Serve /metrics until SIGTERM or Ctrl-C. CliError: a wrong address, or one that is taken."""
    try:
        host, port = parse_listen(listen)
    except ValueError as error:
        raise CliError(f"--listen {error}") from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector(target, max_ports))
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        server, thread = start_http_server(port, host, registry=registry)
    except OSError as error:
        raise CliError(f"--listen {listen}: {error.strerror or error}") from error
    shown = f"[{host}]" if ":" in host else host
    print(f"serving http://{shown}:{server.server_port}/metrics", flush=True)
    over.wait()
    server.shutdown()
    server.server_close()
    thread.join()
