"""Random group tables, flows that use them, and packets, from a seed: as text, like `generator.py`."""

from __future__ import annotations

from tests.oracle.generator import IPS, MACS, N_PORTS, Generator
from tests.oracle.setup import Bridge, Port, Query, Setup

N_GROUPS = 8
WEIGHTS = [0, 1, 1, 2, 3, 5, 10, 100]
FIELDS = [
    "eth_src", "eth_dst", "eth_type", "ip_src", "ip_dst=255.255.0.0", "nw_proto", "tcp_src", "tcp_dst",
    "udp_src", "udp_dst", "ipv6_src", "ipv6_label", "vlan_vid", "vlan_pcp", "in_port", "reg1", "metadata",
    "nw_ttl", "ip_dscp", "arp_spa", "arp_op", "mpls_label", "tun_id", "icmp_type",
]  # fmt: skip


class GroupGenerator(Generator):
    """A stream of groups and of flows that use them."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, "OpenFlow15")

    def groups(self) -> list[str]:
        """Groups 1 to `N_GROUPS`, as lines for `ovs-ofctl add-groups`."""
        return [self.group(number) for number in range(1, N_GROUPS + 1)]

    def group(self, number: int) -> str:
        """One group. It may run or watch others, itself, and such as are not there."""
        rng = self.random
        kind = rng.choice(["all", "indirect", "ff", "ff", "select", "select", "select"])
        text = f"group_id={number},type={kind}"
        if kind == "select" and rng.random() < 0.6:
            method = rng.choice(["hash", "hash", "dp_hash"])
            text += f",selection_method={method}"
            if rng.random() < 0.5:
                text += f",selection_method_param={rng.choice([0, 1, 77, 1 << 32, (1 << 32) + 9, 5 << 32])}"
            if method == "hash" and rng.random() < 0.8:
                text += f",fields({','.join(rng.sample(FIELDS, rng.randint(1, 6)))})"
        n = 1 if kind == "indirect" else rng.choice([0, 1, 2, 2, 3, 4])
        ids = rng.sample(range(10), n)
        for i in range(n):
            text += f",bucket=bucket_id={ids[i]}"
            if kind == "select" and rng.random() < 0.7:
                text += f",weight:{rng.choice(WEIGHTS)}"
            text += self.watch(kind)
            text += f",actions={self.bucket_actions()}"
        return text

    def watch(self, kind: str) -> str:
        """What a bucket watches."""
        rng = self.random
        if kind not in ("ff", "select") or (kind == "select" and rng.random() < 0.7):
            return ""
        port = f",watch_port:{rng.choice([1, 2, 3, 77])}"
        group = f",watch_group:{rng.randint(1, N_GROUPS + 1)}"
        return rng.choice([port, port, group, port + group])

    def bucket_actions(self) -> str:
        """An action set: some changes, and where the packet goes."""
        rng = self.random
        changes = rng.sample([
            f"set_field:{rng.choice(MACS[:4])}->eth_dst", f"set_field:{rng.choice(IPS)}->ip_dst",
            f"set_field:{rng.choice([0, 5])}->reg1", "dec_ttl", "push_vlan:0x8100", "pop_vlan",
            f"set_queue:{rng.choice([1, 2])}", "set_field:7->tun_id", "set_field:80->tcp_dst",
            "set_field:9->metadata", "mod_nw_ttl:9",
        ], rng.choice([0, 0, 1, 2, 3]))  # fmt: skip
        end = rng.choice([
            f"output:{rng.randint(1, N_PORTS)}", f"output:{rng.randint(1, N_PORTS)}", "output:in_port",
            f"group:{rng.randint(1, N_GROUPS + 1)}", "normal", f"resubmit(,{rng.randint(1, 3)})",
            "output:controller", "output:9,group:3", "",
        ])  # fmt: skip
        return ",".join([*changes, *([end] if end else [])])

    def group_flows(self) -> list[str]:
        """Flows over four tables, for kinds of packets that their actions suit."""
        rng = self.random
        flows = []
        for table in range(4):
            for kind in ("tcp", "udp", "ip", "ipv6", "arp", "mpls", ""):
                if rng.random() < (0.8 if table == 0 else 0.4):
                    priority = 100 if kind in ("tcp", "udp") else 10 if kind else 1
                    match = f"table={table},priority={priority}" + (f",{kind}" if kind else "")
                    flows.append(f"{match},actions={self.group_actions(table, kind)}")
        return flows

    def group_actions(self, table: int, kind: str) -> str:
        """Actions with groups among them, in an order that OpenFlow 1.5 can say."""
        rng = self.random
        pool = [f"group:{rng.randint(1, N_GROUPS)}", f"group:{rng.randint(1, N_GROUPS)}",
                f"output:{rng.randint(1, N_PORTS)}", f"set_field:{rng.choice(MACS[:4])}->eth_src",
                f"clone(group:{rng.randint(1, N_GROUPS)})", "set_field:3->reg1"]  # fmt: skip
        if kind in ("tcp", "udp", "ip"):
            pool += ["dec_ttl", f"set_field:{rng.choice(IPS)}->ip_src"]
        if kind == "mpls":
            used = [f"group:{rng.randint(1, N_GROUPS)}" for _ in range(rng.randint(1, 2))]
            return ",".join(["pop_mpls:0x0800", *used])
        actions = rng.sample(pool, rng.randint(1, 3))
        if rng.random() < 0.25:
            written = [f"group:{rng.randint(1, N_GROUPS)}", "output:2", "set_field:1->reg1"]
            actions.append(f"write_actions({','.join(rng.sample(written, rng.randint(1, 3)))})")
        if table < 3 and rng.random() < 0.3:
            actions.append(f"goto_table:{rng.randint(table + 1, 3)}")
        return ",".join(actions)


def random_group_setup(seed: int, n_packets: int = 20) -> Setup:
    """A bridge with groups and flows that use them, and packets to trace: half with a dp_hash."""
    generator = GroupGenerator(seed)
    bridge = Bridge("br0", ports=[Port(f"p{n}") for n in range(1, N_PORTS + 1)], dialect="OpenFlow15")
    bridge.groups = generator.groups()
    bridge.flows = generator.group_flows()
    queries: list[Query] = []
    while len(queries) < n_packets:
        text = generator.packet()
        if generator.random.random() < 0.5:
            text += f",dp_hash={generator.random.getrandbits(32) or 1}"
        queries.append(Query("br0", text))
    return Setup(f"groups of seed {seed}", [bridge], queries=queries)
