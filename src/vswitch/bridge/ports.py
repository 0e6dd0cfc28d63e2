"""A row of Port as the settings of a bundle (ovs-vswitchd.conf.db(5), table Port)."""

from __future__ import annotations

from vswitch.base.vlog import Vlog
from vswitch.bridge.bonds import bond_settings, lacp_settings
from vswitch.bridge.columns import boolean
from vswitch.bridge.config import PortConfig
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.ofproto_dpif.xlate.bridge import PRIORITY_TAGS
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021AD, ETH_TYPE_VLAN_8021Q

log = Vlog("bridge")

QINQ_ETHTYPES = {"802.1q": ETH_TYPE_VLAN_8021Q, "802.1ad": ETH_TYPE_VLAN_8021AD}


def bundle_settings(port: PortConfig, names: tuple[str, ...], mac: int) -> BundleSettings:
    """How the bundle of `port`, with the interfaces `names`, treats VLANs, and what holds its links
    together. `mac` is the bridge's address."""
    other = port.other_config
    mode = port.vlan_mode
    vlan = port.tag
    if not mode and vlan is not None and port.trunks:
        log.warn("port %s: ignoring trunks in favor of implicit vlan", port.name)
    if mode == "trunk":
        vlan = None
    tags = other.get("priority-tags", "never")
    return BundleSettings(
        name=port.name,
        ports=names,
        vlan_mode=mode,
        vlan=vlan,
        trunks=port.trunks or None,
        cvlans=port.cvlans or None,
        qinq_ethtype=QINQ_ETHTYPES.get(other.get("qinq-ethtype", ""), ETH_TYPE_VLAN_8021AD),
        priority_tags=tags if tags in PRIORITY_TAGS else "never",
        protected=port.protected,
        mcast_flood=boolean(other, "mcast-snooping-flood"),
        mcast_flood_reports=boolean(other, "mcast-snooping-flood-reports"),
        bond=bond_settings(port),
        lacp=lacp_settings(port, mac),
    )
