"""The commands on controllers, managers, TLS, auto attach, conntrack zones, and emer-reset."""

from __future__ import annotations

from typing import Final

from vswitch.cli.vsctl.bridges import Switches
from vswitch.cli.vsctl.errors import VsctlError
from vswitch.cli.vsctl.line import Context
from vswitch.cli.vsctl.replica import Record

ACTIVE: Final = ("tcp:", "ssl:", "unix:")
PASSIVE: Final = ("ptcp:", "pssl:", "punix:")


def _targets(records: list[Record]) -> list[str]:
    return sorted(record.text("target") for record in records)


def _set_targets(context: Context, owner: Record, column: str, table: str, targets: list[str]) -> None:
    """Replace the records of `column` by one for each target."""
    made = []
    for record in context.edit.referenced(owner, column):
        context.edit.delete(record)
    for target in targets:
        if not target.startswith(ACTIVE + PASSIVE):
            context.warn(f'target type "{target}" is possibly erroneous')
        record = context.edit.insert(table)
        record.put("target", target)
        probe = context.options.get("inactivity-probe")
        if probe is not None:
            record.put("inactivity_probe", [int(probe) if probe.lstrip("-").isdigit() else 0])
        made.append(record.uuid)
    owner.put(column, made)


# Controllers.


def get_controller(context: Context) -> None:
    """`get-controller BRIDGE`"""
    bridge = Switches(context.edit).bridge(context.arg(0))
    for target in _targets(context.edit.referenced(bridge.record, "controller")):
        context.say(target)


def del_controller(context: Context) -> None:
    """`del-controller BRIDGE`"""
    bridge = Switches(context.edit).real_bridge(context.arg(0))
    _set_targets(context, bridge.record, "controller", "Controller", [])


def set_controller(context: Context) -> None:
    """`set-controller BRIDGE TARGET...`"""
    bridge = Switches(context.edit).real_bridge(context.arg(0))
    _set_targets(context, bridge.record, "controller", "Controller", list(context.args[1:]))


def get_fail_mode(context: Context) -> None:
    """`get-fail-mode BRIDGE`"""
    mode = Switches(context.edit).bridge(context.arg(0)).record.text("fail_mode")
    if mode:
        context.say(mode)


def del_fail_mode(context: Context) -> None:
    """`del-fail-mode BRIDGE`"""
    Switches(context.edit).real_bridge(context.arg(0)).record.put("fail_mode", [])


def set_fail_mode(context: Context) -> None:
    """`set-fail-mode BRIDGE MODE`"""
    bridge, mode = Switches(context.edit).real_bridge(context.arg(0)), context.arg(1)
    if mode not in ("standalone", "secure"):
        raise VsctlError('fail-mode must be "standalone" or "secure"')
    bridge.record.put("fail_mode", [mode])


# Managers and TLS.


def get_manager(context: Context) -> None:
    """`get-manager`"""
    for target in _targets(context.edit.referenced(context.edit.root, "manager_options")):
        context.say(target)


def del_manager(context: Context) -> None:
    """`del-manager`"""
    _set_targets(context, context.edit.root, "manager_options", "Manager", [])


def set_manager(context: Context) -> None:
    """`set-manager TARGET...`"""
    _set_targets(context, context.edit.root, "manager_options", "Manager", list(context.args))


def get_ssl(context: Context) -> None:
    """`get-ssl`"""
    for record in context.edit.referenced(context.edit.root, "ssl"):
        context.say(f"Private key: {record.text('private_key')}")
        context.say(f"Certificate: {record.text('certificate')}")
        context.say(f"CA Certificate: {record.text('ca_cert')}")
        context.say(f"Bootstrap: {'true' if record.flag('bootstrap_ca_cert') else 'false'}")


def del_ssl(context: Context) -> None:
    """`del-ssl`"""
    for record in context.edit.referenced(context.edit.root, "ssl"):
        context.edit.delete(record)
    context.edit.root.put("ssl", [])


def set_ssl(context: Context) -> None:
    """`set-ssl PRIVATE-KEY CERTIFICATE CA-CERT`"""
    del_ssl(context)
    record = context.edit.insert("SSL")
    record.put("private_key", context.arg(0))
    record.put("certificate", context.arg(1))
    record.put("ca_cert", context.arg(2))
    record.put("bootstrap_ca_cert", "bootstrap" in context.options)
    context.edit.root.put("ssl", [record.uuid])


# Auto attach.


def _number(text: str) -> int:
    if not text.isdigit():
        raise VsctlError(f"Invalid argument {text}")
    return int(text)


def _mappings(record: Record) -> dict[int, int]:
    return {k.value: v.value for k, v in record.get("mappings").values.items()}


def add_aa_mapping(context: Context) -> None:
    """`add-aa-mapping BRIDGE I-SID VLAN`"""
    isid, vlan = _number(context.arg(1)), _number(context.arg(2))
    bridge = Switches(context.edit).real_bridge(context.arg(0)).record
    found = context.edit.referenced(bridge, "auto_attach")
    if found:
        record = found[0]
    else:
        record = context.edit.insert("AutoAttach")
        bridge.put("auto_attach", [record.uuid])
    record.put("mappings", {**_mappings(record), isid: vlan})


def del_aa_mapping(context: Context) -> None:
    """`del-aa-mapping BRIDGE I-SID VLAN`"""
    isid, vlan = _number(context.arg(1)), _number(context.arg(2))
    bridge = Switches(context.edit).real_bridge(context.arg(0)).record
    for record in context.edit.referenced(bridge, "auto_attach"):
        mappings = _mappings(record)
        if mappings.get(isid) == vlan:
            del mappings[isid]
            record.put("mappings", mappings)


def get_aa_mapping(context: Context) -> None:
    """`get-aa-mapping BRIDGE`"""
    bridge = Switches(context.edit).bridge(context.arg(0)).record
    for record in context.edit.referenced(bridge, "auto_attach"):
        for isid, vlan in sorted(_mappings(record).items()):
            context.say(f"{isid} {vlan}")


# Conntrack zones and capabilities.


def _datapath(context: Context) -> Record | None:
    root = context.edit.root
    for key, atom in root.get("datapaths").values.items():
        if key.value == context.arg(0):
            return context.edit.find("Datapath", atom.value)
    return None


def _zone(text: str) -> int:
    """ZONE of zone=ZONE."""
    number = text.removeprefix("zone=")
    if number == text or not number.isdigit() or int(number) > 65535:
        raise VsctlError(f"{text}: zone=ZONE is wanted, a number from 0 to 65535")
    return int(number)


def _zones(record: Record) -> dict[int, object]:
    return {k.value: v.value for k, v in record.get("ct_zones").values.items()}


def add_zone_tp(context: Context) -> None:
    """`add-zone-tp DATAPATH zone=ZONE POLICY=SECONDS...`"""
    zone = _zone(context.arg(1))
    policies: dict[str, int] = {}
    for word in context.args[2:]:
        name, _, seconds = word.partition("=")
        if not seconds.isdigit():
            raise VsctlError(f"invalid timeout policy {word!r}")
        policies[name] = int(seconds)
    datapath = _datapath(context)
    if datapath is None:
        raise VsctlError(f"datapath {context.arg(0)} does not exist")
    edit, zones = context.edit, _zones(datapath)
    found = next((z for k, z in _zone_records(context, datapath) if k == zone), None)
    if found is not None and "may-exist" not in context.options:
        raise VsctlError(f"zone id {zone} already exists")
    if found is None:
        found = edit.insert("CT_Zone")
        zones[zone] = found.uuid
        datapath.put("ct_zones", zones)
    policy = edit.insert("CT_Timeout_Policy")
    policy.put("timeouts", policies)
    found.put("timeout_policy", [policy.uuid])


def _zone_records(context: Context, datapath: Record) -> list[tuple[int, Record]]:
    """(zone, its record), in order."""
    atoms = datapath.get("ct_zones").values
    pairs = [(k.value, context.edit.find("CT_Zone", v.value)) for k, v in sorted(atoms.items())]
    return [(zone, record) for zone, record in pairs if record is not None]


def del_zone_tp(context: Context) -> None:
    """`del-zone-tp DATAPATH zone=ZONE`"""
    zone = _zone(context.arg(1))
    datapath = _datapath(context)
    if datapath is None:
        raise VsctlError(f"datapath {context.arg(0)} does not exist")
    zones = _zones(datapath)
    if zone not in zones:
        if "if-exists" not in context.options:
            raise VsctlError(f"zone id {zone} does not exist")
        return
    del zones[zone]
    datapath.put("ct_zones", zones)


def list_zone_tp(context: Context) -> None:
    """`list-zone-tp DATAPATH`"""
    datapath = _datapath(context)
    if datapath is None:
        raise VsctlError(f"datapath: {context.arg(0)} record not found")
    for zone, record in _zone_records(context, datapath):
        words = [
            f"{k.value}={v.value}"
            for policy in context.edit.referenced(record, "timeout_policy")
            for k, v in sorted(policy.get("timeouts").values.items())
        ]
        context.say(f"Zone:{zone}, Timeout Policies: {' '.join(words) or 'system default'}")


def list_dp_cap(context: Context) -> None:
    """`list-dp-cap DATAPATH`"""
    datapath = _datapath(context)
    if datapath is None:
        raise VsctlError(f'datapath "{context.arg(0)}" record not found')
    context.say(" ".join(f"{k}={v}" for k, v in sorted(datapath.smap("capabilities").items())))


# The switch.


def init(context: Context) -> None:
    """`init`: what every command does, make sure that there is a configuration."""


def emer_reset(context: Context) -> None:
    """`emer-reset`: nothing left that would keep the switch from being reached."""
    edit = context.edit
    for bridge in edit.rows("Bridge"):
        hwaddr = bridge.smap("other_config").get("hwaddr")
        for column in ("controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans"):
            bridge.put(column, [])
        bridge.put("other_config", {} if hwaddr is None else {"hwaddr": hwaddr})
    for port in edit.rows("Port"):
        port.put("other_config", {})
    for interface in edit.rows("Interface"):
        interface.put("ingress_policing_rate", 0)
        interface.put("ingress_policing_burst", 0)
    edit.root.put("manager_options", [])
    edit.root.put("ssl", [])
