"""Ingress policing of interfaces: by the kernel where it forwards, by the datapath's policers elsewhere."""

from __future__ import annotations

import os
import socket
from typing import final

from vswitch.base.vlog import Vlog
from vswitch.bridge.config import InterfaceConfig
from vswitch.bridge.tc_police import police
from vswitch.dpif.open import dpif_class
from vswitch.dpif.types import ODPP_NONE, Policing
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.xlate.bridge import XPort

log = Vlog("bridge")


@final
class IngressPolicing:
    """What the interfaces of one bridge were last limited to."""

    def __init__(self, ofproto: OfprotoDpif) -> None:
        self._ofproto = ofproto
        self._set: dict[str, tuple[XPort, Policing]] = {}

    def configure(self, config: InterfaceConfig) -> None:
        """Limit what comes in at an interface, if that is to change."""
        port = self._ofproto.ports_by_name.get(config.name)
        if port is None or port.odp_port == ODPP_NONE:
            self._set.pop(config.name, None)
            return
        wanted = config.policing
        was = self._set.get(config.name)
        before = was[1] if was is not None and was[0] is port else Policing()
        if wanted == before:
            return
        self._set[config.name] = (port, wanted)
        try:
            if dpif_class(self._ofproto.type).kernel_polices:
                police(socket.if_nametoindex(config.name), wanted)
            else:
                self._ofproto.backer.dpif.set_policing(port.odp_port, wanted)
        except OSError as e:
            why = os.strerror(e.errno or 0)
            log.warn("interface %s: could not set ingress policing (%s)", config.name, why)
