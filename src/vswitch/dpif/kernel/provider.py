"""`DpifKernel`: the "system" datapath, a `Dpif` over the Linux openvswitch module."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.dpif.kernel import ct, ct_limit, ct_timeout, datapath, meter, vport
from vswitch.dpif.kernel.channels import Channels
from vswitch.dpif.kernel.family import lookup_families
from vswitch.dpif.kernel.flow import OVS_FLOW_CMD_DEL, OVS_FLOW_CMD_GET, compose_all, parse_flow
from vswitch.dpif.kernel.packet import UpcallParser
from vswitch.dpif.kernel.port_changes import PortChanges
from vswitch.dpif.kernel.requests import Requests, take_answers
from vswitch.dpif.ops import DpifFlow, Op, Upcall
from vswitch.dpif.provider import MAX_OPS, Dpif
from vswitch.dpif.types import (
    CtEntry,
    CtLimit,
    CtTimeoutNames,
    DpifError,
    DpifPort,
    DpifStats,
    MeterConfig,
    MeterFeatures,
    MeterStats,
)
from vswitch.netdev import links
from vswitch.netdev.registry import kind
from vswitch.netdev.tunnel_link import TunnelLinks
from vswitch.netdev.tunnel_options import is_tunnel_name
from vswitch.netlink.attrs import NlAttrError
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import Batch
from vswitch.netlink.socket import MAX_TRIES, NETLINK_GENERIC, Dump, NlSocket, SocketPool

MAX_PORTS: Final = 65535
"""The kernel's DP_MAX_PORTS (USHRT_MAX)."""
DEVICE: Final = "system"
"""The module's type of ports that are devices which somebody else made."""
log = Vlog("dpif_linux")
features_counter = coverage.counter("dpif_per_cpu_upcalls_turned_off")
T = TypeVar("T")


class DpifKernel(Dpif):
    """An open datapath of the kernel, made if it is absent and `create`; else DpifError(ENODEV).

    DpifError(EOPNOTSUPP) says so where the kernel has no openvswitch datapath.
    """

    type = "system"

    def __init__(self, name: str, clock: Clock, create: bool) -> None:
        self.name = name
        self._obj = f"{self.type}@{name}"
        self._clock = clock
        self._families = lookup_families(self._obj)
        self._closed = False
        self._sock = self._call("open", NlSocket, NETLINK_GENERIC)
        self._tunnels = self._call("open", TunnelLinks)
        self._pool = SocketPool(NETLINK_GENERIC)
        self._names: dict[int, str] = {}
        self._rl = RateLimit(60, 5)
        try:
            info = self._open_datapath(create)
            self.dp_ifindex = info.dp_ifindex
            families = self._families
            self._requests = Requests(families.flow, families.packet, self.dp_ifindex, MAX_OPS)
            self._changes = PortChanges(self._obj, self._families)
        except BaseException:
            self._sock.close()
            self._tunnels.close()
            raise
        try:
            self._ports()
        except BaseException:
            self._sock.close()
            self._tunnels.close()
            self._changes.close()
            raise
        self.channels = Channels(
            self._obj, clock, UpcallParser(self._families.packet, self.dp_ifindex), self._name_of
        )

    def _call(self, operation: str, fn: Callable[..., T], *args: object, obj: str = "") -> T:
        """`fn(*args)`, whose NlError or OSError becomes a DpifError of `operation` on `obj`."""
        what = f"{self._obj}: {obj}" if obj else self._obj
        try:
            return fn(*args)
        except DpifError:
            raise
        except NlError as e:
            raise DpifError(e.errno or errno.EIO, operation, what, e.detail) from e
        except OSError as e:
            raise DpifError(e.errno or errno.EIO, operation, what) from e

    # The datapath as a whole.

    def _open_datapath(self, create: bool) -> datapath.DatapathInfo:
        """Find the datapath or make it; one left by another process gets our user features."""
        family = self._families.datapath
        if create:
            try:
                return datapath.create(self._sock, family, self.name)
            except NlError as e:
                if e.errno not in (errno.EEXIST, errno.EBUSY):
                    raise DpifError(e.errno or errno.EIO, "create", self._obj, e.detail) from e
        info = self._call("open", datapath.get, self._sock, family, self.name)
        if info.user_features != datapath.USER_FEATURES and create:
            features = datapath.USER_FEATURES
            info = self._call("open", datapath.set_features, self._sock, family, info.dp_ifindex, features)
        return info

    def close(self) -> None:
        if self._closed:
            return
        # Once the datapath is gone, there are no ports left whose pids could be taken away.
        with contextlib.suppress(DpifError):
            self.recv_set(False)
        self._closed = True
        self._sock.close()
        self._tunnels.close()
        self._pool.close()
        self._changes.close()

    def destroy(self) -> None:
        names = [port.name for port in self._ports() if is_tunnel_name(port.name)]
        self._call("destroy", datapath.delete, self._sock, self._families.datapath, self.dp_ifindex)
        for name in names:
            self._call("destroy", self._tunnels.delete, name, obj=name)
        self.channels.close()

    def run(self) -> bool:
        return False

    def forward(self) -> None:
        """Nothing: the kernel forwards at any time."""

    def run_fds(self) -> list[int]:
        return []

    def stats(self) -> DpifStats:
        return self._info("get stats").stats

    def _info(self, operation: str = "get datapath") -> datapath.DatapathInfo:
        return self._call(
            operation, datapath.get, self._sock, self._families.datapath, None, self.dp_ifindex
        )

    def cache_sizes(self) -> dict[str, int]:
        return {"masks-cache": self._info().masks_cache_size}

    def cache_set_size(self, name: str, size: int) -> None:
        if name != "masks-cache":
            super().cache_set_size(name, size)
        self._call(
            "set cache size", datapath.set_masks_cache_size, self._sock, self._families.datapath,
            self.dp_ifindex, self._info().user_features, size,
        )  # fmt: skip

    def _keep_features(self, info: datapath.DatapathInfo) -> None:
        """While upcalls come here, keep the datapath at per-vport dispatch.

        `ovs-dpctl` from 2.16 on turns per-CPU dispatch on in every datapath that it opens, which
        bypasses the channels and loses all upcalls. The kernel notifies multicast group ovs_datapath,
        which `port_poll` reads.
        """
        if self.channels.enabled and info.user_features & datapath.OVS_DP_F_DISPATCH_UPCALL_PER_CPU:
            features_counter.inc()
            log.warn_rl(self._rl, self._clock.now(),
                        "%s: somebody (ovs-dpctl?) turned on per-CPU upcalls, turning them off", self._obj)
            self._call("set features", datapath.set_features, self._sock, self._families.datapath,
                       self.dp_ifindex, datapath.USER_FEATURES)

    # Ports.

    def _vport(self, operation: str, fn: Callable[..., T], *args: object, obj: str = "") -> T:
        return self._call(operation, fn, self._sock, self._families.vport, self.dp_ifindex, *args, obj=obj)

    def _ports(self) -> list[vport.VportInfo]:
        ports = self._vport("port dump", vport.dump)
        self._names = {port.port_no: port.name for port in ports}
        return ports

    def _name_of(self, port_no: int) -> str:
        return self._names.get(port_no, "gone")

    def port_add(
        self, name: str, type: str, port_no: int | None = None, options: dict[str, str] | None = None
    ) -> int:
        # The pid depends on the number, which the kernel may choose: set at once if it's known.
        pid = self.channels.pid_of(port_no) if port_no is not None else 0
        options = options or {}
        made = kind(type).tunnel and is_tunnel_name(name) and self._tunnel_link(name, type, options)
        of_module = DEVICE if made else type
        try:
            info = self._vport("port add", vport.create, name, of_module, port_no, pid, options, obj=name)
        except DpifError as e:
            if e.errno == errno.EBUSY and self._has_port(name):
                raise DpifError(errno.EEXIST, e.operation, e.obj, e.detail) from e
            if made:
                self._call("port add", self._tunnels.delete, name, obj=name)
            raise
        self._names[info.port_no] = info.name
        if port_no is None and self.channels.enabled:
            self._set_pid(info)
        return info.port_no

    def _tunnel_link(self, name: str, type: str, options: Mapping[str, str]) -> bool:
        """Make the device of a tunnel's port. False where the module's own vports are all there is."""
        try:
            self._call("port add", self._tunnels.create, name, type, options, obj=name)
        except DpifError as e:
            if e.errno != errno.EOPNOTSUPP or type not in vport.TYPES or "packet_type" in options:
                raise
            log.info("%s: %s: %s; the module's own port is used", self._obj, name, e.detail)
            return False
        return True

    def tunnel_fits(self, name: str, type: str, options: Mapping[str, str]) -> bool:
        return self._call("port query", self._tunnels.fits, name, type, options, obj=name)

    def _type_of(self, port: vport.VportInfo) -> str:
        """The type of a port: a tunnel's device is more than a device."""
        if port.type != DEVICE or not is_tunnel_name(port.name):
            return port.type
        return self._call("port query", self._tunnels.type_of, port.name, obj=port.name) or port.type

    def _has_port(self, name: str) -> bool:
        try:
            self.port_query_by_name(name)
        except DpifError:
            return False
        return True

    def _set_pid(self, info: vport.VportInfo) -> None:
        """Give a port that is there the pid of its channel; without one it is taken away again."""
        pids = {info.port_no: self.channels.pid_of(info.port_no)}
        code = self._vport("port add", vport.set_pids, pids, obj=info.name)[info.port_no]
        if code:
            self._vport("port add", vport.delete, info.port_no, obj=info.name)
            raise DpifError(code, "port add", f"{self._obj}: {info.name}", "set its upcall pid")

    def port_del(self, port_no: int) -> None:
        name = self._names.get(port_no, "")
        try:
            self._vport("port del", vport.delete, port_no, obj=name or f"port {port_no}")
        except DpifError as e:
            if e.errno == errno.ENODEV:
                raise DpifError(errno.ENOENT, e.operation, e.obj, e.detail) from e
            raise
        self._names.pop(port_no, None)
        if is_tunnel_name(name):
            self._call("port del", self._tunnels.delete, name, obj=name)

    def _query(self, obj: str, port_no: int | None, name: str | None) -> vport.VportInfo:
        info = self._vport("port query", vport.get, port_no, name, obj=obj)
        if info.dp_ifindex != self.dp_ifindex:
            raise DpifError(errno.ENODEV, "port query", f"{self._obj}: {obj}", "it is in another datapath")
        return info

    def port_query_by_number(self, port_no: int) -> DpifPort:
        info = self._query(f"port {port_no}", port_no, None)
        return DpifPort(info.name, self._type_of(info), info.port_no)

    def port_query_by_name(self, name: str) -> DpifPort:
        info = self._query(name, None, name)
        return DpifPort(info.name, self._type_of(info), info.port_no)

    def port_dump(self) -> list[DpifPort]:
        return [DpifPort(p.name, self._type_of(p), p.port_no) for p in self._ports()]

    def port_poll(self) -> set[str] | None:
        """Names of ports, and of any devices, that appeared, vanished or changed."""
        changes = self._changes.poll()
        changed = changes.links
        stray = False
        for dp in changes.datapaths:
            if dp.dp_ifindex == self.dp_ifindex:
                try:
                    self._keep_features(dp)
                except DpifError as e:
                    if e.errno != errno.ENODEV:  # It tells of its own end, too.
                        raise
        for info in changes.vports:
            if info.dp_ifindex != self.dp_ifindex:
                continue
            if info.cmd == vport.OVS_VPORT_CMD_SET and self._names.get(info.port_no) == info.name:
                continue  # Our own change of its upcall pid.
            changed.add(info.name)
            if info.cmd == vport.OVS_VPORT_CMD_DEL:
                if self._names.get(info.port_no) == info.name:
                    del self._names[info.port_no]
            else:
                self._names[info.port_no] = info.name
                stray = stray or info.upcall_pids != (self.channels.pid_of(info.port_no),)
        if changes.lost:
            self._ports()
            self._keep_features(self._info())
        if self.channels.enabled and (stray or changes.lost):
            self.set_upcall_pids()
        return None if changes.lost else changed

    def port_poll_fd(self) -> int:
        return self._changes.fileno()

    def get_max_ports(self) -> int:
        return MAX_PORTS

    def port_get_pid(self, port_no: int) -> int:
        return self.channels.pid_of(port_no)

    def port_stats(self, port_no: int) -> dict[str, int]:
        port = self._query(f"port {port_no}", port_no, None)
        with contextlib.suppress(OSError):  # a tunnel's port has no device of its name
            return links.stats_of(socket.if_nametoindex(port.name)).of_port() | port.stats
        return port.stats

    def set_upcall_pids(self) -> None:
        """Set the upcall pid of every port whose pid is not right already (0: upcalls go nowhere).

        A port that vanishes meanwhile is no error. DpifError if the ports can't be listed.
        """
        wrong = {
            p.port_no: self.channels.pid_of(p.port_no)
            for p in self._ports()
            if p.upcall_pids != (self.channels.pid_of(p.port_no),)
        }
        for port_no, code in self._vport("set upcall pids", vport.set_pids, wrong).items():
            if code not in (0, errno.ENODEV, errno.ENOENT):
                where = f"{self._obj}: {self._name_of(port_no)}"
                raise DpifError(code, "set upcall pids", where)

    # Flows.

    def _age(self) -> int:
        """What to add to the kernel's monotonic ms to get this switch's clock."""
        return self._clock.now() - time.monotonic_ns() // 1_000_000

    def flow_flush(self) -> None:
        payload = compose_all(OVS_FLOW_CMD_DEL, self.dp_ifindex)
        self._call("flow flush", self._sock.transact, self._families.flow, 0, payload, "flush flows")

    def flow_dump(self, terse: bool = False) -> Iterator[DpifFlow]:
        payload = compose_all(OVS_FLOW_CMD_GET, self.dp_ifindex, terse)
        seen: set[bytes] = set()
        for _ in range(MAX_TRIES):
            sock = self._call("flow dump", self._pool.take)
            clean = False
            try:
                parts = sock.dump(self._families.flow, payload, "dump flows")
                interrupted = yield from self._dump_once(parts, seen)
                clean = True
            except NlError as e:
                raise DpifError(e.errno or errno.EIO, "flow dump", self._obj, e.detail) from e
            finally:
                self._pool.give(sock, clean)
            if not interrupted:
                return

    def _dump_once(self, parts: Dump, seen: set[bytes]) -> Generator[DpifFlow, None, bool]:
        """The flows of one dump that aren't in `seen` yet; returns whether it was interrupted.

        Even an uninterrupted dump may give a flow twice, where the kernel's table grew meanwhile.
        """
        age = self._age()
        while True:
            try:
                message = next(parts)
            except StopIteration as stop:
                return bool(stop.value)
            try:
                flow = parse_flow(message.data, message.start, message.end, age)
            except NlAttrError as e:
                log.warn_rl(self._rl, self._clock.now(), "%s: %s in flow dump", self._obj, e)
                continue
            identity = flow.ufid or flow.key.key() + flow.mask.key()
            if identity not in seen:
                seen.add(identity)
                yield flow

    def operate(self, ops: Sequence[Op]) -> None:
        at = 0
        while at < len(ops):
            batch = self._sock.new_batch()
            members: list[Op] = []
            at = self._requests.fill(batch, ops, at, members)
            if members:
                self._carry_out(batch, members)

    def _carry_out(self, batch: Batch, members: list[Op]) -> None:
        try:
            self._sock.transact_multiple(batch)
        except NlError as e:
            for op in members:
                op.error = e.errno or errno.EIO
                op.detail = str(e)
            return
        take_answers(batch, members, self._age())

    # Upcalls.

    def recv_set(self, enable: bool) -> None:
        """As `dpif_linux_recv_set`: channels are opened and the ports' pids set; or the pids are cleared
        and the channels shut."""
        if enable == self.channels.enabled:
            return
        if enable:
            self.channels.open()
            try:
                self.set_upcall_pids()
            except BaseException:
                self.channels.close()
                raise
            return
        self.channels.close()
        self.set_upcall_pids()

    def recv_purge(self) -> None:
        self.channels.purge()

    def recv(self, max_upcalls: int) -> list[Upcall]:
        return self.channels.recv(max_upcalls)

    def recv_fd(self) -> int:
        return self.channels.fileno()

    def show_channels(self) -> str:
        text = self.channels.show()
        # Linux 6.3 and later count a port's undelivered upcalls themselves, which needs no sketch.
        failed = [p for p in self._ports() if p.upcalls_failed]
        if failed:
            counts = ", ".join(f"port {p.port_no} ({p.name}) {p.upcalls_failed}" for p in failed)
            text += f"  undelivered upcalls, as the kernel counts them: {counts}\n"
        return text

    # Meters.

    def _meter(self, operation: str, fn: Callable[..., T], *args: object, obj: str = "") -> T:
        if not self._families.meter:
            raise DpifError(errno.EOPNOTSUPP, operation, self._obj, "this kernel's datapath has no meters")
        return self._call(operation, fn, self._sock, self._families.meter, self.dp_ifindex, *args, obj=obj)

    def meter_features(self) -> MeterFeatures:
        if not self._families.meter:
            return MeterFeatures()
        return self._meter("meter features", meter.features)

    def meter_set(self, meter_id: int, config: MeterConfig) -> None:
        self._meter("meter set", meter.set_meter, meter_id, config, obj=f"meter {meter_id}")

    def meter_get(self, meter_id: int) -> MeterStats:
        return self._meter("meter get", meter.get_meter, meter_id, obj=f"meter {meter_id}")

    def meter_del(self, meter_id: int) -> MeterStats:
        return self._meter("meter del", meter.del_meter, meter_id, obj=f"meter {meter_id}")

    # Connection tracking.

    def ct_dump(self, zone: int | None = None) -> Iterator[CtEntry]:
        return iter(self._call("ct dump", lambda: list(ct.dump(zone))))

    def ct_flush(
        self, zone: int | None = None, wanted: Callable[[CtEntry], bool] | None = None
    ) -> None:
        self._call("ct flush", ct.flush, zone, wanted)

    def _limits(self, operation: str, fn: Callable[..., T], *args: object) -> T:
        if not self._families.ct_limit:
            raise DpifError(errno.EOPNOTSUPP, operation, self._obj, "this kernel limits no zones")
        return self._call(operation, fn, self._sock, self._families.ct_limit, self.dp_ifindex, *args)

    def ct_set_limits(self, limits: Sequence[CtLimit]) -> None:
        self._limits("ct set limits", ct_limit.set_limits, limits)

    def ct_get_limits(self, zones: Sequence[int]) -> list[CtLimit]:
        return self._limits("ct get limits", ct_limit.get_limits, zones)

    def ct_del_limits(self, zones: Sequence[int]) -> None:
        self._limits("ct del limits", ct_limit.del_limits, zones)

    def ct_set_timeouts(self, number: int, timeouts: Mapping[str, int]) -> CtTimeoutNames:
        self._call("ct set timeouts", ct_timeout.set_policy, number, timeouts)
        return CtTimeoutNames(of=ct_timeout.names(number))

    def ct_del_timeouts(self, number: int) -> None:
        self._call("ct del timeouts", ct_timeout.del_policy, number)

    def ct_dump_timeouts(self) -> set[int]:
        return self._call("ct dump timeouts", ct_timeout.dump_policies)

    # Introspection.

    def cached(self) -> dict[str, int]:
        return {"channels": len(self.channels.pids()), "ports": len(self._names)}
