"""Which tunnel port a packet came in at: several share one datapath port, distinguished by what they accept.

The more a port fixes, the sooner it is asked: first those with a fixed key, among them those with a fixed
remote address, among them those with a fixed local one, then any, then one that the flow table looks at.
A port of one kind of packets (frames, or packets without Ethernet) goes before one that takes both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from vswitch.flow.flow import Flow
from vswitch.flow.layout import W_TUN_DST, W_TUN_IPV6_DST, W_TUN_IPV6_SRC, W_TUN_SRC
from vswitch.netdev.tunnel_options import LEGACY_L2, LEGACY_L3, PTAP, V4_MAPPED, TunnelConfig

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.xlate.bridge import XPort

LOCAL_FIXED: Final = 0
LOCAL_ANY: Final = 1
LOCAL_FLOW: Final = 2
_MASK64: Final = (1 << 64) - 1

Key = tuple[int, int, int, int, str]
"""Datapath port, key, local address, remote address, kind of packets."""


def _address(v4: int, hi: int, lo: int) -> int:
    if v4:
        return v4 | V4_MAPPED
    return (hi & _MASK64) << 64 | lo & _MASK64


def outer_source(flow: Flow) -> int:
    """The outer source address of a packet that came out of a tunnel."""
    w = flow.words
    return _address(w[W_TUN_SRC] >> 32 & 0xFFFFFFFF, w[W_TUN_IPV6_SRC], w[W_TUN_IPV6_SRC + 1])


def outer_destination(flow: Flow) -> int:
    """The outer destination address, 0 if the packet came out of no tunnel."""
    w = flow.words
    return _address(w[W_TUN_DST] & 0xFFFFFFFF, w[W_TUN_IPV6_DST], w[W_TUN_IPV6_DST + 1])


def _shape(config: TunnelConfig) -> tuple[int, int, int]:
    local = LOCAL_FLOW if config.local_flow else LOCAL_FIXED if config.local_ip else LOCAL_ANY
    return int(config.in_key_flow), int(config.remote_flow), local


@final
class TunnelMatcher:
    """The tunnel ports of a datapath."""

    def __init__(self) -> None:
        self.maps: dict[tuple[int, int, int], dict[Key, XPort]] = {}
        """What a port leaves open -> the ports of that shape. Shapes are in the order of being asked."""
        self.own_stack: set[int] = set()
        """Datapath ports that reach a remote by themselves, through the host's own network stack."""
        self.refused: dict[int, str] = {}
        """Datapath port that could do so elsewhere -> why it can't."""
        self.frames_of: dict[int, int] = {}
        """Datapath port that receives the frames of another one -> that other, which carries all packets."""

    def _key(self, port: XPort, config: TunnelConfig) -> Key:
        return (port.odp_port, 0 if config.in_key_flow else config.in_key or 0, config.local_ip,
                config.remote_ip, config.packet_type)  # fmt: skip

    def add(self, port: XPort) -> XPort | None:
        """Have `port` found. The port that is in its place already, if there is one."""
        config = port.tunnel
        if config is None:
            return None
        shape = _shape(config)
        ports = self.maps.get(shape)
        if ports is None:
            self.maps[shape] = ports = {}
            self.maps = dict(sorted(self.maps.items()))
        there = ports.setdefault(self._key(port, config), port)
        return there if there is not port else None

    def remove(self, port: XPort) -> None:
        """Have `port` found no longer."""
        for shape, ports in list(self.maps.items()):
            for key in [key for key, there in ports.items() if there is port]:
                del ports[key]
            if not ports:
                del self.maps[shape]

    def find(self, flow: Flow, odp_port: int) -> XPort | None:
        """The port of a packet that looks like `flow`, which datapath port `odp_port` received."""
        if not self.maps:
            return None
        found = self._find(flow, odp_port)
        if found is None and odp_port in self.frames_of:
            found = self._find(flow, self.frames_of[odp_port])
        return found

    def _find(self, flow: Flow, odp_port: int) -> XPort | None:
        key = flow.tun_id
        source, destination = outer_source(flow), outer_destination(flow)
        legacy = LEGACY_L3 if flow.packet_type >> 16 == 1 else LEGACY_L2
        for (key_flow, remote_flow, local), ports in self.maps.items():
            for kind in (legacy, PTAP):
                port = ports.get(
                    (odp_port, 0 if key_flow else key, destination if local == LOCAL_FIXED else 0,
                     0 if remote_flow else source, kind)
                )  # fmt: skip
                if port is not None:
                    return port
        return None
