"""Random flow tables that track connections, encapsulate, and ask for packet lengths.

As `generator.py`, from a seed. Recirculations only lead to later tables, so that every trace ends.
Dialect OpenFlow13 or later: encap has no older encoding. No action sets: the real switch fails an
assertion when a packet that has one is recirculated.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.oracle.generator import IP6S, IPS, OVER_IPV4, OVER_IPV6, Generator, Kind
from tests.oracle.setup import Bridge, Port, Query, Setup

N_TABLES = 6
N_PORTS = 4
STATES = ["-trk", "+trk", "+trk+new", "+trk+est", "+trk-inv", "+trk+rel", "+trk+new-rpl", "+trk+inv"]
VALID = ("+new", "+est", "+rel", "-inv")
"""Of a state, what makes the original tuple known."""


class CtGenerator(Generator):
    """Tables and packets for the actions of `ct.py`, `encap.py` and `check_pkt.py`."""

    def packet(self) -> str:
        """A packet, sometimes one that a tracker has seen."""
        rng = self.random
        text = super().packet()
        while "nw_frag=later" in text or (rng.random() < 0.7 and "nw_tos" not in text):
            text = super().packet()
        text = text.replace("in_port=5", "in_port=1").replace("in_port=6", "in_port=2")
        kind = next((k for k in (*OVER_IPV4, *OVER_IPV6) if f",{k}," in text), "")
        if kind and rng.random() < 0.3:
            text += f",ct_state={rng.choice(['est|trk', 'new|trk', 'trk', 'est|rpl|trk', 'inv|trk'])}"
            text += f",ct_zone={rng.randrange(3)},ct_mark={rng.choice([0, 5, 0x55])}"
            if rng.random() < 0.7 and "ct_state=trk," not in text and "inv" not in text:
                six = kind in OVER_IPV6
                src, dst = rng.choice(IP6S if six else IPS), rng.choice(IP6S if six else IPS)
                name = "ipv6" if six else "nw"
                text += f",ct_{name}_src={src},ct_{name}_dst={dst},ct_nw_proto={rng.choice([6, 17])}"
        return text

    def flow(self, table: int, match_all: bool = False) -> str:
        """One flow of `table`."""
        rng = self.random
        kind, match = self.match(table)
        if match_all or (kind.name not in (*OVER_IPV4, *OVER_IPV6) and rng.random() < 0.6):
            kind = rng.choice([Kind("ip"), Kind("ip"), Kind("tcp"), Kind("ipv6")])
            match = [kind.name, *(f"in_port={self.port()}" for _ in range(rng.randrange(2)) if not match_all)]
        state = ""
        if kind.name in (*OVER_IPV4, *OVER_IPV6) and rng.random() < 0.5:
            state = rng.choice(STATES)
            match.append(f"ct_state={state}")
            if rng.random() < 0.3:
                match.append(rng.choice(["ct_zone=1", "ct_mark=0x5/0xf", "ct_mark=0", "ct_label=0x1/0x1"]))
        parts = [f"table={table}", f"priority={rng.choice([0, 1, 10, 100, 1000])}", *match]
        return f"{','.join(parts)} actions={self.tracking(table, kind, ','.join(match), state)}"

    def tracking(self, table: int, kind: Kind, match: str, state: str) -> str:
        """Actions for packets of `kind` in `table`."""
        rng = self.random
        ip = kind.name in (*OVER_IPV4, *OVER_IPV6)
        pool: list[Callable[[], str]] = [
            self.out,
            self.out,
            lambda: self.onward(table),
            lambda: self.onward(table),
            self.register,
            self.ethernet,
            self.stack,
            lambda: "ct_clear",
            lambda: (f"check_pkt_larger({rng.choice([64, 1000, 1500])})->"
                     f"reg{rng.randrange(3)}[{rng.randrange(4)}]"),
            lambda: f"clone({self.ethernet()},{self.out()})",
            lambda: self.l3(kind, match),
        ]
        if ip:
            pool += [*(lambda: self.ct(table, kind, state),) * 10]
            pool += [lambda: f"clone({self.ct(table, kind, state)},{self.out()})"]
            if any(word in state for word in VALID) and table < N_TABLES - 1:
                pool += [*(lambda: f"resubmit(,{rng.randrange(table + 1, N_TABLES)},ct)",) * 3]
        chosen = [rng.choice(pool)() for _ in range(rng.choice([1, 2, 2, 3, 4]))]
        if rng.random() < 0.15:
            return ",".join([*chosen, self.wrapped(ip)])
        if table < N_TABLES - 1 and rng.random() < 0.3:
            chosen.append(f"goto_table:{rng.randrange(table + 1, N_TABLES)}")
        return ",".join(chosen)

    def out(self) -> str:
        return f"output:{self.random.randrange(1, N_PORTS + 2)}"

    def onward(self, table: int) -> str:
        """A resubmit to a later table."""
        if table >= N_TABLES - 1:
            return self.out()
        return f"resubmit(,{self.random.randrange(table + 1, N_TABLES)})"

    def ct(self, table: int, kind: Kind, state: str) -> str:
        """A ct action with some of its parts."""
        rng = self.random
        words = []
        commit = rng.random() < 0.5 and "+inv" not in state
        if commit:
            words.append("commit")
            if rng.random() < 0.2:
                words.append("force")
        if table < N_TABLES - 1 and rng.random() < 0.6:
            words.append(f"table={rng.randrange(table + 1, N_TABLES)}")
        if rng.random() < 0.5:
            words.append(rng.choice(["zone=1", "zone=2", "zone=NXM_NX_REG0[0..15]", "zone=NXM_NX_CT_ZONE[]",
                                     "zone=NXM_OF_IN_PORT[]"]))  # fmt: skip
        if rng.random() < 0.4:
            words.append(self.nat(kind.name in OVER_IPV6, commit))
        if commit and rng.random() < 0.5:
            words.append(rng.choice([
                "exec(set_field:0x5->ct_mark)", "exec(set_field:0x5/0xf->ct_mark,set_field:0x1->ct_label)",
                "exec(move:NXM_NX_REG1[]->NXM_NX_CT_MARK[])",
                "exec(move:NXM_OF_ETH_SRC[0..15]->NXM_NX_CT_LABEL[16..31])",
                "exec(set_field:0x10000000000000001/0xf000000000000000f->ct_label)",
            ]))  # fmt: skip
        return f"ct({','.join(words)})"

    def nat(self, six: bool, commit: bool) -> str:
        """A nat part, which has addresses only where connections are committed."""
        rng = self.random
        if not commit or rng.random() < 0.2:
            return "nat"
        low = "fe80::7" if six else "10.9.0.1"
        high = rng.choice(["", "", "-fe80::9" if six else "-10.9.0.9"])
        ports = rng.choice(["", "", ":80", ":1000-2000"])
        if six and ports:
            low, high = f"[{low}]", high and f"-[{high[1:]}]"
        flags = rng.choice(["", "", ",random", ",hash", ",persistent", ",persistent,random"])
        return f"nat({rng.choice(['src', 'dst'])}={low}{high}{ports}{flags})"

    def wrapped(self, ip: bool) -> str:
        """A header put around, and taken off again or not; ends what can be done with the packet."""
        label = [f"encap(mpls),set_field:77->mpls_label,encap(ethernet),{self.out()}"] if ip else []
        return self.random.choice([
            *label,
            f"encap(nsh),set_field:0x123->nsh_spi,encap(ethernet),{self.out()}",
            f"encap(nsh(md_type=1)),set_field:0x5->nsh_c2,encap(ethernet),set_field:00:00:00:00:00:09->eth_dst,{self.out()}",
            f"encap(nsh(md_type=2,tlv(0x1000,10,0x12345678))),encap(ethernet),{self.out()}",
            f"decap(),encap(ethernet),{self.ethernet()},{self.out()}",
            f"decap(),{self.out()}",
        ])  # fmt: skip


def random_ct_setup(seed: int, n_flows: int = 30, n_queries: int = 20) -> Setup:
    """A bridge with random flows, and packets to trace."""
    generator = CtGenerator(seed, "OpenFlow15")
    ports = [Port(f"p{n}") for n in range(1, N_PORTS + 1)]
    bridge = Bridge("br0", {}, ports, generator.flows(n_flows), [], "OpenFlow15")
    setup = Setup(f"ct seed {seed}", [bridge])
    setup.queries = [Query("br0", generator.packet()) for _ in range(n_queries)]
    return setup
