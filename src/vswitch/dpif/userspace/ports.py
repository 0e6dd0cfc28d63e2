"""`Port`: a device attached to the userspace datapath, with the frames that wait to leave by it."""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from vswitch.dpif.userspace.egress_policer import EgressPolicer
from vswitch.dpif.userspace.policer import Policer
from vswitch.dpif.userspace.tunnel import TunnelEnd
from vswitch.netdev.frame import Frame
from vswitch.netdev.host_stack import HostStack
from vswitch.netdev.provider import Netdev


@final
class Port:
    """A port: `type` is what it was added as. `tx` holds frames until the end of the batch."""

    def __init__(self, number: i64, name: str, type: str, netdev: Netdev) -> None:
        self.number = number
        self.name = name
        self.type = type
        self.netdev = netdev
        self.tx: list[Frame] = []
        self.tx_lost: i64 = 0
        """Frames that the device would not take."""
        self.fd_errors: i64 = 0
        self.policer: Policer | None = None
        """What limits the frames that come in."""
        self.egress: EgressPolicer | None = None
        """What limits the frames that go out."""
        self.tunnel: TunnelEnd | None = None
        """What the port is as a tunnel."""
        self.host: HostStack | None = None
        self.host_refused: str = ""
        """Why a tunnel's port has no `host`."""
        """How a tunnel's packets travel that leave by no bridge of ours."""
