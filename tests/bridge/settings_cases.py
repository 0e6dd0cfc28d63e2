"""What one can write into the columns of links and exports: right, at the limits and wrong, one at a time or
several at random, and what shows of it on a switch.

A `Feature` is a small configuration with its settings and the commands that show them. `seen` carries a case
out on one switch: what the database says afterwards, what those commands say, and what was logged.

Left out is what the real one (3.1) does otherwise than its manual says: stp-hello-time is milliseconds there,
enable-input-sampling and enable-output-sampling of IPFIX mean their opposites, and active_timeout=-1 of
NetFlow is ten minutes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bridge.pair import Side
from tests.oracle.real import OracleError

NUMBERS: Final = (
    "0", "1", "2", "3", "6", "10", "30", "99", "100", "240", "255", "256", "4095", "4096", "32768", "65535",
    "65536", "1000000", "200000001", "2147483647", "2147483648", "4294967296", "99999999999999999999999",
    "-1", "-3", "0x10", "010", "+7", "7x", "x", " 7", "7 ", "",
)  # fmt: skip
DECIMALS: Final = tuple(number for number in NUMBERS if number != "010")
"""For keys that the real one reads as octal after a 0."""
TRUTHS: Final = ("true", "false", "yes", "1", "", "TRUE", "off")
ADDRESSES: Final = (
    "00:11:22:33:44:55", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "0:1:2:3:4:5", "001122334455",
    "aa:bb:cc:dd:ee", "zz", "",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A record, its column or "column:key", and values for it."""

    record: str
    name: str
    values: Sequence[str]

    def words(self, value: str) -> str:
        """For ovs-vsctl, one argument a line."""
        column, _, key = self.name.partition(":")
        if key:
            return f'set\n{self.record.replace(" ", chr(10))}\n{column}:{key}="{value}"'
        return f"set\n{self.record.replace(' ', chr(10))}\n{column}={value}"


@dataclass(frozen=True)
class Feature:
    """`setup` is one line of ovs-vsctl, `looks` are runtime commands."""

    setup: str
    looks: Sequence[tuple[str, ...]]
    settings: Sequence[Setting] = field(default=())


def keyed(record: str, column: str, keys: str, values: Sequence[str]) -> list[Setting]:
    return [Setting(record, f"{column}:{key}", values) for key in keys.split()]


BRIDGE, PORT, INTERFACE = "bridge b0", "port p1", "interface p1"
TARGETS: Final = (
    "127.0.0.1", ":5", "[]", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "x:9",
    "127.0.0.1:9,127.0.0.1:10",
)  # fmt: skip
SMALL: Final = ("0", "1", "2", "10", "100", "255", "256", "-1", "65536", "4294967296")
"""For columns that are integers: the database itself refuses what is none."""
FEATURES: Final[dict[str, Feature]] = {
    "stp": Feature(
        "set bridge b0 stp_enable=true"
        + "".join(f" -- set port p{n} other_config:stp-port-num={n}" for n in (1, 2, 3)),
        (("stp/show", "b0"),),
        [
            *keyed(BRIDGE, "other_config", "stp-max-age stp-forward-delay", NUMBERS),
            # The real one takes no hexadecimal number, which ovs-vsctl(8) sets.
            *keyed(BRIDGE, "other_config", "stp-priority", [n for n in NUMBERS if n != "0x10"]),
            *keyed(BRIDGE, "other_config", "stp-system-id", ADDRESSES),
            *keyed(PORT, "other_config", "stp-port-priority stp-path-cost", NUMBERS),
            *keyed(PORT, "other_config", "stp-port-num", DECIMALS),
            *keyed(PORT, "other_config", "stp-enable", TRUTHS),
            *keyed("port bnd", "other_config", "stp-enable", TRUTHS),
        ],
    ),
    "rstp": Feature(
        "set bridge b0 rstp_enable=true"
        + "".join(f" -- set port p{n} other_config:rstp-port-num={n}" for n in (1, 2, 3)),
        (("rstp/show", "b0"),),
        [
            *keyed(
                BRIDGE,
                "other_config",
                "rstp-priority rstp-ageing-time rstp-force-protocol-version rstp-max-age"
                " rstp-forward-delay rstp-transmit-hold-count",
                NUMBERS,
            ),
            *keyed(BRIDGE, "other_config", "rstp-address", ADDRESSES),
            *keyed(PORT, "other_config", "rstp-port-priority rstp-path-cost", NUMBERS),
            *keyed(PORT, "other_config", "rstp-port-num", DECIMALS),
            *keyed(
                PORT,
                "other_config",
                "rstp-enable rstp-port-admin-edge rstp-port-auto-edge rstp-port-mcheck",
                TRUTHS,
            ),
        ],
    ),
    "both trees": Feature(
        "set bridge b0 stp_enable=true rstp_enable=true"
        + "".join(
            f" -- set port p{n} other_config:rstp-port-num={n} other_config:stp-port-num={n}"
            for n in (1, 2, 3)
        ),
        (("stp/show", "b0"), ("rstp/show", "b0")),
        [Setting(BRIDGE, "stp_enable", TRUTHS[:2])],
    ),
    "snooping": Feature(
        "set bridge b0 mcast_snooping_enable=true",
        (("mdb/show", "b0"), ("fdb/stats-show", "b0")),
        [
            *keyed(
                BRIDGE,
                "other_config",
                "mcast-snooping-aging-time mcast-snooping-table-size mac-table-size mac-aging-time",
                NUMBERS,
            ),
            *keyed(BRIDGE, "other_config", "mcast-snooping-disable-flood-unregistered", TRUTHS),
            *keyed(PORT, "other_config", "mcast-snooping-flood mcast-snooping-flood-reports", TRUTHS),
        ],
    ),
    "bond": Feature(
        "set port bnd bond_mode=balance-slb",
        (("bond/show", "bnd"), ("bond/list",)),
        [
            Setting(
                "port bnd",
                "bond_mode",
                (
                    "active-backup",
                    "balance-slb",
                    "balance-tcp",
                    "balance-rr",
                    "balance-xor",
                    "broadcast",
                    "stable",
                    "802.3ad",
                    "x",
                    "[]",
                ),
            ),
            Setting("port bnd", "bond_updelay", SMALL[:-1]),
            Setting("port bnd", "bond_downdelay", SMALL[:-1]),
            Setting("port bnd", "bond_active_slave", ("aa:bb:cc:dd:ee:ff", "[]")),
            *keyed(
                "port bnd",
                "other_config",
                "bond-hash-basis bond-miimon-interval bond-rebalance-interval",
                NUMBERS,
            ),
            *keyed("port bnd", "other_config", "bond-detect-mode", ("carrier", "miimon", "x", "")),
            *keyed("port bnd", "other_config", "bond-primary", ("p4", "p5", "p1", "x")),
            *keyed(
                "port bnd",
                "other_config",
                "lb-output-action all-members-active all-slaves-active lacp-fallback-ab",
                TRUTHS,
            ),
            Setting("port bnd", "lacp", ("active", "passive", "off", "[]")),
            Setting("port p1", "bond_mode", ("balance-tcp",)),
            Setting("port p1", "lacp", ("active", "passive", "off")),
        ],
    ),
    "bond of one active member": Feature(
        "set port bnd bond_mode=active-backup",
        (("bond/show", "bnd"), ("bond/list",)),
        keyed("port bnd", "other_config", "bond-primary", ("p4", "p5", "p1", "x")),
    ),
    "lacp": Feature(
        "set port bnd bond_mode=balance-tcp lacp=active",
        (("lacp/show", "bnd"), ("bond/show", "bnd")),
        [
            *keyed("port bnd", "other_config", "lacp-system-id", ADDRESSES),
            *keyed("port bnd", "other_config", "lacp-system-priority", NUMBERS),
            *keyed("port bnd", "other_config", "lacp-time", ("fast", "slow", "500", "x", "")),
            *keyed("port bnd", "other_config", "lacp-fallback-ab", TRUTHS),
            *keyed(
                "interface p4",
                "other_config",
                "lacp-port-id lacp-port-priority lacp-aggregation-key",
                NUMBERS,
            ),
            Setting("port bnd", "lacp", ("passive", "off", "[]")),
        ],
    ),
    "bfd": Feature(
        "set interface p1 bfd:enable=true",
        (("bfd/show", "p1"),),
        [
            *keyed(INTERFACE, "bfd", "min_rx min_tx decay_min_rx mult", NUMBERS),
            *keyed(INTERFACE, "bfd", "enable forwarding_if_rx cpath_down check_tnl_key oam", TRUTHS),
            *keyed(INTERFACE, "bfd", "bfd_local_src_mac bfd_local_dst_mac bfd_remote_dst_mac", ADDRESSES),
            *keyed(
                INTERFACE, "bfd", "bfd_src_ip bfd_dst_ip", ("10.0.0.1", "::1", "10.0.0", "0.0.0.0", "x", "")
            ),
            *keyed(INTERFACE, "bfd", "unknown", ("1",)),
        ],
    ),
    "cfm": Feature(
        "set interface p1 cfm_mpid=5",
        (("cfm/show", "p1"),),
        [
            Setting(
                INTERFACE, "cfm_mpid", ("0", "1", "8191", "8192", "65535", "65536", "4294967296", "-1", "[]")
            ),
            *keyed(INTERFACE, "other_config", "cfm_interval cfm_ccm_vlan cfm_ccm_pcp", (*NUMBERS, "random")),
            *keyed(INTERFACE, "other_config", "cfm_extended cfm_demand", TRUTHS),
            *keyed(INTERFACE, "other_config", "cfm_opstate", ("up", "down", "x", "")),
        ],
    ),
    # Mappings of bridges that are gone appear at new ports of the real one: so no autoattach/show-isid.
    "lldp": Feature(
        "set interface p1 lldp:enable=true",
        (("autoattach/status", "b0"),),
        [
            *keyed(INTERFACE, "lldp", "enable", TRUTHS),
        ],
    ),
    "mappings": Feature(
        "set interface p1 lldp:enable=true -- set bridge b0 auto_attach=@a"
        " -- --id=@a create autoattach system_name=s system_description=d mappings:5=6",
        (("autoattach/status", "b0"), ("autoattach/show-isid", "b0")),
        [
            Setting(
                "autoattach b0", "mappings:7", ("0", "1", "4095", "4096", "16777215", "16777216", "-1", "x")
            ),
            Setting("autoattach b0", "mappings:16777216", ("1",)),
            Setting("autoattach b0", "system_name", ("[]", "xx")),
            Setting("autoattach b0", "system_description", ("[]",)),
        ],
    ),
    "netflow": Feature(
        'set bridge b0 netflow=@n -- --id=@n create netflow targets="127.0.0.1:9"',
        (),
        [
            Setting("netflow b0", "targets", TARGETS),
            Setting("netflow b0", "engine_id", SMALL),
            Setting("netflow b0", "engine_type", SMALL),
            Setting("netflow b0", "active_timeout", [value for value in SMALL if value != "-1"]),
            Setting("netflow b0", "add_id_to_interface", TRUTHS[:2]),
        ],
    ),
    "sflow": Feature(
        'set bridge b0 sflow=@s -- --id=@s create sflow targets="127.0.0.1:9" agent=127.0.0.1',
        (("trace",),),
        [
            Setting("sflow .", "targets", TARGETS),
            Setting("sflow .", "agent", ("nodev", "10.1.2.3", "::1", "lo")),
            *(Setting("sflow .", column, SMALL) for column in ("sampling", "polling", "header")),
        ],
    ),
    "ipfix": Feature(
        'set bridge b0 ipfix=@i -- --id=@i create ipfix targets="127.0.0.1:9"',
        (("trace",),),
        [
            Setting("ipfix .", "targets", TARGETS),
            *(
                Setting("ipfix .", column, SMALL)
                for column in (
                    "sampling",
                    "obs_domain_id",
                    "obs_point_id",
                    "cache_active_timeout",
                    "cache_max_flows",
                )
            ),
            *keyed("ipfix .", "other_config", "enable-tunnel-sampling", TRUTHS),
            *keyed("ipfix .", "other_config", "virtual_obs_id", ("1", "x", "")),
        ],
    ),
    "collector set": Feature(
        "set bridge b0 fail_mode=secure -- --id=@b get bridge b0"
        ' -- --id=@i create ipfix targets="127.0.0.1:9"'
        " -- create flow_sample_collector_set id=1 bridge=@b ipfix=@i",
        (("trace",),),
        [
            Setting("flow_sample_collector_set .", "id", SMALL),
            Setting("flow_sample_collector_set .", "ipfix", ("[]",)),
            *(Setting("ipfix .", column, SMALL) for column in ("cache_active_timeout", "cache_max_flows")),
        ],
    ),
    "mirror": Feature(
        "set bridge b0 mirrors=@m -- --id=@p get port p2"
        " -- --id=@m create mirror name=m select_all=true output_port=@p",
        (("trace",),),
        [
            Setting("mirror m", "snaplen", ("14", "13", "0", "65535", "65536", "-1", "[]")),
            Setting("mirror m", "output_vlan", ("1", "4095", "0", "4096")),
            Setting("mirror m", "select_vlan", ("1", "0,4095", "4096")),
            Setting("mirror m", "select_all", ("false",)),
            Setting("mirror m", "output_port", ("[]",)),
            Setting("mirror m", "name", ('""', "n")),
        ],
    ),
    "qos": Feature(
        "set port p2 qos=@q -- --id=@q create qos type=linux-htb",
        (("qos/show", "p2"),),
        [
            Setting("qos p2", "type", ("linux-htb", "linux-noop", '""', "x", "linux-sfq")),
        ],
    ),
    "policing": Feature(
        "set interface p1 ingress_policing_rate=1000",
        (),
        [
            *(
                Setting(INTERFACE, f"ingress_policing_{column}", SMALL)
                for column in ("rate", "burst", "kpkts_rate", "kpkts_burst")
            ),
        ],
    ),
}

SCENE: Final = (
    "add-br b0 -- set bridge b0 datapath_type=dummy fail_mode=standalone"
    " other_config:hwaddr=aa:55:aa:55:00:01"
    + "".join(f" -- add-port b0 p{n} -- set interface p{n} type=dummy ofport_request={n}" for n in (1, 2, 3))
    + " -- add-bond b0 bnd p4 p5 -- set interface p4 type=dummy ofport_request=4"
    " -- set interface p5 type=dummy ofport_request=5"
)
TRACE: Final = "in_port=1,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:03,udp"


def single() -> Iterator[tuple[str, str]]:
    """Every value of every setting by itself: (feature, command)."""
    for name, feature in FEATURES.items():
        for setting in feature.settings:
            for value in setting.values:
                yield name, setting.words(value)


def several(rng: random.Random) -> tuple[str, str]:
    """A feature with a few of its settings at random."""
    name = rng.choice(list(FEATURES))
    settings = FEATURES[name].settings
    chosen = rng.sample(list(settings), min(len(settings), rng.randrange(2, 6)))
    return name, "\n--\n".join(setting.words(rng.choice(list(setting.values))) for setting in chosen)


VOLATILE: Final = re.compile("|".join((
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"(?<=disc: )0x[0-9a-f]+", r"(?<=Discriminator: )0x[0-9a-f]+",
    r"(?<=now )[+-]\d+ms", r"(?<=next CCM tx: )\d+ms",
    # The first of two members, and the numbers of bonds.
    r"(?<=active member mac: )[0-9a-f:]+\(p[45]\)", r"  active member\n",
    r"(?<=Recirc-ID : )\d+", r"(?<=bond-id: )\d+", r"(?<=\t)\d+\t.*",
    r"(?<=actor key: )\d+", r"(?<=aggregation key: )\d+",
    r"(?<=userspace\(pid=)\d+",
)))  # fmt: skip
"""What two switches cannot have in common."""
HEADER: Final = re.compile(r"^[0-9T:.Z-]{20,24}\|\d{5}\|", re.MULTILINE)
WARNING: Final = re.compile(r"\w+\|(WARN|ERR|EMER)\|")
RATHER_OFTEN: Final = re.compile(r"the default bond_mode|Dropped \d+ log messages")
UNORDERED: Final = ("stp/show", "rstp/show", "bond/list", "bond/show", "lacp/show")


def looks(side: Side, feature: Feature) -> dict[str, str]:
    """What the runtime commands say."""
    found = {}
    for look in feature.looks:
        try:
            said = side.appctl(*look) if look != ("trace",) else sampled(side)
        except OracleError as error:
            said = f"error: {error}"
        # Ports come in any order; mdb/show has a column more since 3.3.
        said = VOLATILE.sub("~", said).replace("VLAN  protocol  GROUP", "VLAN  GROUP")
        found[look[0]] = "\n".join(sorted(said.splitlines())) if look[0] in UNORDERED else said
    return found


def sampled(side: Side) -> str:
    """The datapath's actions for a packet that is flooded; ports, which each datapath numbers, as "N"."""
    said = side.appctl("ofproto/trace", "b0", TRACE)
    actions = said.rpartition("Datapath actions: ")[2]
    return re.sub(r"(?<=output=)\d+|(?<![^,(])\d+(?![^,)\n])|(?<=output_port=)\d+", "N", actions)


def differ(case: tuple[str, str], real: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether something shows differently, or only the real one warns. What our switch refuses aloud, by the
    name of a key of the case, the real one may have cut to some number of bits, or taken part of."""
    asked = [line for line in case[1].split("\n") if "=" in line]
    if any(line.partition(":")[2] in ours["refused"] for line in asked):
        return False
    keys = {line.split("=")[0].rpartition(":")[2] for line in asked}
    more = [said for said in ours["log"] if said not in real["log"]]
    if any(key in said for said in more for key in keys):
        return False
    if set(real["log"]) - set(ours["log"]) and not more:
        return True
    return any(real[what] != ours[what] for what in ("vsctl", "looks", "database"))


REFUSED: Final = re.compile(r'\|WARN\|(?:interface \w+: )?([\w-]+="[^"]*") is no')


def database(side: Side) -> dict[str, Any]:
    """What the database says, without counters and addresses, which dummies have of their own."""
    contents = side.contents()
    for interface in contents.get("Interface", {}).values():
        interface["statistics"] = "..."
    for port in contents.get("Port", {}).values():
        port["bond_active_slave"] = bool(port["bond_active_slave"])
        port["statistics"] = "..."
        port["status"].pop("stp_sec_in_state", None)
        port["rstp_statistics"] = sorted(port["rstp_statistics"])
    return contents


def seen(side: Side, case: tuple[str, str]) -> dict[str, Any]:
    """Carry a case out on a switch whose clock stands still; what shows of it."""
    name, command = case
    feature = FEATURES[name]
    # The real switch would give the mappings of a bridge that is gone to whatever has LLDP next.
    for setup in ("--if-exists clear autoattach b0 mappings", "--if-exists del-br b0",
                  "-- --all destroy qos -- --all destroy flow_sample_collector_set",
                  f"{SCENE} -- {feature.setup}"):  # fmt: skip
        said = side.vsctl(setup)
        assert "exit" not in said, f"{setup}: {said}"
    before = len(side.log("ovs-vswitchd"))
    code, out, err = side.try_run("ovs-vsctl", "-t", "10", *command.split("\n"))
    # A row may lose its name halfway; one that has none is a case that tries nothing.
    assert 'no row "."' not in err, f"{command}: {err}"
    for _ in range(4):
        side.appctl("time/warp", "1000")
    log = side.log("ovs-vswitchd")
    said = HEADER.split(log[before:])
    logged = {VOLATILE.sub("~", m.strip()) for m in said if WARNING.match(m) and not RATHER_OFTEN.search(m)}
    return {
        "vsctl": [code, out, VOLATILE.sub("~", re.sub(HEADER, "", err))],
        "log": sorted(logged),
        "looks": looks(side, feature),
        "database": database(side),
        "refused": sorted(set(REFUSED.findall(log))),
    }
