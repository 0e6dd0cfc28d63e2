"""Networks of bridges of several switches, joined by dummies' streams, in their stopped clocks' time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.bridge.pair import Side

PAUSE = 0.03
"""Seconds that sockets and processes get after each step of time."""


class Links:
    """Bridges "b0", "b1"... each of one of `sides`, and cables between ports that are named "b0-1" after
    their bridge and number. Ports get their numbers in OpenFlow and in spanning trees."""

    def __init__(
        self, sides: list[Side], cables: list[tuple[str, str]], bridge: str = "", port: str = ""
    ) -> None:
        self.sides = sides
        self.directory = tempfile.TemporaryDirectory(prefix="vsl")
        self.distinct = list({id(side): side for side in sides}.values())
        commands: dict[int, list[str]] = {id(side): [] for side in self.distinct}
        for i, side in enumerate(sides):
            commands[id(side)].append(
                f"add-br b{i} -- set bridge b{i} datapath_type=dummy fail-mode=standalone "
                f"other_config:hwaddr=aa:55:aa:55:00:{i + 1:02x} {bridge}"
            )
        for n, (a, b) in enumerate(cables):
            path = Path(self.directory.name) / f"c{n}"
            for name, option in ((a, f"pstream=punix\\:{path}"), (b, f"stream=unix\\:{path}")):
                node, number = name[1:].split("-")
                option = option.replace("\\:", ":")
                commands[id(sides[int(node)])].append(
                    f"add-port b{node} {name} -- set interface {name} type=dummy ofport_request={number} "
                    f"options:{option} -- set port {name} other_config:stp-port-num={number} "
                    f"other_config:rstp-port-num={number} {port}"
                )
        for side in self.distinct:
            side.appctl("time/stop")
        self._commands = commands

    def start(self) -> None:
        """Make bridges and cables."""
        for side in self.distinct:
            said = side.vsctl(" -- ".join(self._commands[id(side)]))
            assert said == "", said
        self.pause()

    def close(self) -> None:
        """Take the bridges away."""
        for side in self.distinct:
            side.vsctl(" -- ".join(f"del-br b{i}" for i, s in enumerate(self.sides) if s is side))
        self.directory.cleanup()

    def pause(self) -> None:
        """Let what is in flight arrive."""
        time.sleep(PAUSE)

    def warp(self, ms: int, step: int = 500) -> None:
        """Let `ms` pass at all switches together."""
        for _ in range(ms // step):
            for side in self.distinct:
                side.appctl("time/warp", str(step))
            self.pause()

    def command(self, node: int, command: str, *args: str) -> str:
        """A runtime command about bridge `node`."""
        return self.sides[node].appctl(command, *args)

    def show(self, command: str) -> list[str]:
        """`command` of every bridge."""
        return [side.appctl(command, f"b{i}") for i, side in enumerate(self.sides)]

    def set_link(self, port: str, state: str) -> None:
        """Take a port up or down."""
        self.set_link_of(int(port[1:].split("-")[0]), port, state)

    def set_link_of(self, node: int, port: str, state: str) -> None:
        """Take a port of bridge `node` up or down."""
        self.sides[node].appctl("netdev-dummy/set-admin-state", port, state)


def ring(n: int) -> list[tuple[str, str]]:
    """Cables that join `n` bridges to a ring: port 1 of each to port 2 of the next."""
    return [(f"b{i}-1", f"b{(i + 1) % n}-2") for i in range(n)]
