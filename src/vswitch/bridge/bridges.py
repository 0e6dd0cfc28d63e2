"""All bridges of the database, made real: the `Part` that follows it and reports back.

`Bridges.run` lets the IDL talk with the server; when the configuration changed, and this process holds
the database's lock, the switches are made to match it, and `cur_cfg` then says up to which
`next_cfg` that is so. The order of `_reconfigure` matters: what is not wanted goes, over all
bridges, before what is wanted comes, so that names and numbers are free.
"""

from __future__ import annotations

import os
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.ratelimit import RateLimit
from vswitch.base.unixctl import Commands
from vswitch.base.vlog import Vlog
from vswitch.bridge.auto_attach import AutoAttachTrunks
from vswitch.bridge.bridge import Bridge
from vswitch.bridge.columns import boolean
from vswitch.bridge.commands import register
from vswitch.bridge.config import ConfigCache, PortConfig
from vswitch.bridge.controllers import configure_tls, default_rundir, mgmt_path
from vswitch.bridge.datapaths import Choice
from vswitch.bridge.idl import Idl, Row
from vswitch.bridge.qos import Qos
from vswitch.bridge.report import Report
from vswitch.bridge.settings import configure_backer, vlan_limit
from vswitch.bridge.status import Status
from vswitch.bridge.unsupported import Unsupported
from vswitch.dpif.types import DpifError
from vswitch.ofproto_dpif.ofprotos import Ofprotos

log = Vlog("bridge")

reconfigured: Final = coverage.counter("bridge_reconfigure")


@final
class Bridges:
    """A `Part`. `ofprotos` is another one, run by whoever runs this: packets flow whatever the
    database does. `commands` gets the runtime commands that belong to bridges; `rundir` is where
    bridges have their sockets, the usual directory if not given."""

    def __init__(self, ofprotos: Ofprotos, idl: Idl, clock: Clock, commands: Commands | None = None,
                 rundir: str = "") -> None:
        self.ofprotos = ofprotos
        self.rundir: str = os.path.normpath(rundir or default_rundir())
        self.idl = idl
        idl.respite = ofprotos.respite
        self.clock = clock
        self.configured: bool = False
        """Whether the first configuration has been carried out and reported: a daemon serves."""
        self.bridges: dict[str, Bridge] = {}
        """The bridges that there are, by name."""
        self.report = Report(idl, clock)
        self._trunks = AutoAttachTrunks(idl, clock)
        self.unsupported = Unsupported()
        self.qos = Qos(clock)
        ofprotos.port_queues = self.qos.queues
        self._cache = ConfigCache(idl)
        self._choice = Choice()
        self._status = Status(self)
        self._failed: dict[str, tuple[str, str]] = {}
        """Bridges that could not be made -> (the type they were to have, why not)."""
        self._carried_out = False
        self._again = False
        self._contended_rl = RateLimit(1, 1)
        if commands is not None:
            register(self, commands)

    # The main loop.

    def run(self, now: int) -> bool:
        """Follow the database and report to it, without waiting. True if there is more to do at once."""
        changed = self.idl.run(now)
        if self.idl.is_lock_contended:
            self._yield_to_another(now)
            return False
        if not self.idl.has_lock or not self.idl.has_ever_connected:
            return False
        if changed or self._again:
            self._again = True
            self._reconfigure(now)
            self._again = False
        more = self._status.run(now)
        self.report.restore(self.idl.take_reported())
        self.report.run(now)
        self._trunks.run(now)
        if not self.configured and self._carried_out and self.report.idle:
            self.configured = True
        return more

    def wakeup(self, now: int) -> int:
        """Clock ms of the next timer."""
        when = self.idl.wakeup(now)
        if not self.idl.has_lock or not self.idl.has_ever_connected:
            return when
        return min(when, self.report.wakeup(now), self._trunks.wakeup(now), self._status.wakeup(now))

    def fds(self) -> list[int]:
        """Descriptors whose readability means that `run` has work."""
        return [*self.idl.fds(), *self._status.fds()]

    def write_fds(self) -> list[int]:
        """Descriptors whose writability means that `run` has work."""
        return self.idl.write_fds()

    def exit(self, delete_datapaths: bool) -> None:
        """The process ends: delete bridges and datapaths (`exit --cleanup`), or leave a kernel datapath
        forwarding. The IDL is closed."""
        for bridge in self.bridges.values():
            bridge.tell_gone()
        self.bridges.clear()
        self.ofprotos.close(destroy=delete_datapaths)
        self.idl.close()

    def look_again(self) -> None:
        """Carry out the configuration anew at the next `run`, although the database did not change."""
        self._again = True

    def _yield_to_another(self, now: int) -> None:
        """Another process has the database's lock: have no bridges until it is gone."""
        log.err_rl(
            self._contended_rl, now,
            "another ovs-vswitchd process is running, disabling this process (pid %d) until it goes away",
            os.getpid(),
        )  # fmt: skip
        for name in list(self.bridges):
            self._destroy(name)
        self._again = True

    # Making the switches match.

    def _reconfigure(self, now: int) -> None:
        reconfigured.inc()
        changed = self.idl.take_configured()
        self._cache.forget(changed)
        self.report.forget(changed)
        root = self.idl.root()
        restoring = self._restoring(root)
        self.ofprotos.vlan_limit = vlan_limit(root)
        rows = self._wanted_bridges(root)
        ports = {name: self._wanted_ports(row) for name, row in rows.items()}
        for name in list(self.bridges):
            row = rows.get(name)
            if row is None or self._choice.resolve(row.datapath_type)[0] != self.bridges[name].type:
                self._destroy(name)
        for name, bridge in self.bridges.items():
            bridge.row = rows[name]
            bridge.delete_ports(ports[name])
        for name, row in rows.items():
            if name not in self.bridges:
                self._create(row, ports[name])
        for name in self._failed.keys() - rows.keys():
            del self._failed[name]
        for bridge in self.bridges.values():
            bridge.add_ports()
        if not self._carried_out:
            self.ofprotos.delete_garbage_ports()
        if root is not None:
            self.unsupported.look_at("Open_vSwitch", "Open_vSwitch", root)
        for row in self.idl.rows("IPFIX"):
            self.unsupported.look_at("IPFIX", "IPFIX", row)
        configure_tls(self.ofprotos.tls, next(iter(self.idl.refs(root, "ssl")), None) if root else None)
        for backer in self.ofprotos.backers.values():
            configure_backer(backer, root, self.unsupported)
        for bridge in self.bridges.values():
            bridge.configure(self.idl, root, restoring, self.unsupported)
            self._trunks.change(bridge.take_vlans())
        wanted = [w for bridge in self.bridges.values() for w in bridge.qos_wanted()]
        self.qos.configure(self.idl, wanted, self.unsupported)
        self._status.reconfigured(now)
        if root is not None:
            self.report.put(root, cur_cfg=root.next_cfg)
        self._carried_out = True

    def _restoring(self, root: Row | None) -> bool:
        """Whether flows are being put back after a restart (other_config:flow-restore-wait). It counts
        only where it is set when the process starts."""
        waiting = boolean(root.other_config, "flow-restore-wait") if root is not None else False
        ofprotos = self.ofprotos
        if not self._carried_out:
            ofprotos.flow_restore_wait = waiting
        elif ofprotos.flow_restore_wait and not waiting:
            ofprotos.end_restore()
        return ofprotos.flow_restore_wait

    def _wanted_bridges(self, root: Row | None) -> dict[str, Row]:
        wanted: dict[str, Row] = {}
        for row in sorted(self.idl.refs(root, "bridges") if root is not None else (), key=lambda r: r.name):
            if "/" in row.name or "\\" in row.name:
                # Names of sockets and datapaths come from it.
                log.warn("ignoring bridge with invalid name \"%s\"", row.name)
            else:
                wanted[row.name] = row
        return wanted

    def _wanted_ports(self, row: Row) -> dict[str, PortConfig]:
        wanted: dict[str, PortConfig] = {}
        for port in self.idl.refs(row, "ports"):
            self.ofprotos.respite.give()
            config = self._cache.port(port)
            wanted[config.name] = config
        return wanted

    def _create(self, row: Row, ports: dict[str, PortConfig]) -> None:
        type, why = self._choice.resolve(row.datapath_type)
        try:
            ofproto = self.ofprotos.create(row.name, type, mgmt_path(self.rundir, row.name))
        except (OSError, ValueError) as e:
            text = os.strerror(e.errno) if isinstance(e, OSError) and e.errno else str(e)
            if isinstance(e, DpifError) and e.detail:
                text += f" ({e.detail})"
            if self._failed.get(row.name) != (type, text):
                log.err("failed to create bridge %s: %s", row.name, text)
            self._failed[row.name] = (type, text)
            self._status.bridge_failed(row, text)
            return
        self._failed.pop(row.name, None)
        bridge = self.bridges[row.name] = Bridge(row, ofproto, type, why, self.rundir)
        bridge.delete_ports(ports)

    def _destroy(self, name: str) -> None:
        self.bridges.pop(name).tell_gone()
        self.ofprotos.destroy(name)
