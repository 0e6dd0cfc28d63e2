"""What rows of Port and Interface ask for, as values; each row is read once a change.

With hundreds of ports almost every change concerns one of them, and turning a row's columns into
Python values is the dear part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final
from uuid import UUID

from vswitch.base.records import dataclass, field
from vswitch.bridge.columns import many, one, pairs
from vswitch.bridge.idl import Idl, Row
from vswitch.bridge.unsupported import asked_in_vain
from vswitch.dpif.types import Policing
from vswitch.netdev.registry import kind


@dataclass(frozen=True)
class InterfaceConfig:
    """A row of Interface. `type` "" is "system". `unsupported` has the columns, as written, that ask
    for what this switch does not do."""

    uuid: UUID
    name: str
    type: str = "system"
    options: Mapping[str, str] = field(default_factory=dict)
    ofport_request: int | None = None
    ofport: int | None = None
    """The number that it had when the row was read: it gets that again if it can."""
    mac: str | None = None
    mtu_request: int | None = None
    bfd: Mapping[str, str] = field(default_factory=dict)
    cfm_mpid: int | None = None
    lldp: Mapping[str, str] = field(default_factory=dict)
    policing: Policing = field(default_factory=Policing)
    other_config: Mapping[str, str] = field(default_factory=dict)
    unsupported: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PortConfig:
    """A row of Port with its interfaces, sorted by name."""

    uuid: UUID
    name: str
    interfaces: tuple[InterfaceConfig, ...] = ()
    tag: int | None = None
    trunks: frozenset[int] = frozenset()
    cvlans: frozenset[int] = frozenset()
    vlan_mode: str = ""
    protected: bool = False
    bond_mode: str = ""
    bond_updelay: int = 0
    bond_downdelay: int = 0
    bond_fake_iface: bool = False
    bond_active: str = ""
    """The address of the member that was active when the row was read."""
    lacp: str = ""
    mac: str | None = None
    qos: UUID | None = None
    other_config: Mapping[str, str] = field(default_factory=dict)
    unsupported: Mapping[str, str] = field(default_factory=dict)


@final
class ConfigCache:
    """Configurations by row; `forget` those that changed."""

    def __init__(self, idl: Idl) -> None:
        self._idl = idl
        self._interfaces: dict[UUID, InterfaceConfig] = {}
        self._ports: dict[UUID, tuple[PortConfig, list[UUID]]] = {}

    def forget(self, changed: set[UUID]) -> None:
        """Read these rows anew when they are next asked for."""
        for uuid in changed:
            self._interfaces.pop(uuid, None)
            self._ports.pop(uuid, None)

    def interface(self, row: Row) -> InterfaceConfig:
        """What a row of Interface asks for."""
        known = self._interfaces.get(row.uuid)
        if known is None:
            other = pairs(row, "other_config")
            known = self._interfaces[row.uuid] = InterfaceConfig(
                uuid=row.uuid,
                name=one(row, "name"),
                type=one(row, "type") or "system",
                options=pairs(row, "options"),
                ofport_request=one(row, "ofport_request"),
                ofport=one(row, "ofport"),
                mac=one(row, "mac"),
                mtu_request=one(row, "mtu_request"),
                bfd=pairs(row, "bfd"),
                cfm_mpid=one(row, "cfm_mpid"),
                lldp=pairs(row, "lldp"),
                policing=Policing(
                    one(row, "ingress_policing_rate"), one(row, "ingress_policing_burst"),
                    one(row, "ingress_policing_kpkts_rate"), one(row, "ingress_policing_kpkts_burst"),
                ),
                other_config=other,
                unsupported=asked_in_vain("Interface", row, other) | _unknown_options(row),
            )  # fmt: skip
        return known

    def port(self, row: Row) -> PortConfig:
        """What a row of Port and its interfaces ask for."""
        known = self._ports.get(row.uuid)
        if known is not None and all(uuid in self._interfaces for uuid in known[1]):
            return known[0]
        rows = self._idl.refs(row, "interfaces")
        other = pairs(row, "other_config")
        config = PortConfig(
            uuid=row.uuid,
            name=one(row, "name"),
            interfaces=tuple(sorted(map(self.interface, rows), key=lambda config: config.name)),
            tag=one(row, "tag"),
            trunks=frozenset(many(row, "trunks")),
            cvlans=frozenset(many(row, "cvlans")),
            vlan_mode=one(row, "vlan_mode") or "",
            protected=one(row, "protected"),
            bond_mode=one(row, "bond_mode") or "",
            bond_updelay=one(row, "bond_updelay"),
            bond_downdelay=one(row, "bond_downdelay"),
            bond_fake_iface=bool(one(row, "bond_fake_iface")),
            bond_active=one(row, "bond_active_slave") or "",
            lacp=one(row, "lacp") or "",
            mac=one(row, "mac"),
            qos=next((qos.uuid for qos in self._idl.refs(row, "qos")), None),
            other_config=other,
            unsupported=asked_in_vain("Port", row, other),
        )
        self._ports[row.uuid] = (config, [r.uuid for r in rows])
        return config


def _unknown_options(row: Row) -> dict[str, str]:
    """The options that ports of the row's type don't have."""
    known = kind(one(row, "type")).options
    if known is None:
        return {}
    options = sorted(pairs(row, "options").items())
    return {f"options:{key}": value for key, value in options if key not in known}
