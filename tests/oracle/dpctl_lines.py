"""Random command lines about a datapath's flows and connections: `dpctl/add-flow` and its like with keys,
masks and actions of every kind, `dump-flows` with filters, `normalize-actions`, `parse-actions`, `ct-...`.

They go to a datapath of their own, which no bridge has: bridges change flows that others put into theirs.
"""

from __future__ import annotations

import contextlib
import random
from typing import Any, Final

from tests.oracle.flow_words import FlowWords
from tests.oracle.odp_words import OdpWords
from tests.oracle.real import OracleError

DATAPATH: Final = "dummy@fuzz"
UFIDS: Final = [f"ufid:{n:08x}-0000-0000-0000-00000000000{n}" for n in range(1, 5)]
LIMITS: Final = ("0", "1", "5", "4294967295", "4294967296", "-1", "x", "")


def prepare(side: Any) -> None:
    """The datapath, empty, with two ports."""
    finish(side)
    side.appctl("dpctl/add-dp", DATAPATH)
    side.appctl("dpctl/add-if", DATAPATH, "p1,type=dummy", "p2,type=dummy")


def finish(side: Any) -> None:
    """Take the datapath away."""
    with contextlib.suppress(OracleError):
        side.appctl("dpctl/del-dp", DATAPATH)


class DpctlLines:
    """A stream of command lines, each as its words."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.words = FlowWords(self.rng)
        self.odp = OdpWords(self.rng)
        self.keys: list[str] = []

    def line(self) -> list[str]:
        """A command with its arguments."""
        rng = self.rng
        command, *words = rng.choices(
            [
                self.add,
                self.mod,
                self.delete,
                self.get,
                self.dump,
                self.normalize,
                self.parse,
                self.connections,
            ],
            [30, 12, 10, 3, 12, 15, 15, 10],
        )[0]()
        # The real switch dies of normalize-actions with an option in place of an argument.
        spoil = rng.random() < 0.02 and words and not command.startswith("ct-")
        if spoil and not (command == "normalize-actions" and "--names" in words):
            del words[rng.randrange(len(words))]
        if rng.random() < 0.02:
            words.insert(
                rng.randrange(len(words) + 1), rng.choice(["", "x", "-m", "--names", DATAPATH, "-s", "-z"])
            )
        return [f"dpctl/{command}", *words]

    def key(self) -> str:
        """A flow, of before more often than not where that is what to look for."""
        rng = self.rng
        key = self.odp.key()
        if rng.random() < 0.12:
            key = f"{rng.choice([*UFIDS, 'ufid:1', 'ufid:'])}{rng.choice([',', ', ', ' '])}{key}"
        self.keys = [*self.keys[-20:], key]
        return key

    def old_key(self) -> str:
        return self.rng.choice(self.keys) if self.keys and self.rng.random() < 0.7 else self.key()

    def add(self) -> list[str]:
        return ["add-flow", DATAPATH, self.key(), self.odp.actions()]

    def mod(self) -> list[str]:
        return ["mod-flow", DATAPATH, self.old_key(), self.odp.actions()]

    def delete(self) -> list[str]:
        return ["del-flow", DATAPATH, self.old_key()]

    def get(self) -> list[str]:
        return [
            "get-flow",
            *self.rng.choice([[], ["--names"], ["-m"]]),
            DATAPATH,
            self.rng.choice([*UFIDS, "ufid:5", "x", ""]),
        ]

    def dump(self) -> list[str]:
        rng = self.rng
        words = []
        if rng.random() < 0.7:
            words.append(f"filter={self.words.flow()}")
        if rng.random() < 0.15:
            words.append(f"type={rng.choice(['ovs', 'all', 'offloaded', 'tc', 'x', 'ovs,tc', ''])}")
        if rng.random() < 0.1:
            words.append(f"pmd={rng.choice(['-1', '0', 'x', ''])}")
        return ["dump-flows", *rng.choice([[], ["-m"], ["--names"], ["--names", "-m"]]), DATAPATH, *words]

    def normalize(self) -> list[str]:
        return [
            "normalize-actions",
            *self.rng.choice([[], [], ["--names"]]),
            self.odp.key(masks=False),
            self.odp.actions(),
            *self.rng.choice([[], [], ["p1=1", "p2=2"], ["p1=x"]]),
        ]

    def parse(self) -> list[str]:
        return ["parse-actions", self.odp.actions()]

    def connections(self) -> list[str]:
        """A command about connections. The real switch dies of ct-get-limits, of ct-set-limits and
        ct-del-limits that name nothing, and of flush-conntrack with a tuple without a protocol."""
        rng = self.rng
        zone = rng.choice(["zone=0", "zone=5", "zone=65535", "zone=65536", "zone=x", "zone=-1", "zone=1,2"])
        limit = rng.choice(LIMITS)
        kind = rng.choice(
            [
                "dump-conntrack",
                "flush-conntrack",
                "ct-stats-show",
                "ct-bkts",
                "ct-set-maxconns",
                "ct-get-maxconns",
                "ct-get-nconns",
                "ct-enable-tcp-seq-chk",
                "ct-disable-tcp-seq-chk",
                "ct-get-tcp-seq-chk",
                "ct-set-limits",
                "ct-del-limits",
                "ipf-set-enabled",
                "ipf-set-disabled",
                "ipf-set-min-frag",
                "ipf-set-max-nfrags",
                "ipf-get-status",
            ]
        )
        words = {
            "dump-conntrack": ([], [zone]),
            "ct-stats-show": ([], [zone]),
            "ct-set-maxconns": ([limit],),
            "flush-conntrack": (
                [],
                [zone],
                [zone, "ct_nw_src=10.0.0.1,ct_nw_proto=6"],
                ["ct_nw_src=10.0.0.1,ct_nw_proto=17,ct_tp_src=5"],
                ["x=5"],
                ["ct_nw_proto=1,icmp_type=8"],
                ["ct_nw_src=x,ct_nw_proto=6"],
            ),
            "ct-bkts": ([], ["gt=5"], ["gt=x"], ["gt="]),
            "ct-set-limits": (
                [f"zone=1,limit={limit}"],
                [f"default={limit}"],
                ["zone=1"],
                [zone],
                ["default=5", "zone=2,limit=3"],
                ["zone=2,limit=3", "default=5"],
                ["limit=3,zone=2"],
            ),
            "ct-del-limits": ([zone], ["zone=1", "zone=2"]),
            "ipf-set-enabled": (["v4"], ["v6"], ["x"], []),
            "ipf-set-disabled": (["v4"], ["v6"], ["x"]),
            "ipf-set-min-frag": (["v4", limit], ["v6", "1280"], ["v4", "1000"], ["x", "5"]),
            "ipf-set-max-nfrags": ([limit], ["500"]),
        }.get(kind, ([],))
        return [
            kind,
            *rng.choice([[], ["-m"], ["-s"]] if "conntrack" in kind and "flush" not in kind else [[]]),
            DATAPATH,
            *rng.choice(words),
        ]
