"""A switch that has no database, or not yet, waits without being busy."""

from __future__ import annotations

from pathlib import Path

from vswitch.base.clock import Clock
from vswitch.bridge.bridges import Bridges
from vswitch.bridge.idl import LOOK_MS, SOCKET_MS, Idl
from vswitch.ofproto_dpif.ofprotos import Ofprotos


def test_without_a_server_it_waits_for_the_next_attempt(tmp_path: Path) -> None:
    clock = Clock()
    idl = Idl(f"unix:{tmp_path}/none.sock", clock)
    bridges = Bridges(Ofprotos(clock), idl, clock, rundir=str(tmp_path))
    try:
        for _ in range(5):
            bridges.run(clock.now())
        # A server that starts at the same time is looked for more often.
        assert bridges.wakeup(clock.now()) >= clock.now() + LOOK_MS - 1
        clock.warp(SOCKET_MS)
        for _ in range(5):
            bridges.run(clock.now())
        assert bridges.wakeup(clock.now()) > clock.now() + 100
        assert bridges.fds() == []
        assert not bridges.configured
    finally:
        bridges.exit(delete_datapaths=True)
