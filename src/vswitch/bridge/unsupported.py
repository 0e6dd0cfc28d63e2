"""What the database can ask for and the switch does not do: one table, said once each, with column and value.

Every column of the schema is a status (`columns.STATUS_COLUMNS`), acted on, or a gap; so is every key of
`other_config` that Open vSwitch knows; other keys belong to whoever set them. A feature moves its rows from
`GAPS` to `ACTED_ON`; a test holds both against the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, final

from vswitch.base.records import dataclass
from vswitch.base.vlog import Level, Vlog

log = Vlog("bridge")

OFF: Final = frozenset(("", "false", "0", "off"))
"""Values that ask for nothing."""
KEYED: Final = "other_config"

ACTED_ON: Final[Mapping[str, frozenset[str]]] = {
    table: frozenset(words.split())
    for table, words in {
        "Open_vSwitch": """
            bridges datapaths manager_options next_cfg ssl
            other_config:accept-unsupported-flows
            other_config:bundle-idle-timeout other_config:enable-statistics other_config:flow-limit
            other_config:explicit-sampled-drops
            other_config:flow-restore-wait other_config:max-idle other_config:max-revalidator
            other_config:stats-update-interval other_config:vlan-limit
        """,
        "Bridge": """
            auto_attach controller datapath_type fail_mode flood_vlans flow_tables ipfix mirrors name netflow
            ports protocols sflow
            other_config:controller-queue-size other_config:datapath-id other_config:disable-in-band
            other_config:dp-desc other_config:dp-sn
            other_config:forward-bpdu other_config:hwaddr other_config:in-band-queue
            other_config:mac-aging-time other_config:mac-table-size
            stp_enable rstp_enable mcast_snooping_enable other_config:mcast-snooping-aging-time
            other_config:mcast-snooping-table-size other_config:mcast-snooping-disable-flood-unregistered
            other_config:stp-system-id other_config:stp-priority other_config:stp-hello-time
            other_config:stp-max-age other_config:stp-forward-delay other_config:rstp-address
            other_config:rstp-priority other_config:rstp-ageing-time other_config:rstp-force-protocol-version
            other_config:rstp-max-age other_config:rstp-forward-delay other_config:rstp-transmit-hold-count
        """,
        "Datapath": "ct_zones",
        "CT_Zone": "timeout_policy",
        "CT_Timeout_Policy": "timeouts",
        "Port": """
            bond_downdelay bond_fake_iface bond_mode bond_updelay cvlans fake_bridge interfaces lacp
            mac name protected qos tag trunks vlan_mode
            other_config:priority-tags other_config:qinq-ethtype other_config:transient
            other_config:stp-enable other_config:stp-port-num other_config:stp-port-priority
            other_config:stp-path-cost other_config:rstp-enable other_config:rstp-port-priority
            other_config:rstp-port-num other_config:rstp-path-cost other_config:rstp-port-admin-edge
            other_config:rstp-port-auto-edge other_config:rstp-port-mcheck
            other_config:mcast-snooping-flood other_config:mcast-snooping-flood-reports
            other_config:bond-hash-basis other_config:bond-primary other_config:bond-detect-mode
            other_config:bond-miimon-interval other_config:bond-rebalance-interval
            other_config:lb-output-action
            other_config:all-members-active other_config:lacp-system-id other_config:lacp-system-priority
            other_config:lacp-time other_config:lacp-fallback-ab
        """,
        "Interface": """
            bfd cfm_mpid ingress_policing_burst ingress_policing_kpkts_burst ingress_policing_kpkts_rate
            ingress_policing_rate lldp mac mtu_request name ofport_request options type
            other_config:cfm_ccm_pcp other_config:cfm_ccm_vlan other_config:cfm_demand
            other_config:cfm_extended other_config:cfm_interval other_config:cfm_opstate
            other_config:lacp-port-id other_config:lacp-port-priority other_config:lacp-aggregation-key
        """,
        "NetFlow": "active_timeout add_id_to_interface engine_id engine_type targets",
        "IPFIX": """
            cache_active_timeout cache_max_flows obs_domain_id obs_point_id sampling targets
            other_config:enable-input-sampling other_config:enable-output-sampling
            other_config:enable-tunnel-sampling other_config:stats_interval other_config:template_interval
            other_config:virtual_obs_id
        """,
        "Flow_Sample_Collector_Set": "bridge id ipfix local_group_id",
        "sFlow": "agent header polling sampling targets",
        "AutoAttach": "mappings system_description system_name",
        "Flow_Table": "flow_limit groups name overflow_policy prefixes",
        "QoS": """
            queues type other_config:flows other_config:interval other_config:latency other_config:limit
            other_config:loss other_config:max-rate other_config:perturb other_config:quantum
            other_config:target other_config:jitter
            other_config:cir other_config:cbs other_config:eir other_config:ebs
        """,
        "Queue": """
            dscp other_config:burst other_config:max-rate other_config:min-rate other_config:priority
            other_config:cir other_config:cbs other_config:eir other_config:ebs
        """,
        "Mirror": """
            filter name output_port output_vlan select_all select_dst_port select_src_port select_vlan snaplen
        """,
        "Controller": """
            connection_mode controller_burst_limit controller_queue_size controller_rate_limit
            enable_async_messages inactivity_probe local_gateway local_ip local_netmask max_backoff
            target type other_config:dscp
        """,
        # The database server follows these.
        "Manager": "connection_mode inactivity_probe max_backoff other_config target",
        "SSL": "bootstrap_ca_cert ca_cert certificate private_key",
    }.items()
}
"""Table -> the columns that are acted on, and the keys of `other_config`."""

MEANINGLESS: Final[Mapping[str, frozenset[str]]] = {
    "Open_vSwitch": frozenset(
        # Threads: there is one. Every flow is revalidated, whatever its rate. The files belong to other
        # programs.
        ("other_config:n-handler-threads", "other_config:n-revalidator-threads",
         "other_config:n-offload-threads", "other_config:min-revalidate-pps",
         "other_config:private_key", "other_config:certificate", "other_config:ca_cert")
    ),
}  # fmt: skip
"""Keys that change nothing that one could see."""


@dataclass(frozen=True)
class Gap:
    """A column of `table`, or `other_config:KEY` with a pattern for KEY, that nothing comes of.

    `done`: values that are acted on.
    """

    table: str
    column: str
    done: frozenset[str] = frozenset()


GAPS: Final = (
    # Hardware offload, DPDK, and threads of the userspace datapath.
    *(Gap("Open_vSwitch", f"other_config:{key}") for key in (
        "hw-offload", "offload-rebalance", "tc-policy", "dpdk-*", "vhost-*", "per-port-memory",
        "shared-mempool-config", "pmd-*", "smc-enable", "tx-flush-interval", "emc-insert-inv-prob",
        "userspace-tso-enable", "ipsec_skb_mark",
    )),
    *(Gap("Interface", f"other_config:{key}") for key in ("emc-enable", "pmd-rxq-affinity", "tx-steering")),
    Gap("QoS", "type", done=frozenset(
        ("egress-policer", "trtcm-policer",
         *(f"linux-{name}" for name in ("htb", "hfsc", "sfq", "codel", "fq_codel", "netem", "noop"))))),
)  # fmt: skip


WHOLE_COLUMNS: Final[Mapping[str, tuple[Gap, ...]]] = {
    table: tuple(gap for gap in GAPS if gap.table == table and not gap.column.startswith(f"{KEYED}:"))
    for table in ACTED_ON
}


def asked_in_vain(table: str, row: Any, other: Mapping[str, str]) -> dict[str, str]:
    """What a row of `table`, with `other` for its other_config, asks for that is not done: column or
    `other_config:KEY` -> value as written."""
    asked: dict[str, str] = {}
    for gap in WHOLE_COLUMNS.get(table, ()):
        text = _written(getattr(row, gap.column))
        if text not in OFF and text not in gap.done:
            asked[gap.column] = text
    for key, value in sorted(other.items()):
        if value not in OFF and _is_gap(table, f"{KEYED}:{key}"):
            asked[f"{KEYED}:{key}"] = value
    return asked


def _is_gap(table: str, column: str) -> bool:
    return any(gap.table == table and fnmatchcase(column, gap.column) for gap in GAPS)


def unknown(table: str, row: Any) -> dict[str, str]:
    """The keys of `other_config` in a row of `table` that Open vSwitch doesn't know either, as
    `other_config:KEY` -> value."""
    found: dict[str, str] = {}
    for key, value in sorted(getattr(row, KEYED, {}).items()):
        column = f"{KEYED}:{key}"
        if not (column in ACTED_ON.get(table, ()) or column in MEANINGLESS.get(table, ())
                or _is_gap(table, column)):
            found[column] = value
    return found


def _written(value: Any) -> str:
    """A column's value in the tools' notation. "" if it is empty or a map whose every value is off."""
    if isinstance(value, dict):
        if all(v in OFF for v in value.values()):
            return ""
        return "{" + ", ".join(f"{k}={v}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return ", ".join(_written(v) for v in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


@final
class Unsupported:
    """What was warned of already."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str, str]] = set()

    def warn(self, row: str, column: str, value: object, instead: str = "") -> None:
        """`column` of `row` ("port p1") has `value`, which is not acted on; `instead` says what is done."""
        key = (row, column, str(value))
        if key in self._said:
            return
        self._said.add(key)
        log.warn("%s: %s=%s is not supported%s", row, column, value, f"; {instead}" if instead else "")

    def warn_all(self, row: str, columns: Mapping[str, str]) -> None:
        """The same for several columns of a row."""
        for column, value in columns.items():
            self.warn(row, column, value)

    def look_at(self, name: str, table: str, row: Any) -> None:
        """Warn of everything that `row` of `table`, which warnings call `name`, asks for in vain."""
        self.warn_all(name, asked_in_vain(table, row, getattr(row, KEYED, {})))
        if log.enabled(Level.DBG):
            for column, value in unknown(table, row).items():
                log.dbg("%s: %s=%s: unknown key", name, column, value)
