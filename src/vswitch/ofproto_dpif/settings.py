"""How ports, bundles and mirrors are asked for: values, as the database's rows give them."""

from __future__ import annotations

from typing import final

from vswitch.base.records import dataclass
from vswitch.flow.match import Match
from vswitch.l2.bond import BondSettings
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021AD


class SettingsError(OSError):
    """Settings that cannot be: errno EINVAL or EFBIG, and a text that names bridge and setting."""


@dataclass(frozen=True)
class LacpSettings:
    """Port.lacp and other_config:lacp-*. `members`: per interface its port id (0: the OpenFlow number),
    priority and aggregation key (0: the bundle's)."""

    active: bool
    fast: bool
    sys_id: int
    sys_priority: int
    fallback_ab: bool
    members: tuple[tuple[str, tuple[int, int, int]], ...] = ()


@dataclass(frozen=True)
class BundleSettings:
    """A row of the database's Port table, as far as forwarding goes.

    `ports` are names of the bridge's ports. `vlan_mode` "" means access if `vlan` is given and
    trunk otherwise. `trunks` and `cvlans` None allow all VLANs. `priority_tags` is one of
    "never", "if-nonzero", "always". `bond` None: whatever the ports are, the first is used.
    """

    name: str
    ports: tuple[str, ...]
    vlan_mode: str = ""
    vlan: int | None = None
    trunks: frozenset[int] | None = None
    cvlans: frozenset[int] | None = None
    qinq_ethtype: int = ETH_TYPE_VLAN_8021AD
    priority_tags: str = "never"
    protected: bool = False
    mcast_flood: bool = False
    """Whether all multicast packets go here while the bridge snoops, and all reports."""
    mcast_flood_reports: bool = False
    bond: BondSettings | None = None
    lacp: LacpSettings | None = None


@dataclass(frozen=True)
class MirrorSettings:
    """A row of the Mirror table. `srcs`, `dsts` and `out` are bundles' keys.

    `select_all` selects every bundle both ways; `vlans` None every VLAN; `filter` None every flow. One of
    `out` and `out_vlan` is given.
    """

    name: str
    srcs: tuple[object, ...] = ()
    dsts: tuple[object, ...] = ()
    select_all: bool = False
    vlans: frozenset[int] | None = None
    out: object | None = None
    out_vlan: int | None = None
    snaplen: int = 0
    filter: Match | None = None


@final
class PortSpec:
    """How a port was asked for, so that its device can be attached again when it returns."""

    def __init__(self, name: str, type: str, ofp_port: int, options: dict[str, str]) -> None:
        self.name: str = name
        self.type: str = type
        self.ofp_port: int = ofp_port
        self.options: dict[str, str] = options
