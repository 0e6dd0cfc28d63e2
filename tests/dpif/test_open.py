"""Opening a datapath by name and type, and the log of what is done to it."""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Iterator

import pytest

from tests.dpif.lab import key_of, mask_of, udp
from vswitch.base import vlog
from vswitch.base.clock import Clock
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Destination, Level
from vswitch.dpif.actions import Output
from vswitch.dpif.logged import LoggedDpif, log_operation
from vswitch.dpif.open import dpif_create_and_open, dpif_open
from vswitch.dpif.ops import Execute, FlowDel, FlowPut
from vswitch.dpif.types import DpifError, PutFlags
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.netdev.scope import Scope


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged during a test, with module dpif at debug."""
    monkeypatch.setattr("vswitch.dpif.logged.error_rl", RateLimit(60, 5))
    state = vlog._state()
    said = io.StringIO()
    vlog.init("test", lambda: 0.0, said)
    vlog.set_levels("dpif", Destination.CONSOLE, Level.DBG)
    yield said
    vlog._restore(state)


@pytest.fixture
def dpif() -> Iterator[LoggedDpif]:
    clock = Clock(virtual=True)
    dpif = LoggedDpif(UserspaceDpif("dp", clock, dummy=True, scope=Scope()), clock)
    yield dpif
    dpif.destroy()
    dpif.close()


def lines(log: io.StringIO) -> list[str]:
    """Level and message of each line of module dpif."""
    return re.findall(r"\|dpif\|(\w+\|.*)", log.getvalue())


def test_success_is_told_at_debug(dpif: LoggedDpif, log: io.StringIO) -> None:
    dpif.flow_flush()
    dpif.recv_purge()
    dpif.recv_set(True)
    number = dpif.port_add("p1", "dummy")
    list(dpif.flow_dump())
    key, mask = key_of(udp(), number), mask_of()
    dpif.operate([
        FlowPut(key, mask, (Output(0),), b"\1" * 16, PutFlags.CREATE),
        Execute(udp(), key, (Output(0),)),
    ])
    assert lines(log)[:6] == [
        "DBG|netdev@dp: flow_flush success",
        "DBG|netdev@dp: recv_purge success",
        "DBG|netdev@dp: recv_set success",
        f"DBG|netdev@dp: added p1 as port {number}",
        "DBG|netdev@dp: dumped all flows",
        "DBG|netdev@dp: flow_dump_destroy success",
    ]
    put, execute = lines(log)[6:]
    assert put.startswith("DBG|netdev@dp: put[create] ufid:01010101-0101-0101-0101-010101010101 ")
    assert put.endswith(", actions:0")
    assert execute.startswith(
            "DBG|netdev@dp: execute 0 on packet udp,vlan_tci=0x0000,dl_src=02:00:00:00:00:0a,")


def test_nothing_is_told_of_success_unless_asked_for(dpif: LoggedDpif, log: io.StringIO) -> None:
    vlog.set_levels("dpif", Destination.CONSOLE, Level.INFO)
    dpif.flow_flush()
    dpif.recv_set(True)
    assert lines(log) == []


def test_failure_is_a_warning_with_the_text_of_its_errno(dpif: LoggedDpif, log: io.StringIO) -> None:
    with pytest.raises(DpifError):
        dpif.port_del(77)
    with pytest.raises(DpifError):
        dpif.port_add("p1", "dummy", 1 << 20)
    key = key_of(udp(), 0)
    dpif.operate([FlowPut(key, mask_of(), (), b"\1" * 16, PutFlags.MODIFY), FlowDel(key, b"\2" * 16),
                  FlowDel(key, b"\2" * 16, True)])
    removal, addition, put, delete, asked = lines(log)
    assert removal.startswith("WARN|netdev@dp: port_del failed (No such file or directory")
    assert addition.startswith("WARN|netdev@dp: failed to add p1 as port: ")
    assert put.startswith("WARN|netdev@dp: failed to put[modify] (No such file or directory) ufid:0101")
    # A flow that is gone already is nothing to be warned of.
    assert delete.startswith("DBG|netdev@dp: failed to flow_del (No such file or directory) ufid:0202")
    assert asked == delete.replace("DBG", "WARN")


def test_a_port_that_is_not_there_is_an_answer_and_no_failure(dpif: LoggedDpif, log: io.StringIO) -> None:
    with pytest.raises(DpifError, match="No such device"):
        dpif.port_query_by_name("p9")
    (line,) = lines(log)
    assert line.startswith("DBG|netdev@dp: failed to query port p9: No such device")


def test_warnings_are_rate_limited(dpif: LoggedDpif, log: io.StringIO) -> None:
    for n in range(20):
        log_operation(dpif, f"op {n}", DpifError(errno.ENOMEM, "op", "netdev@dp"))
    assert lines(log) == [f"WARN|netdev@dp: op {n} failed (Cannot allocate memory)" for n in range(5)]
    dpif.clock.warp(60_000)
    log_operation(dpif, "again", DpifError(errno.ENOMEM, "op", "netdev@dp"))
    assert "WARN|netdev@dp: again failed (Cannot allocate memory)" in lines(log)


def test_a_datapath_is_made_only_when_asked_to() -> None:
    with pytest.raises(DpifError, match="netdev@nosuch") as refused:
        dpif_open("nosuch", "netdev", Clock(), Scope())
    assert refused.value.errno == errno.ENODEV
    with pytest.raises(DpifError, match="no datapaths of type bogus, only ebpf, netdev, system"):
        dpif_create_and_open("dp", "bogus", Clock(), Scope())


def test_flows_are_told_with_all_that_their_masks_leave_out(dpif: LoggedDpif, log: io.StringIO) -> None:
    number = dpif.port_add("p1", "dummy")
    key, mask = key_of(udp(), number), mask_of()
    dpif.operate([FlowPut(key, mask, (Output(0),), b"\1" * 16, PutFlags.CREATE)])
    dpif.operate([FlowPut(key, mask, (), b"\1" * 16, PutFlags.MODIFY)])
    list(dpif.flow_dump())
    dpif.operate([FlowDel(key, b"\1" * 16)])
    ufid = "ufid:01010101-0101-0101-0101-010101010101"
    put, modified, dumped, *end, deleted = lines(log)[1:]
    assert put.startswith(f"DBG|netdev@dp: put[create] {ufid} skb_priority(0/0),skb_mark(0/0),")
    assert modified.startswith(f"DBG|netdev@dp: put[modify] {ufid} skb_priority(0/0),")
    assert modified.endswith(", actions:drop")
    assert dumped.startswith(f"DBG|netdev@dp: flow_dump {ufid} ")
    assert ", packets:0, bytes:0, used:never, actions:drop" in dumped
    assert end == ["DBG|netdev@dp: dumped all flows", "DBG|netdev@dp: flow_dump_destroy success"]
    assert deleted.startswith(f"DBG|netdev@dp: flow_del {ufid} skb_priority(0),")
    assert deleted.endswith(", packets:0, bytes:0, used:never")
