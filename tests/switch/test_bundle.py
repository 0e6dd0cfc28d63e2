"""The bundle action in a running switch: traffic follows the links."""

from __future__ import annotations

from collections.abc import Callable

from tests.switch.packets import A, B, frame
from vswitch import Switch


def test_carrier_loss_of_the_first_member_moves_traffic_at_once(switch: Callable[..., Switch]) -> None:
    sw = switch("in_port=1,actions=bundle(eth_src,0,active_backup,ofport,members:2,3)")

    def came_out() -> list[str]:
        sw.received_all()
        sw.send("p1", frame(A, B))
        return sorted(sw.received_all())

    assert came_out() == ["p2"]
    sw.set_port("p2", carrier=False)
    assert came_out() == ["p3"]
    sw.set_port("p3", up=False)
    assert came_out() == []
    sw.set_port("p2", carrier=True)
    assert came_out() == ["p2"]
