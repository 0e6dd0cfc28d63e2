"""A Unix socket that others connect to."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

from vswitch.base.clock import Clock
from vswitch.vconn.listener import Listener
from vswitch.vconn.tls import Tls


def test_it_is_for_user_and_group_only_and_takes_the_place_of_a_dead_ones(tmp_path: Path) -> None:
    path = tmp_path / "br0.mgmt"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listener = Listener(f"punix:{path}", Tls(Clock()))
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        stream = listener.accept()
        assert stream is not None
        stream.close()
    listener.close()
    assert not path.exists()


def test_a_long_path_will_do(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    listener = Listener(f"punix:{deep}/br0.mgmt", Tls(Clock()))
    assert stat.S_IMODE((deep / "br0.mgmt").stat().st_mode) == 0o750
    listener.close()
    assert list(deep.iterdir()) == []
