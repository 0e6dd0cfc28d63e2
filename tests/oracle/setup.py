"""What a case asks of a switch, as plain values, and the text that it is written in.

A case file is a list of setups, each a few lines and then its traces:

    setup access and trunk
    bridge br0
    port p1 tag=10
    port p2 trunks=10,20
    flow actions=normal
    learn in_port=2,vlan_tci=0x100a,dl_src=...      a packet that teaches the MAC table
    > in_port=1,udp,dl_dst=...                      one case: a flow to trace
    > in_port=1 0800...                             the same with the packet's bytes

A port is `port NAME [SETTING=VALUE]...` with the settings of the database's Port table (`tag`,
`trunks`, `vlan_mode`, `cvlans`, `priority-tags`, `qinq-ethtype`, `protected`), `no-flood` and
its like for OFPPC_* bits, and `peer=NAME`, which makes it a patch port. Ports get OpenFlow
numbers 1, 2, ... within their bridge. `flow` and `group` lines take the syntax of ovs-ofctl, `dialect`
the OpenFlow version that carries them: OpenFlow10 (with the Nicira extensions) unless said.
`only traces` in a setup says that its packets are not to be received in earnest: they need connection
tracking, or hold in their payload what a flow can't say.
`#` starts a comment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Port:
    """A port of a bridge: `settings` as in the file."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Bridge:
    """A bridge with its ports and flows. `miss`: table and setting for OpenFlow 1.1's mod-table; `tlvs`:
    class, type, length and field of tunnel options."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    ports: list[Port] = field(default_factory=list)
    flows: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    dialect: str = "OpenFlow10"
    miss: str = ""
    tlvs: list[tuple[int, int, int, int]] = field(default_factory=list)


@dataclass
class Query:
    """One thing to ask: trace `flow` on `bridge`, with the bytes of `packet` if there are any."""

    bridge: str
    flow: str
    packet: str = ""

    def __str__(self) -> str:
        return f"{self.flow} {self.packet}".strip()


@dataclass
class Setup:
    """Bridges, what they learn first, and what they are asked then."""

    name: str
    bridges: list[Bridge] = field(default_factory=list)
    learn: list[Query] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)
    only_traces: bool = False


def read_setups(path: Path) -> Iterator[Setup]:
    """The setups of a case file, in order."""
    setup: Setup | None = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        word, _, rest = text.partition(" ")
        rest = rest.strip()
        if word == "setup":
            if setup is not None:
                yield setup
            setup = Setup(f"{path.stem}: {rest}")
            continue
        assert setup is not None, f"{path.name}:{number}: a file starts with a setup"
        add_line(setup, word, rest, f"{path.name}:{number}")
    if setup is not None:
        yield setup


def add_line(setup: Setup, word: str, rest: str, where: str) -> None:
    """Take one line of a setup."""
    if word == "only":
        assert rest == "traces", f"{where}: only what?"
        setup.only_traces = True
        return
    if word == "bridge":
        name, *settings = rest.split()
        setup.bridges.append(Bridge(name, settings_of(settings)))
        return
    assert setup.bridges, f"{where}: no bridge yet"
    bridge = setup.bridges[-1]
    if word == "port":
        name, *settings = rest.split()
        bridge.ports.append(Port(name, settings_of(settings)))
    elif word == "flow":
        bridge.flows.append(rest)
    elif word == "group":
        bridge.groups.append(rest)
    elif word == "dialect":
        bridge.dialect = rest
    elif word in ("learn", ">"):
        flow, _, packet = rest.partition(" ")
        owner = setup.bridges[0].name
        (setup.learn if word == "learn" else setup.queries).append(Query(owner, flow, packet.strip()))
    else:
        raise AssertionError(f"{where}: what is {word!r}?")


def settings_of(words: list[str]) -> dict[str, str]:
    """`name=value` and bare names as a dict."""
    return {name: value for name, _, value in (w.partition("=") for w in words)}
