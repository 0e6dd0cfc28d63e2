"""Random ports of every VLAN mode, and frames with none to three tags that NORMAL floods and learns from."""

from __future__ import annotations

import random
from typing import Final

from tests.oracle.setup import Bridge, Port, Query, Setup

MODES: Final = ("", "access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel")
VIDS: Final = (0, 1, 2, 3, 20, 22)
BITS: Final = ("no-flood", "no-receive")
ACTIONS: Final = {
    "OpenFlow10": (
        "normal", "mod_vlan_vid:22,normal", "mod_vlan_pcp:3,normal", "strip_vlan,normal", "output:2,normal",
        "normal,strip_vlan,normal", "clone(strip_vlan,normal),normal", "load:0->NXM_OF_VLAN_TCI[],normal",
    ),
    "OpenFlow13": (
        "normal", "push_vlan:0x88a8,normal", "push_vlan:0x8100,set_field:4098->vlan_vid,normal", "flood",
        "push_vlan:0x88a8,set_field:4098->vlan_vid,normal,pop_vlan,normal", "all",
    ),
}  # fmt: skip
MATCHES: Final = (
    "in_port=1", "in_port=3", "dl_vlan=2", "dl_vlan=20", "vlan_tci=0", "dl_vlan_pcp=3", "dl_type=0x8100",
    "dl_type=0x88a8", "vlan_tci=0x1000/0x1000",
)  # fmt: skip
ADDRESSES: Final = ("020000000001", "020000000002", "020000000003", "0180c2000000", "ffffffffffff",
                    "01005e000001")  # fmt: skip
PAYLOADS: Final = (
    "0800450000260001000040116500c0a80001c0a80002000100020012000068656c6c6f776f7264", "88b5" + "00" * 40,
    "0806000108000604000102000000000ac0a80001000000000000c0a80002",
)  # fmt: skip


def _vids(r: random.Random) -> str:
    return ",".join(map(str, sorted(r.sample(VIDS, r.randint(1, 4)))))


def _port(r: random.Random, number: int) -> Port:
    settings: dict[str, str] = {}
    mode = r.choice(MODES)
    if mode:
        settings["vlan_mode"] = mode
    if r.random() < (0.9 if mode not in ("", "trunk") else 0.2):
        settings["tag"] = str(r.choice(VIDS))
    if r.random() < 0.4:
        settings["trunks"] = _vids(r)
    if r.random() < 0.3:
        settings["cvlans"] = _vids(r)
    if r.random() < 0.5:
        settings["priority-tags"] = r.choice(("never", "if-nonzero", "always"))
    if r.random() < 0.5:
        settings["qinq-ethtype"] = r.choice(("802.1q", "802.1ad"))
    if r.random() < 0.15:
        settings["protected"] = "true"
    if r.random() < 0.1:
        settings[r.choice(BITS)] = ""
    return Port(f"p{number}", settings)


def _frame(r: random.Random) -> str:
    data = r.choice(ADDRESSES) + r.choice(ADDRESSES[:3])
    for _ in range(r.choice((0, 0, 1, 1, 1, 2, 2, 3))):
        tci = r.choice((0, 0, 1, 3, 7)) << 13 | r.choice((0, 0, 1)) << 12 | r.choice((*VIDS, 23))
        data += f"{r.choice(('8100', '8100', '88a8'))}{tci:04x}"
    return data + r.choice(PAYLOADS)


def random_vlan_setup(seed: int) -> Setup:
    """Six ports, a few flows and 30 frames."""
    r = random.Random(seed)
    dialect = r.choice(tuple(ACTIONS))
    bridge = Bridge("br0", ports=[_port(r, n) for n in range(1, 7)], dialect=dialect)
    actions = ACTIONS[dialect]
    bridge.flows = [f"priority=1,actions={r.choice(actions)}"]
    for priority in range(2, 2 + r.randint(0, 3)):
        bridge.flows.append(f"priority={priority},{r.choice(MATCHES)},actions={r.choice(actions)}")
    queries = [Query("br0", f"in_port={r.randint(1, 6)}", _frame(r)) for _ in range(30)]
    return Setup(f"vlan seed {seed}", [bridge], queries=queries)
