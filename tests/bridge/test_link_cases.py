"""The cases of `link_cases.txt` beside the real switch: the same traces, the same flows of the datapath."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.bridge.pair import Side
from tests.bridge.test_mcast import v4
from tests.l2.igmp_messages import v2
from vswitch.flow.compose import DEFAULT_PAYLOAD, flow_compose
from vswitch.flow.match_text import parse_match

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]

ADDRESSES = {f"A{n}": f"02:00:00:00:00:{n:02x}" for n in range(1, 10)} | {"ALL": "ff:ff:ff:ff:ff:ff"}
IGMP = {"report": 0x16, "leave": 0x17}
WAIT = 2.0


@dataclass
class Scene:
    """A section: the words of its lines."""

    name: str
    bond: list[str] = field(default_factory=list)
    bridge: list[str] = field(default_factory=list)
    ports: list[list[str]] = field(default_factory=list)
    steps: list[list[str]] = field(default_factory=list)


def scenes() -> list[Scene]:
    """What the file says."""
    found: list[Scene] = []
    for line in Path(__file__).with_name("link_cases.txt").read_text().splitlines():
        word, *rest = line.split() or [""]
        if word in ("", "#"):
            continue
        if word == "==":
            found.append(Scene(" ".join(rest)))
        elif word in ("bond", "bridge"):
            setattr(found[-1], word, rest)
        elif word == "port":
            found[-1].ports.append(rest)
        else:
            found[-1].steps.append([word, *rest])
    return found


SCENES = scenes()


def make(side: Side, scene: Scene) -> None:
    """Bridge, ports and bond."""
    side.appctl("time/stop")
    commands = ["add-br b0", "set bridge b0 datapath_type=dummy fail-mode=standalone "
                "other_config:hwaddr=aa:55:aa:55:00:01 " + " ".join(scene.bridge)]  # fmt: skip
    numbers = [port[0] for port in scene.ports]
    if scene.bond:
        mode, *more = scene.bond
        commands += ["add-bond b0 bond p1 p2", f"set port bond bond_mode={mode} {' '.join(more)}"]
        numbers += ["1", "2"]
    commands += [f"add-port b0 p{port[0]}" for port in scene.ports]
    commands += [f"set interface p{n} type=dummy ofport_request={n}" for n in numbers]
    commands += [f"set port p{n} {' '.join(more)}" for n, *more in scene.ports if more]
    said = side.vsctl(" -- ".join(commands))
    assert said == "", said


class Seen:
    """What one side shows of a scene's cases."""

    def __init__(self, side: Side, scene: Scene) -> None:
        self.side = side
        # Which member a hash has is either at first.
        either = scene.bond and scene.bond[0] != "active-backup"
        self.members = {"p1": "member", "p2": "member"} if either else {}

    def cases(self, steps: list[list[str]]) -> Iterator[tuple[str, str]]:
        """Carry `steps` out: each case, and what is seen of it."""
        side = self.side
        for word, *rest in steps:
            if word == "seconds":
                self._pass(int(rest[0]))
            elif word == "appctl":
                side.appctl(*rest)
            elif word == "ofctl":
                command, bridge, *more = rest
                side.run("ovs-ofctl", command, f"unix:{side.directory}/{bridge}.mgmt", *more)
                # The real one's translation follows in the next turn of its main loop, and traces don't wait
                # for that.
                side.appctl("version")
            elif word == "set":
                assert side.vsctl(f"set {' '.join(rest)}") == ""
            elif word == "igmp":
                self._send(rest[0], v4(rest[2], v2(IGMP[rest[1]], rest[2])))
            elif word == "query":
                self._send(rest[0], v4("224.0.0.1", v2(0x11, "0.0.0.0")))
            else:
                assert word == "packet", word
                yield " ".join((word, *rest)), self._case(*rest)

    def _pass(self, seconds: int) -> None:
        for _ in range(seconds if seconds < 60 else 1):
            self.side.appctl("time/warp", "1000" if seconds < 60 else f"{seconds * 1000}")
            time.sleep(0.01)

    def _send(self, port: str, packet: str) -> None:
        self.side.appctl("netdev-dummy/receive", "b0" if port == "LOCAL" else f"p{port}", packet)
        time.sleep(0.05)

    def _case(self, port: str, text: str) -> str:
        """A packet's trace and the datapath's flows that it makes."""
        side = self.side
        for name, address in ADDRESSES.items():
            text = re.sub(rf"\b{name}\b", address, text)
        packet = flow_compose(parse_match(text).flow, DEFAULT_PAYLOAD).hex()
        shown = side.appctl("ofproto/trace", "b0", f"in_port={port}", packet)
        found = re.search(r"dl_vlan=(\d+)", text)
        tag = found[1] if found else ""
        side.appctl("revalidator/purge")
        self._send(port, packet)
        return "\n".join([self._trace(shown, tag), *self._flows(tag)])

    def _trace(self, text: str, tag: str) -> str:
        # A flood of the real switch passes a blocked port by, or goes there and is told no.
        text = re.sub(r" *>> R?STP not in forwarding state, skipping output\n", "", text)
        text = re.sub(r"recirc(_id)?[=(]0x[0-9a-f]+\)?", "recirculated", text)
        numbers = {
            number: name
            for name, number in re.findall(r"^    (\S+) \S+/(\d+):", self.side.appctl("dpif/show"), re.M)
        }
        return re.sub(
            r"(?<=Datapath actions: ).*", lambda found: self._outputs(found[0], tag, numbers), text
        )

    def _flows(self, tag: str) -> list[str]:
        before: list[str] = []
        end = time.monotonic() + WAIT
        while True:
            now = self.side.appctl("dpctl/dump-flows", "--names").splitlines()
            lines = sorted(line for line in now if "actions:" in line)
            if (lines and lines == before) or time.monotonic() > end:
                break
            before = lines
            time.sleep(0.02)
        found = []
        for line in lines:
            match, _, actions = line.partition(" actions:")
            match = re.sub(r", packets:.*|recirc_id\(0x[0-9a-f]*[1-9a-f][0-9a-f]*\)", "", match)
            for member, name in self.members.items():
                match = re.sub(rf"in_port\({member}\)", f"in_port({name})", match)
            found.append(f"{match} -> {self._outputs(actions, tag, {})}")
        return sorted(found)

    def _outputs(self, actions: str, tag: str, numbers: dict[str, str]) -> str:
        """Where packets go, and with which tag: a flood has any order, and changes tags as that needs."""
        seen: list[str] = []
        vid = tag
        for action in re.split(r",(?![^(]*\))", actions.strip()):
            if action == "pop_vlan":
                vid = ""
            elif pushed := re.match(r"push_vlan\(vid=(\d+)", action):
                vid = pushed[1]
            else:
                name = numbers.get(action, action)
                name = re.sub(r"recirc\(0x[0-9a-f]+\)", "recirc", self.members.get(name, name))
                seen.append(f"{name}{f' tagged {vid}' if vid else ''}")
        return ", ".join(sorted(seen))


def test_there_are_a_hundred_cases() -> None:
    cases = [(scene.name, *step) for scene in SCENES for step in scene.steps if step[0] == "packet"]
    assert len(cases) >= 100


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_traces_and_flows_are_the_real_switchs(ours: Side, real: Side, scene: Scene) -> None:
    for side in (ours, real):
        make(side, scene)
    mine, theirs = (Seen(side, scene).cases(scene.steps) for side in (ours, real))
    for (case, shown), (_, expected) in zip(mine, theirs, strict=True):
        assert shown == expected, f"{scene.name}: {case}\n{shown}\nThe real switch:\n{expected}"
