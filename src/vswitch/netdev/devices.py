"""All port types, one row each."""

from __future__ import annotations

from typing import Final

from vswitch.netdev import patch
from vswitch.netdev.dummy import PMD, DummyNetdev
from vswitch.netdev.kind import PortKind
from vswitch.netdev.linux import LinuxNetdev
from vswitch.netdev.patch import PatchNetdev
from vswitch.netdev.tap import TapNetdev
from vswitch.netdev.tunnel import KINDS as TUNNEL_KINDS

KINDS: Final[dict[str, PortKind]] = {
    kind.type: kind
    for kind in (
        PortKind("system", lambda name, _: LinuxNetdev(name), comes_and_goes=True),
        PortKind("internal", made_here=True, lends_mac=False, takes_mac=True),
        PortKind("tap", lambda name, _: TapNetdev(name), made_here=True),
        PortKind(
            "patch", PatchNetdev, in_datapath=False, has_device=False, peered=True, has_queues=False,
            lends_mac=False, dummy_may_replace=False, options=frozenset(("peer",)),
            check_options=patch.check_options,
        ),
        PortKind(
            "dummy", lambda name, _: DummyNetdev(name), announced=False, has_queues=False,
            dummy_may_replace=False, options=None,
        ),
        PortKind(
            PMD, lambda name, _: DummyNetdev(name, PMD), announced=False, has_queues=False,
            dummy_may_replace=False, options=None,
        ),
        PortKind(
            "dummy-internal", lambda name, _: DummyNetdev(name, "dummy-internal"), announced=False,
            dummy_may_replace=False, options=None,
        ),
        *TUNNEL_KINDS,
    )
}  # fmt: skip
"""Kind by Interface.type. A datapath with dummies in it opens its internal ports as "dummy-internal"."""
