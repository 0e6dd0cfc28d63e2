"""The commands on bridges, ports, bonds and interfaces (ovs-vsctl(8), "Bridge Commands" and on).

`Switches` is how these commands see the database: bridges by name, VLAN ("fake") bridges among
them, with the ports of each. A VLAN bridge is a port of its parent with `fake_bridge` set; the
parent's other ports with its tag count as its own.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.base.records import dataclass, field
from vswitch.cli.vsctl.errors import Exit, VsctlError
from vswitch.cli.vsctl.line import Context
from vswitch.cli.vsctl.records import assign
from vswitch.cli.vsctl.replica import Edit, Record

FAKE: Final = "fake-bridge-"
"""What external ids of a VLAN bridge begin with in its port's record."""


@dataclass(eq=False)
class BridgeView:
    """A bridge: `record` is the real one's, `port` the record that makes it a VLAN bridge."""

    name: str
    record: Record
    vlan: int = 0
    parent: BridgeView | None = None
    port: Record | None = None
    ports: list[PortView] = field(default_factory=list)


@dataclass(eq=False)
class PortView:
    """A port and the bridge, real or VLAN, that it counts as part of."""

    name: str
    record: Record
    bridge: BridgeView
    interfaces: list[InterfaceView] = field(default_factory=list)


@dataclass(eq=False)
class InterfaceView:
    """An interface and its port."""

    name: str
    record: Record
    port: PortView


@final
class Switches:
    """Everything by name, as the transaction has it now."""

    def __init__(self, edit: Edit) -> None:
        self.edit = edit
        self.bridges: dict[str, BridgeView] = {}
        self.ports: dict[str, PortView] = {}
        self.interfaces: dict[str, InterfaceView] = {}
        self._children: dict[tuple[str, int], BridgeView] = {}
        for record in edit.referenced(edit.root, "bridges"):
            bridge = BridgeView(record.text("name"), record)
            self.bridges.setdefault(bridge.name, bridge)
        for bridge in list(self.bridges.values()):
            records = edit.referenced(bridge.record, "ports")
            for record in records:
                self._add_fake(bridge, record)
            for record in records:
                self._add_port(bridge, record)

    def _add_fake(self, parent: BridgeView, record: Record) -> None:
        vlan = record.number("tag")
        if record.flag("fake_bridge") and vlan is not None:
            made = BridgeView(record.text("name"), parent.record, vlan, parent, record)
            self.bridges.setdefault(made.name, made)
            self._children.setdefault((parent.name, vlan), made)

    def _add_port(self, parent: BridgeView, record: Record) -> None:
        name = record.text("name")
        tag = record.number("tag")
        own = self.bridges.get(name)
        if own is not None and own.port is record:
            bridge = own
        else:
            bridge = parent if tag is None else self._children.get((parent.name, tag), parent)
        port = PortView(name, record, bridge)
        for interface in self.edit.referenced(record, "interfaces"):
            view = InterfaceView(interface.text("name"), interface, port)
            port.interfaces.append(view)
            self.interfaces.setdefault(view.name, view)
        if self.ports.setdefault(name, port) is port:
            bridge.ports.append(port)

    # Looking up.

    def child(self, parent: BridgeView, vlan: int) -> BridgeView | None:
        """The VLAN bridge on `vlan` of a real one."""
        return self._children.get((parent.name, vlan))

    def children(self, parent: BridgeView) -> list[BridgeView]:
        """All VLAN bridges of a real one."""
        return [b for b in self.bridges.values() if b.parent is parent]

    def bridge(self, name: str) -> BridgeView:
        """VsctlError if there is none."""
        found = self.bridges.get(name)
        if found is None:
            raise VsctlError(f"no bridge named {name}")
        return found

    def real_bridge(self, name: str) -> BridgeView:
        """VsctlError if it is none, or a VLAN bridge."""
        found = self.bridge(name)
        if found.parent is not None:
            raise VsctlError(f"{name} is a fake bridge")
        return found

    def port(self, name: str) -> PortView:
        """VsctlError if there is none; a bridge's own port counts as none."""
        found = self.ports.get(name)
        if found is None or name == found.bridge.name:
            raise VsctlError(f"no port named {name}")
        return found

    def interface(self, name: str) -> InterfaceView:
        """VsctlError if there is none; a bridge's own counts as none."""
        found = self.interfaces.get(name)
        if found is None or name == found.port.bridge.name:
            raise VsctlError(f"no interface named {name}")
        return found

    def check_conflicts(self, name: str, what: str) -> None:
        """VsctlError, beginning with `what`, if a bridge, port or interface has the name."""
        if name in self.bridges:
            raise VsctlError(f"{what} because a bridge named {name} already exists")
        if name in self.ports:
            bridge = self.ports[name].bridge.name
            raise VsctlError(f"{what} because a port named {name} already exists on bridge {bridge}")
        if name in self.interfaces:
            bridge = self.interfaces[name].port.bridge.name
            raise VsctlError(f"{what} because an interface named {name} already exists on bridge {bridge}")

    def delete_port(self, port: PortView) -> None:
        """Take a port and its interfaces away."""
        self.edit.unlink(port.bridge.record, "ports", port.record)
        for interface in port.interfaces:
            self.edit.delete(interface.record)
        self.edit.delete(port.record)


# Bridges.


def add_br(context: Context) -> None:
    """`add-br BRIDGE [PARENT VLAN]`"""
    edit, name = context.edit, context.arg(0)
    parent, vlan = context.arg(1), 0
    if not name:
        raise VsctlError("bridge name must not be empty string")
    if len(context.args) == 2:
        raise VsctlError("'add-br' command takes exactly 1 or 3 arguments")
    if parent:
        text = context.arg(2)
        vlan = int(text) if text.lstrip("+-").isdigit() else 0
        if not 0 <= vlan <= 4095:
            raise VsctlError("add-br: vlan must be between 0 and 4095")
    switches = Switches(edit)
    found = switches.bridges.get(name)
    if "may-exist" in context.options and found is not None:
        said = f'"--may-exist add-br {" ".join(context.args)}" but {name}'
        if not parent:
            if found.parent is not None:
                raise VsctlError(f"{said} is a VLAN bridge for VLAN {found.vlan}")
        elif found.parent is None:
            raise VsctlError(f"{said} is not a VLAN bridge")
        elif found.parent.name != parent:
            raise VsctlError(f"{said} has the wrong parent {found.parent.name}")
        elif found.vlan != vlan:
            raise VsctlError(f"{said} is a VLAN bridge for the wrong VLAN {found.vlan}")
        return
    switches.check_conflicts(name, f"cannot create a bridge named {name}")
    owner: BridgeView | None = None
    if parent:
        owner = switches.bridges.get(parent)
        if owner is not None and owner.parent is not None:
            raise VsctlError("cannot create bridge with fake bridge as parent")
        if owner is None:
            raise VsctlError(f"parent bridge {parent} does not exist")
        clash = switches.child(owner, vlan)
        if clash is not None:
            raise VsctlError(f"bridge {parent} already has a child VLAN bridge {clash.name} on VLAN {vlan}")
    interface = edit.insert("Interface")
    interface.put("name", name)
    interface.put("type", "internal")
    port = edit.insert("Port")
    port.put("name", name)
    edit.link(port, "interfaces", interface)
    if owner is not None:
        port.put("fake_bridge", True)
        port.put("tag", vlan)
        edit.link(owner.record, "ports", port)
    else:
        bridge = edit.insert("Bridge")
        bridge.put("name", name)
        edit.link(bridge, "ports", port)
        edit.link(edit.root, "bridges", bridge)
    context.added.append(name)


def del_br(context: Context) -> None:
    """`del-br BRIDGE`"""
    switches = Switches(context.edit)
    name = context.arg(0)
    if name not in switches.bridges and "if-exists" in context.options:
        return
    bridge = switches.bridge(name)
    for child in switches.children(bridge):
        for port in child.ports:
            switches.delete_port(port)
    for port in bridge.ports:
        switches.delete_port(port)
    if bridge.parent is None:
        context.edit.unlink(context.edit.root, "bridges", bridge.record)
        context.edit.delete(bridge.record)


def list_br(context: Context) -> None:
    """`list-br`"""
    real, fake = "real" in context.options, "fake" in context.options
    for name, bridge in sorted(Switches(context.edit).bridges.items()):
        if real == fake or fake == (bridge.parent is not None):
            context.say(name)


def br_exists(context: Context) -> None:
    """`br-exists BRIDGE`"""
    if context.arg(0) not in Switches(context.edit).bridges:
        raise Exit(2)


def br_to_vlan(context: Context) -> None:
    """`br-to-vlan BRIDGE`"""
    context.say(str(Switches(context.edit).bridge(context.arg(0)).vlan))


def br_to_parent(context: Context) -> None:
    """`br-to-parent BRIDGE`"""
    bridge = Switches(context.edit).bridge(context.arg(0))
    context.say(bridge.name if bridge.parent is None else bridge.parent.name)


def br_set_external_id(context: Context) -> None:
    """`br-set-external-id BRIDGE KEY [VALUE]`"""
    bridge = Switches(context.edit).bridge(context.arg(0))
    record, prefix = (bridge.record, "") if bridge.port is None else (bridge.port, FAKE)
    ids = record.smap("external_ids")
    ids.pop(prefix + context.arg(1), None)
    if len(context.args) > 2:
        ids[prefix + context.arg(1)] = context.arg(2)
    record.put("external_ids", ids)


def br_get_external_id(context: Context) -> None:
    """`br-get-external-id BRIDGE [KEY]`"""
    bridge = Switches(context.edit).bridge(context.arg(0))
    record, prefix = (bridge.record, "") if bridge.port is None else (bridge.port, FAKE)
    ids = {k.removeprefix(prefix): v for k, v in record.smap("external_ids").items() if k.startswith(prefix)}
    if len(context.args) > 1:
        if context.arg(1) in ids:
            context.say(ids[context.arg(1)])
        return
    for key, value in sorted(ids.items()):
        context.say(f"{key}={value}")


# Ports.


def list_ports(context: Context) -> None:
    """`list-ports BRIDGE`"""
    bridge = Switches(context.edit).bridge(context.arg(0))
    for name in sorted(p.name for p in bridge.ports if p.name != bridge.name):
        context.say(name)


def _add(context: Context, command: str, interfaces: list[str], settings: list[str]) -> None:
    """Add a port with its interfaces, unless --may-exist finds it there."""
    bridge, name = context.arg(0), context.arg(1)
    if not name:
        raise VsctlError("port name must not be empty string")
    if not all(interfaces):
        raise VsctlError("interface name must not be empty string")
    edit = context.edit
    switches = Switches(edit)
    found = switches.ports.get(name)
    if "may-exist" in context.options and found is not None:
        words = " ".join([bridge, name, *(interfaces if command == "add-bond" else ())])
        said = f'"--may-exist {command} {words}" but {name}'
        if found.bridge.name != bridge:
            raise VsctlError(f"{said} is actually attached to bridge {found.bridge.name}")
        have = sorted(i.name for i in found.interfaces)
        if have != sorted(interfaces):
            raise VsctlError(f"{said} actually has interface(s) {', '.join(have)}")
        return
    switches.check_conflicts(name, f"cannot create a port named {name}")
    for interface in interfaces:
        switches.check_conflicts(interface, f"cannot create an interface named {interface}")
    owner = switches.bridge(bridge)
    port = edit.insert("Port")
    port.put("name", name)
    for interface in interfaces:
        record = edit.insert("Interface")
        record.put("name", interface)
        edit.link(port, "interfaces", record)
    if "fake-iface" in context.options:
        port.put("bond_fake_iface", True)
    if owner.parent is not None:
        port.put("tag", owner.vlan)
    for setting in settings:
        assign(context, port, setting)
    edit.link(owner.record, "ports", port)
    context.added += interfaces


def add_port(context: Context) -> None:
    """`add-port BRIDGE PORT [COLUMN[:KEY]=VALUE]...`"""
    _add(context, "add-port", [context.arg(1)], list(context.args[2:]))


def add_bond(context: Context) -> None:
    """`add-bond BRIDGE PORT INTERFACE... [COLUMN[:KEY]=VALUE]...`"""
    rest = list(context.args[2:])
    n = next((n for n, word in enumerate(rest) if "=" in word), len(rest))
    _add(context, "add-bond", rest[:n], rest[n:])


def del_port(context: Context) -> None:
    """`del-port [BRIDGE] PORT`"""
    switches = Switches(context.edit)
    optional = "if-exists" in context.options
    target = context.args[-1]
    port: PortView | None
    if "with-iface" not in context.options:
        if target in switches.bridges:
            if optional:
                return
            raise VsctlError(
                f"cannot delete port {target} because it is the local port for bridge {target}"
                " (deleting this port requires deleting the entire bridge)"
            )
        port = switches.ports.get(target) if optional else switches.port(target)
    else:
        port = switches.ports.get(target)
        if port is None and target in switches.interfaces:
            port = switches.interfaces[target].port
        if port is None and not optional:
            raise VsctlError(f"no port or interface named {target}")
        if port is not None and port.name == port.bridge.name:
            if optional:
                return
            raise VsctlError(
                f"cannot delete port {target} because it is the local port for bridge {target}"
                " (deleting this port requires deleting the entire bridge)"
            )
    if port is None:
        return
    if len(context.args) == 2:
        bridge = switches.bridge(context.arg(0))
        if port.bridge is not bridge:
            said = f"bridge {bridge.name} does not have a port {target}"
            if port.bridge.parent is bridge:
                raise VsctlError(f"{said} (although its child bridge {port.bridge.name} does)")
            raise VsctlError(said)
    switches.delete_port(port)


def port_to_br(context: Context) -> None:
    """`port-to-br PORT`"""
    context.say(Switches(context.edit).port(context.arg(0)).bridge.name)


# Bonds and interfaces.


def add_bond_iface(context: Context) -> None:
    """`add-bond-iface BOND INTERFACE`"""
    switches = Switches(context.edit)
    bond, name = context.arg(0), context.arg(1)
    port = switches.port(bond)
    found = switches.interfaces.get(name)
    if "may-exist" in context.options and found is not None:
        if found.port is not port:
            raise VsctlError(
                f'"--may-exist add-bond-iface {bond} {name}" but {name} is actually attached to'
                f" port {found.port.name}"
            )
        return
    switches.check_conflicts(name, f"cannot create an interface named {name}")
    record = context.edit.insert("Interface")
    record.put("name", name)
    context.edit.link(port.record, "interfaces", record)
    context.added.append(name)


def del_bond_iface(context: Context) -> None:
    """`del-bond-iface [BOND] INTERFACE`"""
    switches = Switches(context.edit)
    name = context.args[-1]
    found = switches.interfaces.get(name)
    if found is None:
        if "if-exists" in context.options:
            return
        raise VsctlError(f"no interface named {name}")
    if len(context.args) == 2:
        port = switches.port(context.arg(0))
        if found.port is not port:
            raise VsctlError(f"port {port.name} does not have an interface {name}")
    if len(found.port.interfaces) < 2:
        raise VsctlError(f"cannot delete last interface from port {found.port.name}")
    context.edit.unlink(found.port.record, "interfaces", found.record)
    context.edit.delete(found.record)


def list_ifaces(context: Context) -> None:
    """`list-ifaces BRIDGE`"""
    bridge = Switches(context.edit).bridge(context.arg(0))
    for name in sorted(i.name for p in bridge.ports for i in p.interfaces if i.name != bridge.name):
        context.say(name)


def iface_to_br(context: Context) -> None:
    """`iface-to-br INTERFACE`"""
    context.say(Switches(context.edit).interface(context.arg(0)).port.bridge.name)
