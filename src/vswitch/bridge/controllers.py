"""Rows of Controller, Manager and SSL as settings of a bridge's OpenFlow connections, and their status.

ovs-vswitchd.conf.db(5), tables Bridge (OpenFlow Configuration), Controller, SSL.
"""

from __future__ import annotations

import os
from typing import Any, Final, final
from uuid import UUID

from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import boolean, integer, one
from vswitch.bridge.idl import Idl, Row
from vswitch.bridge.local_address import configure_local_address
from vswitch.bridge.unsupported import Unsupported
from vswitch.ofproto.ofconn import MAX_ASYNC, ConnKind
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.openflow.wire import version as wire
from vswitch.vconn.settings import (
    DEFAULT_DSCP,
    DEFAULT_INACTIVITY_PROBE_MS,
    DEFAULT_MAX_BACKOFF_MS,
    ControllerSettings,
)
from vswitch.vconn.tls import Tls, TlsSettings

log = Vlog("bridge")

PROTOCOLS: Final = {
    "OpenFlow10": wire.OFP10, "OpenFlow11": wire.OFP11, "OpenFlow12": wire.OFP12,
    "OpenFlow13": wire.OFP13, "OpenFlow14": wire.OFP14, "OpenFlow15": wire.OFP15,
}  # fmt: skip
MAX_QUEUE_SIZE: Final = 512
KINDS: Final = {"primary": ConnKind.PRIMARY, "service": ConnKind.SERVICE}


def default_rundir() -> str:
    """Where sockets go: OVS_RUNDIR, else where Open vSwitch has them."""
    return os.environ.get("OVS_RUNDIR") or "/var/run/openvswitch"


def controller_settings(row: Row, queue_size: int) -> ControllerSettings:
    """What a row of Controller asks for; `queue_size` is the bridge's."""
    own_size = one(row, "controller_queue_size")
    max_backoff = one(row, "max_backoff")
    probe = one(row, "inactivity_probe")
    asynchronous = one(row, "enable_async_messages")
    dscp = integer(row.other_config, "dscp", DEFAULT_DSCP, 0, 63)
    return ControllerSettings(
        target=row.target,
        kind=KINDS.get(one(row, "type") or ""),
        max_backoff=max(max_backoff, 1000) if max_backoff is not None else DEFAULT_MAX_BACKOFF_MS,
        inactivity_probe=max(probe, 0) if probe is not None else DEFAULT_INACTIVITY_PROBE_MS,
        in_band=one(row, "connection_mode") != "out-of-band",
        rate_limit=one(row, "controller_rate_limit") or 0,
        burst_limit=one(row, "controller_burst_limit") or 0,
        queue_size=own_size if own_size is not None else queue_size,
        enable_async=True if asynchronous is None else asynchronous,
        dscp=dscp,
    )


def configure_tls(tls: Tls, ssl: Row | None) -> None:
    """Use the keys and certificates of the SSL table for `ssl:` and `pssl:`; without one those of the
    command line stay."""
    if ssl is not None:
        tls.configure(
            TlsSettings(
                private_key=ssl.private_key,
                certificate=ssl.certificate,
                ca_cert=ssl.ca_cert,
                bootstrap_ca_cert=ssl.bootstrap_ca_cert,
                protocols=tls.settings.protocols,
                ciphers=tls.settings.ciphers,
            )
        )


def mgmt_path(rundir: str, bridge: str) -> str:
    """The socket at which a bridge is managed."""
    return f"{rundir}/{bridge}.mgmt"


@final
class BridgeControllers:
    """The connections of one bridge as its rows ask for them. Unix sockets are in `rundir`."""

    def __init__(self, ofproto: OfprotoDpif, rundir: str) -> None:
        self._ofproto = ofproto
        self._rundir = rundir
        self._rows: dict[str, UUID] = {}
        """Target -> its row."""

    def configure(self, idl: Idl, bridge: Row, restoring: bool, unsupported: Unsupported) -> None:
        """Make the connections those that the bridge's row names. While flows are being restored no
        controller is connected to, but ovs-ofctl finds its socket."""
        controllers = self._ofproto.controllers
        other = bridge.other_config
        wanted: dict[str, ControllerSettings] = {}
        self._rows = {}
        queue_size = integer(other, "controller-queue-size", MAX_ASYNC, 1, MAX_QUEUE_SIZE)
        for row in sorted(idl.refs(bridge, "controller"), key=lambda row: row.target):
            unsupported.look_at(f"controller {row.target}", "Controller", row)
            if self._permitted(row.target):
                configure_local_address(self._ofproto.backer.scope, self._ofproto.name, row)
                wanted[row.target] = controller_settings(row, queue_size)
                self._rows[row.target] = row.uuid
        controllers.set_protocols(PROTOCOLS[name] for name in bridge.protocols if name in PROTOCOLS)
        queue = integer(other, "in-band-queue", -1, 0, 0xFFFFFFFF)
        controllers.set_in_band(not boolean(other, "disable-in-band"), None if queue < 0 else queue)
        controllers.set_controllers([] if restoring else list(wanted.values()))
        controllers.set_fail_mode(one(bridge, "fail_mode") or "standalone")
        controllers.set_mgmt(mgmt_path(self._rundir, self._ofproto.name), queue_size)
        controllers.set_snoops([f"{self._rundir}/{self._ofproto.name}.snoop"])

    def _permitted(self, target: str) -> bool:
        """Whether the database may have us use a socket there: who may write the database must not get
        at other programs' files and sockets by it."""
        kind, _, path = target.partition(":")
        name = self._ofproto.name
        mgmt = f'"unix:{self._rundir}/{name}.mgmt" (which is always available without special configuration)'
        if kind == "punix":
            prefix = f"{self._rundir}/{name}."
            if path.startswith(prefix) and "/" not in path[len(prefix) :]:
                return True
            log.err('bridge %s: Not adding Unix domain socket controller "%s" due to possibility of '
                    'overwriting local files. Instead, specify path in permitted format "punix:%s*" or '
                    "connect to %s.", name, target, prefix, mgmt)  # fmt: skip
            return False
        if kind == "unix":
            if os.path.normpath(os.path.join(self._rundir, path)).startswith(f"{self._rundir}/"):
                return True
            log.err('bridge %s: Not connecting to socket controller "%s" due to possibility for remote '
                    'exploit.  Instead, specify socket in permitted directory "unix:%s/" or connect to %s.',
                    name, target, self._rundir, mgmt)  # fmt: skip
            return False
        return True

    def status(self) -> dict[UUID, dict[str, Any]]:
        """Row of Controller -> its status columns."""
        found = self._ofproto.controllers.status()
        columns: dict[UUID, dict[str, Any]] = {}
        for target, uuid in self._rows.items():
            status = found.get(target)
            if status is None:
                columns[uuid] = {"is_connected": False, "role": None, "status": {}}
            else:
                columns[uuid] = {
                    "is_connected": status.is_connected, "role": status.role or None, "status": status.status,
                }  # fmt: skip
        return columns
