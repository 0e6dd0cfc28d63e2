"""`BridgeView`: what the parts of a bridge's configuration and status see of the bridge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from vswitch.bridge.config import InterfaceConfig, PortConfig
from vswitch.bridge.idl import Row
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif


class InterfaceView(Protocol):
    """An interface that a bridge was asked to have (`bridge.Interface`)."""

    config: InterfaceConfig


class BridgeView(Protocol):
    """A row of table Bridge and the switch that it describes (`bridge.Bridge`)."""

    row: Row
    name: str
    ofproto: OfprotoDpif
    wanted: dict[str, PortConfig]

    @property
    def interfaces(self) -> Mapping[str, InterfaceView]:
        """By name."""
