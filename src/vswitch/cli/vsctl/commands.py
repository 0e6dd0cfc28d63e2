"""The commands of `vswitch vsctl`, with their arguments as ovs-vsctl(8) has them."""

from __future__ import annotations

from typing import Final

from vswitch.cli.vsctl import bridges, connections, records, show
from vswitch.cli.vsctl.line import UNLIMITED, Syntax

_IF: Final = ("if-exists",)
_MAY: Final = ("may-exist",)

_ALL: Final = (
    Syntax("init", 0, 0, "", (), connections.init),
    Syntax("show", 0, 0, "", ("filter=",), show.show),
    Syntax("emer-reset", 0, 0, "", (), connections.emer_reset),
    Syntax("add-br", 1, 3, "!NEW-BRIDGE ?PARENT ?NEW-VLAN", _MAY, bridges.add_br),
    Syntax("del-br", 1, 1, "!BRIDGE", _IF, bridges.del_br),
    Syntax("list-br", 0, 0, "", ("real", "fake"), bridges.list_br),
    Syntax("br-exists", 1, 1, "!BRIDGE", (), bridges.br_exists),
    Syntax("br-to-vlan", 1, 1, "!BRIDGE", (), bridges.br_to_vlan),
    Syntax("br-to-parent", 1, 1, "!BRIDGE", (), bridges.br_to_parent),
    Syntax("br-set-external-id", 2, 3, "!BRIDGE !KEY ?VALUE", (), bridges.br_set_external_id),
    Syntax("br-get-external-id", 1, 2, "!BRIDGE ?KEY", (), bridges.br_get_external_id),
    Syntax("list-ports", 1, 1, "!BRIDGE", (), bridges.list_ports),
    Syntax("add-port", 2, UNLIMITED, "!BRIDGE !NEW-PORT *COLUMN?:KEY=VALUE", _MAY, bridges.add_port),
    Syntax(
        "add-bond", 4, UNLIMITED, "!BRIDGE !BOND +IFACE *COLUMN?:KEY=VALUE", ("may-exist", "fake-iface"),
        bridges.add_bond,
    ),
    Syntax("add-bond-iface", 2, 2, "!BOND !IFACE", _MAY, bridges.add_bond_iface),
    Syntax("del-bond-iface", 1, 2, "?BOND !IFACE", _IF, bridges.del_bond_iface),
    Syntax("del-port", 1, 2, "?BRIDGE !PORT|IFACE", ("if-exists", "with-iface"), bridges.del_port),
    Syntax("port-to-br", 1, 1, "!PORT", (), bridges.port_to_br),
    Syntax("list-ifaces", 1, 1, "!BRIDGE", (), bridges.list_ifaces),
    Syntax("iface-to-br", 1, 1, "!IFACE", (), bridges.iface_to_br),
    Syntax("get-controller", 1, 1, "!BRIDGE", (), connections.get_controller),
    Syntax("del-controller", 1, 1, "!BRIDGE", (), connections.del_controller),
    Syntax(
        "set-controller", 1, UNLIMITED, "!BRIDGE +TARGET", ("inactivity-probe=",), connections.set_controller
    ),
    Syntax("get-fail-mode", 1, 1, "!BRIDGE", (), connections.get_fail_mode),
    Syntax("del-fail-mode", 1, 1, "!BRIDGE", (), connections.del_fail_mode),
    Syntax("set-fail-mode", 2, 2, "!BRIDGE !MODE", (), connections.set_fail_mode),
    Syntax("get-manager", 0, 0, "", (), connections.get_manager),
    Syntax("del-manager", 0, 0, "", (), connections.del_manager),
    Syntax("set-manager", 1, UNLIMITED, "+TARGET", ("inactivity-probe=",), connections.set_manager),
    Syntax("get-ssl", 0, 0, "", (), connections.get_ssl),
    Syntax("del-ssl", 0, 0, "", (), connections.del_ssl),
    Syntax("set-ssl", 3, 3, "!PRIVATE-KEY !CERTIFICATE !CA-CERT", ("bootstrap",), connections.set_ssl),
    Syntax("add-aa-mapping", 3, 3, "!BRIDGE !ARG !ARG", (), connections.add_aa_mapping),
    Syntax("del-aa-mapping", 3, 3, "!BRIDGE !ARG !ARG", (), connections.del_aa_mapping),
    Syntax("get-aa-mapping", 1, 1, "!BRIDGE", (), connections.get_aa_mapping),
    Syntax("add-zone-tp", 3, UNLIMITED, "", _MAY, connections.add_zone_tp),
    Syntax("del-zone-tp", 2, 2, "", _IF, connections.del_zone_tp),
    Syntax("list-zone-tp", 1, 1, "", (), connections.list_zone_tp),
    Syntax("list-dp-cap", 1, 1, "", (), connections.list_dp_cap),
    Syntax("comment", 0, UNLIMITED, "*ARG", (), records.comment),
    Syntax("list", 1, UNLIMITED, "!TABLE *RECORD", ("if-exists", "columns="), records.list_records),
    Syntax("find", 1, UNLIMITED, "!TABLE *COLUMN?:KEY=VALUE", ("columns=",), records.find_records),
    Syntax("get", 2, UNLIMITED, "!TABLE !RECORD *COLUMN?:KEY", ("if-exists", "id="), records.get_columns),
    Syntax("set", 3, UNLIMITED, "!TABLE !RECORD +COLUMN?:KEY=VALUE", _IF, records.set_columns),
    Syntax("add", 4, UNLIMITED, "!TABLE !RECORD !COLUMN +?KEY=VALUE", _IF, records.add_values),
    Syntax(
        "remove", 4, UNLIMITED, "!TABLE !RECORD !COLUMN +KEY|VALUE|KEY=VALUE", _IF, records.remove_values
    ),
    Syntax("clear", 3, UNLIMITED, "!TABLE !RECORD +COLUMN", _IF, records.clear_columns),
    Syntax("create", 2, UNLIMITED, "!TABLE +COLUMN?:KEY=VALUE", ("id=",), records.create_record),
    Syntax("destroy", 1, UNLIMITED, "!TABLE *RECORD", ("if-exists", "all"), records.destroy_records),
    Syntax("wait-until", 2, UNLIMITED, "!TABLE !RECORD *COLUMN?:KEY=VALUE", (), records.wait_until),
)  # fmt: skip

COMMANDS: Final = {syntax.name: syntax for syntax in _ALL}
