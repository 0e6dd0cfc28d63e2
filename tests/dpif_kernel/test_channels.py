"""What of the channels needs no openvswitch module: Netlink sockets are everywhere."""

from __future__ import annotations

import errno
import gc
import os

import pytest

from vswitch.base.clock import Clock
from vswitch.dpif.kernel.channels import N_CHANNELS, Channels, channel_of
from vswitch.dpif.kernel.packet import UpcallParser
from vswitch.dpif.open import dpif_create_and_open
from vswitch.dpif.types import ODPP_NONE, DpifError
from vswitch.netlink.errors import NlError
from vswitch.netlink.socket import NlSocket


def n_fds() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def make() -> Channels:
    return Channels("system@test", Clock(virtual=True), UpcallParser(30, 7), lambda port: f"p{port}")


def test_ports_spread_over_channels_1_to_16() -> None:
    assert channel_of(ODPP_NONE) == 0
    assert [channel_of(port) for port in range(17)] == [*range(1, 17), 1]
    assert {channel_of(port) for port in range(65535)} == set(range(1, 17))


def test_opening_and_closing_twice_is_once() -> None:
    channels = make()
    assert (channels.fileno(), channels.pids(), channels.pid_of(5)) == (-1, [], 0)
    assert channels.show() == "system@test: not receiving\n"
    assert channels.recv(50) == []
    before = n_fds()
    channels.open()
    channels.open()
    assert n_fds() == before + N_CHANNELS + 1
    assert len(set(channels.pids())) == N_CHANNELS
    assert channels.pid_of(ODPP_NONE) == channels.pids()[0]
    assert channels.pid_of(16) == channels.pids()[1]
    assert channels.recv(50) == []
    assert channels.purge() == 0
    assert channels.show().splitlines()[0].startswith("system@test: 17 channels, epoll fd ")
    assert len(channels.show().splitlines()) == 1 + N_CHANNELS
    channels.close()
    channels.close()
    assert n_fds() == before


def test_the_tenth_socket_failing_closes_the_nine(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[NlSocket] = []

    def failing(protocol: int, rcvbuf: int) -> NlSocket:
        if len(made) == 9:
            raise OSError(errno.ENOBUFS, "no more")
        made.append(NlSocket(protocol, rcvbuf))
        return made[-1]

    monkeypatch.setattr("vswitch.dpif.kernel.channels.NlSocket", failing)
    channels = make()
    before = n_fds()
    with pytest.raises(DpifError, match="opened 9 of 17 channels") as e:
        channels.open()
    assert e.value.errno == errno.ENOBUFS
    assert [sock.fileno() for sock in made] == [-1] * 9
    assert n_fds() == before
    assert not channels.enabled


def test_without_the_module_the_error_says_what_to_use_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(name: str, _sock: NlSocket) -> None:
        raise NlError(errno.ENOENT, f"no family {name}")

    monkeypatch.setattr("vswitch.dpif.kernel.family.lookup_family", lookup)
    with pytest.raises(DpifError, match=r'kernel has no openvswitch datapath .*type "netdev"') as e:
        dpif_create_and_open("ovs-system", "system", Clock())
    assert e.value.errno == errno.EOPNOTSUPP
    assert str(e.value).startswith("[Errno 95] system@ovs-system: open failed")
