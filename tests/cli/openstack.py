"""What OpenStack's agents do to a switch, by their own library. `python openstack.py SOCKET` prints JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.schema.open_vswitch.impl_idl import OvsdbIdl


def main(path: str) -> list[Any]:
    """What each step answered; names only, never UUIDs."""
    idl = connection.OvsdbIdl.from_server(f"unix:{path}", "Open_vSwitch")
    api = OvsdbIdl(connection.Connection(idl=idl, timeout=20))
    told: list[Any] = []

    def do(command: Any) -> Any:
        return command.execute(check_error=True)

    def tell(command: Any) -> None:
        told.append(do(command))

    # The integration bridge, the tunnel bridge, a pair of patch ports between them.
    for bridge in ("br-int", "br-tun"):
        do(api.add_br(bridge, datapath_type="dummy"))
        do(api.set_fail_mode(bridge, "secure"))
        do(api.db_set("Bridge", bridge, ("protocols", ["OpenFlow10", "OpenFlow13", "OpenFlow14"])))
        do(api.set_controller(bridge, ["tcp:127.0.0.1:9"]))
        tell(api.get_controller(bridge))
    for bridge, port, peer in (("br-int", "patch-tun", "patch-int"), ("br-tun", "patch-int", "patch-tun")):
        with api.transaction(check_error=True) as txn:
            txn.add(api.add_port(bridge, port))
            txn.add(api.db_set("Interface", port, ("type", "patch"), ("options", {"peer": peer})))
    with api.transaction(check_error=True) as txn:
        txn.add(api.add_port("br-tun", "vxlan-1"))
        options = {"remote_ip": "192.0.2.7", "in_key": "flow", "out_key": "flow"}
        txn.add(api.db_set("Interface", "vxlan-1", ("type", "vxlan"), ("options", options)))
    # Machines' ports, tagged, found by what Nova wrote.
    for n in (1, 2, 3):
        with api.transaction(check_error=True) as txn:
            txn.add(api.add_port("br-int", f"tap{n}"))
            ids = {"iface-id": f"port-{n}", "iface-status": "active", "attached-mac": f"02:00:00:00:00:0{n}"}
            txn.add(api.db_set("Interface", f"tap{n}", ("type", "dummy"), ("external_ids", ids)))
            txn.add(api.db_set("Port", f"tap{n}", ("tag", n), ("other_config", {"net": f"n{n}"})))
    end = time.monotonic() + 20
    while do(api.db_get("Interface", "tap3", "ofport")) in ([], None) and time.monotonic() < end:
        time.sleep(0.05)
    told.append(sorted(do(api.list_br())))
    told += [sorted(do(api.list_ports(bridge))) for bridge in ("br-int", "br-tun")]
    tell(api.iface_to_br("tap1"))
    tell(api.port_to_br("patch-int"))
    tell(api.iface_get_external_id("tap2", "iface-id"))
    found = do(api.db_find("Port", ("tag", "!=", 1), columns=["name", "tag", "other_config"]))
    told.append(sorted(found, key=lambda row: row["name"]))
    columns = ["name", "type", "options"]
    tell(api.db_list("Interface", ["tap1", "patch-tun", "vxlan-1"], columns=columns))
    # Limits: a queue of its own for a port, as its plug-in for quality of service makes them.
    with api.transaction(check_error=True) as txn:
        limits = (("ingress_policing_rate", 1000), ("ingress_policing_burst", 100))
        txn.add(api.db_set("Interface", "tap1", *limits))
    queue = do(api.db_create("Queue", other_config={"max-rate": "1000000"}, external_ids={"id": "q"}))
    qos = do(api.db_create("QoS", type="linux-htb", other_config={"max-rate": "10000000"}))
    do(api.db_set("QoS", qos, ("queues", {0: queue})))
    do(api.db_set("Port", "tap1", ("qos", qos)))
    told.append(do(api.db_find("QoS", ("type", "=", "linux-htb"), columns=["type", "other_config"])))
    do(api.db_clear("Port", "tap1", "qos"))
    do(api.db_destroy("QoS", qos))
    do(api.db_destroy("Queue", queue))
    told.append(do(api.db_list("QoS", columns=["type"])))
    # Where its servers listen; a bridge's own words; what goes.
    do(api.add_manager("ptcp:0:127.0.0.1"))
    tell(api.get_manager())
    do(api.remove_manager("ptcp:0:127.0.0.1"))
    do(api.br_set_external_id("br-int", "owner", "agent"))
    tell(api.br_get_external_id("br-int", "owner"))
    do(api.db_remove("Port", "tap2", "other_config", "net"))
    tell(api.db_get("Port", "tap2", "other_config"))
    do(api.del_port("tap2", "br-int"))
    do(api.del_port("absent", "br-int", if_exists=True))
    tell(api.br_exists("br-tun"))
    do(api.del_controller("br-tun"))
    do(api.del_br("br-tun"))
    tell(api.br_exists("br-tun"))
    told.append(sorted(do(api.list_ifaces("br-int"))))
    refused = api.add_port("nowhere", "tap9").execute(check_error=False)
    told.append(refused)
    return told


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
