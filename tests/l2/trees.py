"""A network of spanning tree machines joined by links, in virtual time."""

from __future__ import annotations

from vswitch.l2.bpdu import frame, from_frame
from vswitch.l2.rstp import Rstp
from vswitch.l2.stp import Stp


class Network:
    """Switches by name and links between (name, port) pairs; frames arrive at once.

    `kinds` says what each is: "s" a bridge with STP, "r" one with RSTP.
    """

    def __init__(self, kinds: str, links: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
        self.now = 0
        self.nodes: list[Stp | Rstp] = []
        self.flushes = [0] * len(kinds)
        for i, kind in enumerate(kinds):
            bridge_id = 0x8000 << 48 | (i + 1)
            self.nodes.append(Stp(bridge_id, 0) if kind == "s" else Rstp(bridge_id, 0))
        self.peer: dict[tuple[int, int], tuple[int, int]] = {}
        for a, b in links:
            self.peer[a] = b
            self.peer[b] = a
        for node, number in self.peer:
            self.up(node, number)
        self.settle()

    def up(self, node: int, number: int) -> None:
        bridge = self.nodes[node]
        if isinstance(bridge, Stp):
            port = bridge.port(number)
            bridge.set_path_cost(port, 19, self.now)
            bridge.enable(port, self.now)
        else:
            bridge.set_enabled(bridge.ports.get(number) or bridge.add_port(number, self.now), True)

    def cut(self, node: int, number: int) -> None:
        """Take a link away at both its ends."""
        for n, p in ((node, number), self.peer[node, number]):
            bridge = self.nodes[n]
            if isinstance(bridge, Stp):
                bridge.disable(bridge.ports[p], self.now)
            else:
                bridge.set_enabled(bridge.ports[p], False)
        del self.peer[self.peer[node, number]]
        del self.peer[node, number]
        self.settle()

    def settle(self) -> None:
        busy = True
        while busy:
            busy = False
            for i, bridge in enumerate(self.nodes):
                if isinstance(bridge, Stp):
                    self.flushes[i] += bridge.take_fdb_flush()
                else:
                    self.flushes[i] += len(bridge.take_flush())
                for number, bpdu in bridge.take_sent():
                    busy = True
                    there = self.peer.get((i, number))
                    if there is None:
                        continue
                    arrived = from_frame(frame(bpdu, 0x020000000000 | number))
                    to = self.nodes[there[0]]
                    if isinstance(to, Stp):
                        to.received(to.ports[there[1]], arrived, self.now)
                    else:
                        to.received(to.ports[there[1]], arrived)

    def run(self, ms: int) -> None:
        for _ in range(ms // 100):
            self.now += 100
            for bridge in self.nodes:
                bridge.run(self.now)
            self.settle()

    def port(self, node: int, number: int) -> object:
        return self.nodes[node].ports[number]

    def role(self, node: int, number: int) -> str:
        bridge = self.nodes[node]
        if isinstance(bridge, Stp):
            return bridge.role(bridge.ports[number])
        return bridge.ports[number].role.lower()

    def forwards(self, node: int, number: int) -> bool:
        return self.nodes[node].ports[number].forwards

    def forwarding_links(self) -> set[frozenset[tuple[int, int]]]:
        """The links over which packets go, both ends of which forward."""
        return {frozenset((a, b)) for a, b in self.peer.items() if self.forwards(*a) and self.forwards(*b)}

    def is_tree(self) -> bool:
        """Whether the links that forward join all nodes without a loop."""
        joined = {i: i for i in range(len(self.nodes))}

        def find(i: int) -> int:
            while joined[i] != i:
                i = joined[i]
            return i

        for link in self.forwarding_links():
            (a, _), (b, _) = tuple(link)
            if find(a) == find(b):
                return False
            joined[find(a)] = find(b)
        return len({find(i) for i in joined}) == 1


RING3 = [((0, 1), (1, 2)), ((1, 1), (2, 2)), ((2, 1), (0, 2))]
RING4 = [((i, 1), ((i + 1) % 4, 2)) for i in range(4)]
